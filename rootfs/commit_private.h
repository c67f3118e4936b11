/* A commit on its way: what applying and undoing share. Private to rootfs/commit*.c. */
#pragma once

#include <sys/stat.h>

#include "rootfs/commit.h"
#include "rootfs/ledger.h"

/* What commits/N/progress says, in the order in which it comes to be true. */
enum commit_mark {
	MARK_SAVED,    /* all pre-images are there; before it the host is untouched */
	MARK_STAGED,   /* the new object of a step, under its temporary name or its own */
	MARK_DONE,     /* the host is as planned */
	MARK_DROPPED,  /* the layers hold none of it any more, or the origins know of it */
	MARK_UNDOING,  /* from here on only backwards */
	MARK_DRIFTED,  /* a step that undo left, because the host was changed since */
	MARK_RESTORED, /* the object that undo made of a pre-image on another filesystem */
	MARK_RETURNED, /* the host is as it was; the pre-images may go */
	MARK_UNDONE,
	MARK_COUNT,
};

struct commit_progress {
	struct commit_state staged, restored; /* mode 0: not */
	bool drifted;
};

/* The last directory that was opened: steps come in the order of directories. */
struct commit_cache {
	int root, dir; /* O_PATH; owned; -1 */
	const char *path;
	size_t root_len, len;
	unsigned layer;
};

struct commit {
	const struct overlay *overlay;    /* borrowed; NULL in an undo */
	struct commit_plan plan;          /* owned */
	struct commit_progress *progress; /* of each step; owned */
	bool marks[MARK_COUNT];
	unsigned number;
	bool resumed; /* somebody else has begun it */
	char nonce[12];
	int session_dirfd;     /* borrowed */
	int dir, pre;          /* commits/N and its pre; owned */
	struct ledger ledger;  /* progress */
	struct ledger origins; /* of the session */
	char **siblings;       /* see commit_keep_siblings; owned */
	size_t sibling_count;
	struct commit_cache host, upper;
	commit_told *told;
	void *arg;
	struct err *err;
};

enum { COMMIT_NAME_SIZE = 64 };

/* commit_record.c */
/* Nothing of a commit yet: no plan, no number, no descriptor of its own. */
struct commit commit_record_none(int session_dirfd, struct err *err);
int commit_record_write(struct commit *c);
/* The newest commit that was not undone. -ENOENT none. */
int commit_record_open(int session_dirfd, struct commit *ret, struct err *err);
/* The newest of those before number @below. */
int commit_record_before(int session_dirfd, unsigned below, struct commit *ret, struct err *err);
void commit_record_close(struct commit *c);
int commit_mark(struct commit *c, enum commit_mark mark, size_t op, const struct commit_state *st);
void commit_state_of(const struct stat *st, struct commit_state *ret);
/* The same object, unchanged as far as content, mode and owner go. */
bool commit_state_is(const struct commit_state *s, const struct stat *st);

/* commit_paths.c: where a step acts. Descriptors are borrowed from the cache. */
const char *commit_below(const struct commit_op *op);
int commit_host_dir(struct commit *c, const struct commit_op *op, const char **ret_leaf);
int commit_upper_dir(struct commit *c, const struct commit_op *op, const char **ret_leaf);
/* The directory that the step is about, itself. The caller closes it. */
int commit_host_self(struct commit *c, const struct commit_op *op);
/*
 * Without powers over files: the plan's directories that are the caller's are given what their owner lacks,
 * before the first step in either direction. The last phase gives each its mode.
 */
void commit_open_up(struct commit *c);
/* Is @now the mode @wanted, or what commit_open_up makes of it? */
bool commit_mode_is(uint32_t now, uint32_t wanted);
/* Gives a directory that commit_open_up opened the mode it had before. 0, -errno. */
int commit_close_up(int self, const struct commit_op *op);
/* Only the time of modification. 0, -errno. */
int commit_set_time(int self, const struct commit_state *s);
void commit_forget(struct commit_cache *cache);
void commit_temp_name(const struct commit *c, size_t op, char name[static COMMIT_NAME_SIZE]);
void commit_pre_name(size_t op, char name[static COMMIT_NAME_SIZE]);
/* Takes @name away if it is still @was. 0 (also: it is not there), -ESTALE, -errno. */
int commit_take_away(struct commit *c, size_t op, int dir, const char *name,
		     const struct commit_state *was);
/*
 * Puts @temp of @from_dir at @leaf, if there still is @old (mode 0: nothing); what was replaced is gone
 * afterwards. 0, -ESTALE, -errno (-EXDEV: @from_dir is on another filesystem; nothing was done).
 */
int commit_exchange(int from_dir, const char *temp, int dir, const char *leaf,
		    const struct commit_state *old);
/*
 * After a commit_exchange that may have been killed: what it left at @temp goes if it is @old; another thing,
 * which had @leaf by then, gets it back. 0 (also: nothing is left), -ESTALE, -errno.
 */
int commit_exchange_finish(int dir, const char *temp, const char *leaf,
			   const struct commit_state *old);
/* fsync of every directory whose entries changed. */
int commit_sync_dirs(struct commit *c);
/* An error about a path. Returns @r. */
int commit_failed(struct commit *c, const struct commit_op *op, int r, const char *what);

/* commit_keep.c: of a commit that leaves the layers as they are. */
int commit_keep_begin(struct commit *c);
/* When it is taken back: what begin had lent of modes, and was killed. 0, -errno. */
int commit_keep_end(struct commit *c);
/* Is the upper's object of a step still what was planned? 0, -ESTALE: the session has gone on. */
int commit_keep_check(struct commit *c, size_t op, const struct stat *upper);
/* Room for what commit_keep_note will write, so that a full disk cannot stop it. */
int commit_keep_reserve(struct commit *c);
/*
 * Finds the paths, noted and unchanged, that are other names of the files that will be touched: their change time
 * moves with that, and commit_keep_note says so. One who goes on with another's commit does not know them any more:
 * the next commit may then find a conflict where none is. 0, -errno.
 */
int commit_keep_siblings(struct commit *c);
enum commit_side { COMMIT_SIDE_OLD, COMMIT_SIDE_NEW };
/*
 * Tells the origins what the host has now, where that is the commit's doing (NEW) or what was there before it
 * (OLD: brought back, its change time is another).
 */
int commit_keep_note(struct commit *c, enum commit_side side);

/* commit_earlier.c: the commits before one whose steps have just been taken back. 0, -errno. */
int commit_earlier_tell(struct commit *c);

/* commit_undo.c: takes back what was made so far. */
enum commit_take_back {
	TAKE_BACK_FINAL, /* drift is told, left, and done with */
	TAKE_BACK_AGAIN, /* after a failure: with drift it is -ESTALE, and an undo is to come */
};
int commit_take_back(struct commit *c, enum commit_take_back again, struct commit_undone *ret);
