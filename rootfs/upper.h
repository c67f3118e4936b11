/* What a session changed: the upper directories against what lies below. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "rootfs/overlay.h"

/* True for the names of overlayfs's own extended attributes. */
bool upper_is_mark(const char *xattr);
/* Is @name in @dirfd, a directory of an upper, opaque: nothing of the lower shows through it? */
bool upper_is_opaque(int dirfd, const char *name);
/* Does it carry the mark of a copy-up, rather than having been made by the session? */
bool upper_is_copied(int dirfd, const char *name);

enum change_kind {
	CHANGE_ADDED,
	CHANGE_MODIFIED, /* content, type or metadata differ from the lower */
	CHANGE_DELETED,  /* whiteout, or hidden by an opaque directory */
	CHANGE_KIND_COUNT,
};

struct change {
	enum change_kind kind;
	const char *path;         /* absolute, as inside; valid during the call */
	unsigned layer;           /* its place in the overlay's list */
	const struct stat *upper; /* NULL for deletions */
	const struct stat *lower; /* NULL for additions */
	bool content; /* MODIFIED: bytes, type or link target differ (not only metadata) */
};

/*
 * Walks every layer's upper, never the whole lower; calls @visit in path order
 * within a layer. A directory that was only copied up because something below it
 * changed, with equal metadata, is not a change. For a whited-out directory the
 * files below it are listed too, deepest last. @visit returns 0 to go on.
 */
int upper_walk(const struct overlay *o, int (*visit)(const struct change *c, void *arg), void *arg,
	       struct err *err);
