/*
 * Where relative names begin: the caller's current directory, or that of one of its descriptors.
 *
 * Another thread can change either between two looks, so descriptor and path are always those of one
 * object. Directories of the session's overlays are remembered, by who they are and not by who
 * stands in them: one look-up then tells whether the caller still stands in one. There a directory's
 * path changes by the monitor's own hand alone, which says so (dirs_forget); elsewhere others move
 * directories too, and nothing is remembered.
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
};

struct dirs {
	const struct undo_layers *layers; /* borrowed; NULL nothing is remembered */
	struct dirs_entry entries[DIRS_MAX];
	uint64_t clock;
	bool stale; /* atomic */
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
 * 0, or the errno the kernel would give. At least the last two are valid at a time.
 */
int dirs_find(struct dirs *d, int self_fd, const struct tracee *task, int dirfd, struct dir *ret);

/* The directory @path, canonical, is about to move or go, and all below it. */
void dirs_forget_below(struct dirs *d, const char *path);
/* Any may have moved or gone: by any thread. */
void dirs_forget(struct dirs *d);

/* Has a path of procfs the mark of something that no path leads to any more? */
bool dirs_is_gone(const char *path);
