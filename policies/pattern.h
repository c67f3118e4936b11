/*
 * One pattern of a policy. Meaning: fnmatch(3) without FNM_PATHNAME, so that
 * `*` crosses `/`; a pattern that starts with `/` is anchored to the whole
 * path, any other is tried at every component boundary. Compiled so that the
 * usual shapes (suffix, prefix, exact name) cost tens of nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum pattern_kind {
	PATTERN_ANY,         /* "*" or "**" */
	PATTERN_EXACT,       /* no wildcard, anchored */
	PATTERN_SUBTREE,     /* "DIR/" and one star: all below; with two stars DIR itself too */
	PATTERN_NAME,        /* one component without wildcards, anywhere */
	PATTERN_SUFFIX,      /* "*.ext": last component ends so */
	PATTERN_PREFIX,      /* "prod.*": a component begins so */
	PATTERN_GLOB,        /* fnmatch */
	PATTERN_HOST,        /* host, *.domain, address or CIDR, with an optional port */
};

struct pattern {
	enum pattern_kind kind;
	const char *text;    /* as written, after ~ and ${} are expanded; borrowed from the arena */
	const char *literal; /* the fixed part; length below */
	uint32_t literal_len;
	bool anchored;
	/* PATTERN_HOST */
	uint16_t port;       /* 0 any */
	uint8_t family;      /* 0 name, AF_INET, AF_INET6 */
	uint8_t prefix_len;
	uint8_t address[16];
};

/* @text must outlive the pattern. -EINVAL with the reason: bad bracket, empty, bad CIDR. */
int pattern_compile_path(const char *text, struct pattern *ret, struct err *err);
int pattern_compile_host(const char *text, struct pattern *ret, struct err *err);

/* @path is canonical and absolute, or any resource text (URL, host:port). */
bool pattern_matches(const struct pattern *p, const char *path);
/* @host a name or numeric address, lower case; IPv4-mapped IPv6 counts as IPv4. */
bool pattern_matches_host(const struct pattern *p, const char *host, uint16_t port);

/*
 * The pattern as one directory or file that a mount can cover exactly: writes the
 * path and returns true for PATTERN_EXACT and PATTERN_SUBTREE, else false.
 */
bool pattern_as_mount(const struct pattern *p, char *path, size_t size);
