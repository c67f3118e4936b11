/* What a session changed: the upper directories against what lies below. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"
#include "rootfs/overlay.h"

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
	bool same;    /* no change: see upper_walk_names */
};

/*
 * Walks every layer's upper, never the whole lower; calls @visit in path order
 * within a layer. A directory that was only copied up because something below it
 * changed, with equal metadata, is not a change. For a whited-out directory the
 * files below it are listed too, deepest last. @visit returns 0 to go on.
 */
int upper_walk(const struct overlay *o, int (*visit)(const struct change *c, void *arg), void *arg,
	       struct err *err);

/* As upper_walk, and shows as well each of several names of a file (@same) at which nothing differs. */
int upper_walk_names(const struct overlay *o, int (*visit)(const struct change *c, void *arg),
		     void *arg, struct err *err);

/* What the walk is made of, for others who read an upper. */
struct upper_names {
	char **items; /* owned, sorted by bytes */
	size_t count;
};
int upper_names_read(int dirfd, struct upper_names *ret);
void upper_names_finish(struct upper_names *n);

/* Both forms that overlayfs knows; inside a user namespace it may use the second. */
bool upper_is_whiteout(int dirfd, const char *name, const struct stat *st);
bool upper_is_opaque(int dirfd, const char *name);
/* Does it carry the mark of a copy-up, rather than having been made by the session? */
bool upper_is_copied(int dirfd, const char *name);
/* An attribute of overlayfs itself: of the mechanism, not of the agent's file. */
bool upper_is_overlay_xattr(const char *name);
/*
 * A directory of an upper may have been left without permissions; its owner can still
 * look. @ret_restore: its mode must be given back afterwards, it is part of what the session left.
 */
int upper_open_dir(int dirfd, const char *name, bool *ret_restore);
