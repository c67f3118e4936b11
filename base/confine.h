/*
 * What a program takes from itself, for good, before it reads foreign bytes: a step a call. Each program that does has
 * a file confine.c of its own, which says which steps, in the order below, and what calls it lives on.
 *
 * All of it holds for the calling thread and for threads it starts; the filter for every thread there is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Root becomes nobody, in no group, who owns no file and no process. Nothing for another user. 0, -errno. */
int confine_leave_root(void);

/* Of the capabilities only those in @kept (bits 1 << CAP_…) that it has stay. 0, -errno. */
int confine_capabilities(uint64_t kept);

/* No set-user-id program and no file capability helps any more. 0, -errno. */
int confine_privileges(void);

/* Other processes of the same user cannot trace it or read its memory; /proc/self is root's from then on. 0, -errno. */
int confine_memory(void);

/*
 * A Landlock ruleset without a rule yet: every right to files that Landlock of that ABI (>= 1) can take away, which
 * are in @ret_rights, and, from Linux 6.12, abstract sockets and signals beyond whom it will hold: its processes
 * may signal each other, nobody outside. A descriptor, the caller's; -errno.
 */
int confine_ruleset(int abi, uint64_t *ret_rights);

struct confine_place {
	int fd;     /* of a directory or file; -1 none */
	bool write; /* else it is only read */
};
/*
 * A Landlock fence: no path but @places and what is below them. Also, from Linux 6.12, no signal and no abstract socket
 * beyond itself. Asks for no new privileges first. An error, but for a kernel without Landlock: *ret_landlock
 * says whether it holds.
 */
int confine_files(const struct confine_place *places, unsigned count, bool *ret_landlock,
		  struct err *err);

/* Allowed while (argument & mask) == value; with errnum it is refused whatever the argument. */
struct confine_bound {
	int call; /* SCMP_SYS() */
	unsigned argument;
	uint64_t mask, value;
	int errnum;
};
struct confine_filter {
	uint32_t otherwise; /* SCMP_ACT_…, of every call that is not named */
	const int *allowed; /* SCMP_SYS(); those that this architecture lacks are passed over */
	unsigned allowed_count;
	const struct confine_bound *bounds;
	unsigned bound_count;
};
/* A seccomp filter for all threads; a call of another architecture kills. Last: it may forbid the steps above. 0, -errno. */
int confine_calls(const struct confine_filter *f);

/* The same in two steps: compiled while there is time, put up when it is due. */
struct confine_rules; /* opaque */
/* 0, -errno. */
int confine_compile(const struct confine_filter *f, struct confine_rules **ret);
/* Puts the filter up and releases @rules. 0, -errno. */
int confine_enter(struct confine_rules *rules);

/* Arrays of a filter, counted. */
#define CONFINE_ALLOWED(list) .allowed = (list), .allowed_count = sizeof(list) / sizeof((list)[0])
#define CONFINE_BOUNDS(list)  .bounds = (list), .bound_count = sizeof(list) / sizeof((list)[0])
