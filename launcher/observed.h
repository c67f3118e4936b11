/*
 * What a job did, gathered from its log for `learn`: every action is logged there, since the
 * policy it ran under calls nothing ambient.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policies/collapse.h"
#include "policies/policy.h"

enum observed_use {
	OBSERVED_READ = 1,
	OBSERVED_WRITE = 2, /* and delete, rename, link, chmod … */
	OBSERVED_EXEC = 4,
	OBSERVED_CREATED = 8,
	OBSERVED_GONE = 16,
};

struct observed_path {
	char *path; /* owned */
	unsigned uses;
};

struct observed_secret {
	char *path;       /* owned */
	const char *rule; /* borrowed from the base */
	enum action_type type;
	unsigned count;
};

struct observed {
	const struct policy *base; /* what is granted without a proposal; borrowed */
	struct observed_path *paths;
	size_t path_count;
	struct observed_secret *secrets;
	size_t secret_count;
	char **hosts; /* as "allow_hosts" has them: host:port, or host where the port is drawn anew */
	size_t host_count;
	char **sockets; /* names of abstract sockets, with their @ */
	size_t socket_count;
	uint32_t types; /* bit per enum action_type */
	uint64_t actions, ambient, covered;
	unsigned peak_minute; /* most actions of one minute that are not ambient */
	float top_score; /* any of these actions at its worst: full frequency, all new to the agent */
};

/* Reads the log of the session in @dirfd. @ret is to be finished whatever the result. */
int observed_read(int dirfd, const struct policy *base, struct observed *ret, struct err *err);
void observed_finish(struct observed *o);

/* Paths as collapse wants them, those of @use wanted. Freed by the caller; NULL out of memory. */
struct collapse_path *observed_paths(const struct observed *o, unsigned use);
size_t observed_count(const struct observed *o, unsigned use);
