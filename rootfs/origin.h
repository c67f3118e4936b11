/*
 * What the host's files were when the session first changed them: the lower
 * side of each copy-up, noted before the call that causes it. Commit holds
 * the host against it and refuses what somebody else changed since.
 *
 * Kept in `origins`, a ledger of the session directory. A record is written when the upper has nothing
 * at that path yet, so the last record of a path is the one of its copy-up.
 *
 * A commit that leaves the layers as they are adds what it made of the host, and so does whoever takes one back:
 * the next commit holds the host against that. They write while the session stands still.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "rootfs/ledger.h"
#include "rootfs/overlay.h"

struct origin {
	int64_t size;
	int64_t mtime_sec, ctime_sec;
	uint32_t mtime_nsec, ctime_nsec;
	uint64_t ino;  /* as the overlay shows it: the low 32 bits are the host's */
	uint32_t mode; /* 0: there was nothing */
	uint32_t uid, gid;
	uint32_t by; /* enum origin_writer */
};

enum origin_writer {
	ORIGIN_MONITOR, /* what a call was about to change */
	ORIGIN_COMMIT,  /* what a commit, or its undo, left there */
	/* the same of a directory that hides all of the host's: what has no record in it the session never saw */
	ORIGIN_COMMIT_HIDING,
};

enum { ORIGIN_RECENT = 1024 };

/* The writing side, in the monitor; for one thread at a time. */
struct origins {
	const struct overlay *overlay; /* borrowed */
	struct ledger ledger;
	uint64_t recent
		[ORIGIN_RECENT]; /* hashes of what was noted: a call that fails again and again
					   is one record */
	char settled[PATH_MAX];  /* the directory last seen to need no note, nor those above it */
	bool stale;              /* it may need one again; atomic */
	bool failed;             /* a record could not be written */
};

/* @ret is zeroed by who allocated it: its tables take no memory until something is noted. 0, -errno. */
int origins_open(const struct overlay *o, int session_dirfd, struct origins *ret, struct err *err);
/*
 * @path (absolute, canonical, as inside) is about to be changed; @st is what it is now, NULL when
 * there is nothing (which needs a note only where a file that was copied up comes to be). The
 * directories above that are copied up with it are noted as well. Cheap when the upper holds it already. A record that cannot be written sets
 * @failed: commit then takes the file for changed by somebody else.
 */
void origins_note(struct origins *s, const char *path, const struct stat *st);
/* Directories may have moved or gone: what the upper holds is looked up anew. By any thread. */
void origins_forget(struct origins *s);
/* The same of the directory @path and those below it; by the thread that notes. */
void origins_forget_below(struct origins *s, const char *path);
/* Something is about to be made at @path: the directories above it are copied up, and noted. */
void origins_note_parents(struct origins *s, const char *path);
/* As origins_note, for a directory that is about to move, and everything in it. */
void origins_note_tree(struct origins *s, int dirfd, const char *name, const char *path);
void origins_close(struct origins *s);

/* The other writer: what is at @path of the host now, NULL nothing. 0, -errno. */
int origin_write(struct ledger *l, const char *path, const struct stat *st, enum origin_writer by);
/* The ledger for it, made where there is none. 0, -errno. */
int origin_ledger_open(int session_dirfd, struct ledger *ret, struct err *err);

/* The reading side. */
struct origin_entry {
	char *path; /* owned; NULL free */
	struct origin was;
};
struct origin_table {
	struct origin_entry *slots; /* owned */
	size_t size, count;         /* size: a power of two, or 0 */
};

/* A session without the file has an empty table. 0, -errno. */
int origin_table_load(int session_dirfd, struct origin_table *ret, struct err *err);
/* What @path was; NULL when nothing was noted. */
const struct origin *origin_find(const struct origin_table *t, const char *path);
/*
 * Is @path, in directory @path[0..parent_len) that hides the host's, something that came to the host after a commit
 * had made that directory, and so is none of the session's deletions?
 */
bool origin_unseen(const struct origin_table *t, const char *path, size_t parent_len);
void origin_table_finish(struct origin_table *t);

/* What differs between @was and the host's @now: "content", "mode" …; NULL nothing. */
const char *origin_differs(const struct origin *was, const struct stat *now);
