/* What the dimensions ask of a resource's text. Nothing here allocates or looks at the system. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The host inside "host:port", "[v6]:port", "https://user@host:port/path" or "unix:/path". */
struct resource_host {
	const char *text; /* borrowed, not NUL-terminated */
	size_t len;
	bool numeric; /* an address, not a name */
	bool local;   /* loopback, or a unix socket */
};

struct resource_host resource_host(const char *resource);

/* Below a directory where everybody may write. */
bool resource_in_temp(const char *path);

/* 64-bit hashes for the baseline's sets; never 0. ASCII case is folded for hosts. */
uint64_t resource_hash(const char *text, size_t len);
uint64_t resource_hash_host(const struct resource_host *host);
/* Of the directory that holds @path, at most RESOURCE_DIR_DEPTH components deep. */
uint64_t resource_hash_dir(const char *path);

enum { RESOURCE_DIR_DEPTH = 5 };
