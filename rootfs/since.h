/*
 * What a session without an overlay changed: the files as they were when it began, told from its journal,
 * against what is there now. The journal is undone in memory, newest record first, on a tree that holds only
 * the names which records name; nothing on disk is touched or walked.
 *
 * Not seen: what others changed meanwhile where the session changed nothing; what was written to a file
 * through another of its names; the entries of a directory that was renamed, which move with it untold.
 */
#pragma once

#include <stdint.h>

#include "rootfs/upper.h"

struct since; /* opaque */

/* @root_fd, borrowed: the root that the session's paths start from. -ENOENT: no journal. */
int since_open(int session_dirfd, int root_fd, struct since **ret, struct err *err);
void since_close(struct since *s);

/* How many of the oldest actions the journal's budget has dropped: what only they changed is not told. */
uint64_t since_dropped(const struct since *s);

/*
 * Each path whose object or content differs, in path order. Of a change `lower` is what was there when the
 * session began (no device or inode numbers), `upper` what is there now. @visit returns 0 to go on.
 */
int since_walk(const struct since *s, int (*visit)(const struct change *c, void *arg), void *arg,
	       struct err *err);

/*
 * The bytes of the file, or the text of the link, that was or is at @path (as the walk told it): a descriptor
 * for reading (the caller closes it). -ENODATA: not kept. -errno.
 */
int since_open_before(const struct since *s, const char *path);
int since_open_now(const struct since *s, const char *path);
