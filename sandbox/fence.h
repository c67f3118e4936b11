/*
 * The program's own directories (state, configuration, cache, control sockets), kept from what runs
 * inside whatever the policy says. Each is covered by an empty mount; and since a mount does not keep a
 * directory above it from being moved, nor a link on the way to it from being replaced, no name
 * that leads there may be removed, renamed or made: else another run of ours would find
 * what the agent has put there. The directories of its programs and their policies are kept likewise where
 * they would be written to for real, but can be read: by a mount that is read-only.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum { FENCE_DIRS = 8 };

struct fence {
	char *dirs[FENCE_DIRS]; /* as given, absolute; owned */
	unsigned dir_count;
	char *kept[FENCE_DIRS]; /* likewise, those that may be read; owned */
	unsigned kept_count;
	char **names; /* that lead there, each with its directory's links resolved; owned */
	unsigned name_count;
};

/* Adds an absolute path of the host's, there or not. -errno: out of memory, or too many. */
int fence_add(struct fence *f, const char *dir, struct err *err);
/* The same for one that may be read. */
int fence_keep(struct fence *f, const char *dir, struct err *err);
void fence_finish(struct fence *f);

/* Is @path, whose last component alone may be a link, a name that leads to one of them? @f may be NULL. */
bool fence_has(const struct fence *f, const char *path);
