/*
 * Owner, mode and times, which directories get when all their entries are there. Private to unpack*.c.
 */
#pragma once

#include <sys/stat.h>

#include "base/err.h"
#include "rootfs/unpack.h"

struct lh_table;

#define UNPACK_NO_MODE ((mode_t)-1) /* a symbolic link has none */

struct unpack_late {
	mode_t mode;
	uid_t uid; /* -1: as it is, and gid too */
	gid_t gid;
	struct timespec times[2];
};

struct unpack_late unpack_late_of(const struct unpack_plan *plan, struct archive_entry *e,
				  mode_t mode);
/* Gives them to @leaf, which is not followed. 0, -errno. */
int unpack_late_apply(int dirfd, const char *leaf, const struct unpack_late *l);
/* Remembers them of a clean path in a table that owns its keys and values. 0, -ENOMEM. */
int unpack_late_note(struct lh_table *directories, const char *path,
		     const struct unpack_late *late);
/* Gives them to all noted directories that are still there. 0, -errno. */
int unpack_late_finish(const struct unpack_plan *plan, struct lh_table *directories,
		       struct err *err);
