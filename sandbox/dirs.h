/*
 * Where relative names begin: the caller's current directory, or that of one of its descriptors.
 *
 * Another thread can change either between two looks, so descriptor and path are always those of one
 * object. Directories of the session's overlays are remembered, by who they are and not by who
 * stands in them: one look-up then tells whether the caller still stands in one. There a directory's
 * path changes by the monitor's own hand alone, which says so (dirs_forget), and so does who may go through
 * it; elsewhere others move directories too, and nothing is remembered.
 *
 * So a remembered one is found by its path as well, where it was walked to before from the same place or from above it:
 * every name on the way is a directory's and no link's, and may be gone through, so the kernel's walk would end there
 * again. Whoever stands in a directory need not be able to walk to it.
 *
 * For the leader alone, but for dirs_forget.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/action.h"
#include "rootfs/undo.h"
#include "sandbox/tracee.h"

enum { DIRS_MAX = 32 };

struct dirs_entry {
	char *path; /* owned; NULL free */
	int fd;     /* O_PATH; owned */
	uint32_t dev_major, dev_minor;
	uint64_t ino, mnt_id;
	uint64_t used; /* when last */
	size_t walked; /* it was walked to from the first so many bytes of path on; all of it: never */
};

struct dirs {
	const struct undo_layers *layers; /* borrowed; NULL nothing is remembered */
	struct dirs_entry entries[DIRS_MAX];
	uint64_t clock;
	bool stale; /* atomic */
	/* where names began in the call under way, and its times then: for a second name of the call. NULL none */
	const struct dirs_entry *begun;
	int begun_dirfd;
	struct statx_timestamp begun_atime, begun_mtime;
};

struct dir {
	int fd; /* O_PATH */
	bool lent; /* fd stays the memory's, and open until the call under way is over; else the caller's */
	bool seen; /* … and these were seen just now: */
	uint64_t mnt_id;
	struct statx_timestamp atime, mtime;
	char path
		[ACTION_PATH_SIZE]; /* not absolute, or " (deleted)" at its end: no path leads there */
};

void dirs_init(struct dirs *d, const struct undo_layers *layers);
void dirs_finish(struct dirs *d);

/*
 * Where names relative to @dirfd (AT_FDCWD: the cwd) of @task begin. @self_fd: the outer /proc/self/fd.
 * 0, or the errno the kernel would give. What is lent stays valid until many more were found.
 */
int dirs_find(struct dirs *d, int self_fd, const struct tracee *task, int dirfd, struct dir *ret);

/*
 * A call begins. Within it each directory that names begin in is looked at once: both names of a rename begin where
 * the caller stood at one moment.
 */
void dirs_next(struct dirs *d);

/*
 * Where a walk to @path, absolute, without "..", ends that begins behind the first @from bytes of it: lent and not looked
 * at. False: that is not known; open it without following a link, and dirs_keep it.
 */
bool dirs_find_path(struct dirs *d, const char *path, size_t from, struct dir *ret);
/* @dir, so opened: if it is of the session's overlays it has been seen, and is lent from now on. */
void dirs_keep(struct dirs *d, struct dir *dir, size_t from);

/* The directory @path, canonical, is about to move or go, or to be closed or opened to somebody, and all below it. */
void dirs_forget_below(struct dirs *d, const char *path);
/* Any may have moved or gone: by any thread. */
void dirs_forget(struct dirs *d);

/* Has a path of procfs the mark of something that no path leads to any more? */
bool dirs_is_gone(const char *path);
