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
	PATTERN_ANY,     /* "*" or "**" */
	PATTERN_EXACT,   /* no wildcard, anchored */
	PATTERN_SUBTREE, /* "DIR/" and one star: all below; with two stars DIR itself too */
	PATTERN_NAME,    /* one component without wildcards, anywhere */
	PATTERN_SUFFIX,  /* "*.ext": last component ends so */
	PATTERN_PREFIX,  /* "prod.*": a component begins so */
	PATTERN_GLOB,    /* fnmatch */
	PATTERN_HOST,    /* host, *.domain, address or CIDR, with an optional port */
};

struct pattern {
	enum pattern_kind kind;
	const char *text;    /* as written, after ~ and ${} are expanded; borrowed from the arena */
	const char *literal; /* the fixed part; length below */
	uint32_t literal_len;
	bool anchored;
	bool self;     /* it ends in "/" and two stars: the directory itself too */
	bool wildcard; /* PATTERN_HOST: "*" or "*." stood before the literal */
	/* PATTERN_HOST */
	uint16_t port;  /* 0 any */
	uint8_t family; /* 0 name, AF_INET, AF_INET6 */
	uint8_t prefix_len;
	uint8_t address[16];
};

/* @text must outlive the pattern. -EINVAL with the reason: bad bracket, empty, bad CIDR. */
int pattern_compile_path(const char *text, struct pattern *ret, struct err *err);
int pattern_compile_host(const char *text, struct pattern *ret, struct err *err);

/* @path is canonical and absolute, or any resource text (URL, host:port). */
bool pattern_matches(const struct pattern *p, const char *path);
/*
 * A resource looked at once, so that many patterns can be tried on it: its
 * length, and the set of bytes its components begin with.
 */
struct pattern_subject {
	const char *text; /* borrowed */
	size_t len;
	uint64_t first[4];
};
void pattern_subject_init(struct pattern_subject *s, const char *text);
bool pattern_matches_subject(const struct pattern *p, const struct pattern_subject *s);

/* The same for a host: an address in any notation is recognised once. */
struct pattern_host {
	const char *name; /* borrowed, not NUL-terminated; no brackets, no trailing dot */
	size_t len;
	uint16_t port;
	uint8_t family; /* 0 name, AF_INET, AF_INET6 */
	uint8_t address[16];
};
void pattern_host_init(struct pattern_host *h, const char *host, size_t len, uint16_t port);
bool pattern_matches_host_subject(const struct pattern *p, const struct pattern_host *h);

/* @host a name or numeric address, lower case; IPv4-mapped IPv6 counts as IPv4. */
bool pattern_matches_host(const struct pattern *p, const char *host, uint16_t port);

/*
 * The pattern as one directory or file that a mount can cover exactly: writes the
 * path and returns true for PATTERN_EXACT and PATTERN_SUBTREE, else false.
 */
bool pattern_as_mount(const struct pattern *p, char *path, size_t size);
