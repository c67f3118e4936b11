/*
 * A session's changes made real, and taken back.
 *
 * Theory of operation. The uppers are turned into a plan: a list of steps, each with what the host has now
 * and what it is to have. The plan is checked as a whole (conflicts with the origins, what may not be written, what
 * the host would execute) and nothing is touched while a check fails. Then it is written to the
 * session's commits/N/plan, and carried out in this order:
 *
 *   1. pre-images of all that is replaced or deleted, as hard links where possible, in commits/N/pre
 *   2. what stands where something of another type comes is removed
 *   3. new directories, top-down
 *   4. new and changed files, under temporary names in their directories, and fsync
 *   5. each exchanged with the old file, or renamed to its name
 *   6. deletions, bottom-up
 *   7. owners, modes, attributes and times of directories, deepest first; fsync of directories
 *   8. the committed changes leave the layers
 *
 * Of a session that runs (COMMIT_KEEPS; all of it stands still meanwhile) the layers stay as they are: they hide what the
 * host has now. Instead of 8. the origins are told what that is. And before 2. each directory that the session
 * made is marked opaque in its upper: the mounted overlay knows no lower of it, and would leave no whiteout for what
 * is deleted there later.
 *
 * commits/N/progress holds the identity of each new object before it gets its name. So every step can see
 * whether it was made: after a kill at any instant the same list is gone through again (resume), or backwards (undo).
 * At each moment a path has its old file or its new one; only where a file becomes a directory or
 * the reverse is there a moment with neither. A failure in the middle takes everything back.
 *
 * What somebody changes while this goes on is not overwritten: files are exchanged, looked at, and
 * exchanged back when the old one was not the one that was planned for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/overlay.h"

enum commit_layers {
	COMMIT_DROPS, /* what is committed leaves the layers; nothing of the session lives */
	COMMIT_KEEPS, /* the layers are mounted, or are to stay: the session goes on in them */
};

enum commit_kind {
	COMMIT_DELETE, /* anything but a directory */
	COMMIT_RMDIR,
	COMMIT_MKDIR,
	COMMIT_PUT,   /* anything but a directory, new or instead of another */
	COMMIT_META,  /* a directory's owner, mode, attributes, times */
	COMMIT_TOUCH, /* a directory whose entries change: its time */
	COMMIT_KIND_COUNT,
};

/* What is to be found at a path. */
struct commit_state {
	uint64_t dev, ino;
	int64_t size, mtime_sec;
	uint32_t mtime_nsec;
	uint32_t mode; /* 0: nothing is there */
	uint32_t uid, gid;
};

struct commit_op {
	enum commit_kind kind;
	bool early; /* removed to make room for another type */
	bool link;  /* the upper's file itself may become the host's: no name of it stays behind */
	uint32_t group;    /* the first step that puts the same file, by index: hard links */
	uint32_t layer;    /* overlay_layer.index */
	uint32_t root_len; /* of the layer's lower at the beginning of path; 0: "/" */
	struct commit_state old, new;
	char *path; /* absolute; owned */
};

enum commit_problem_kind {
	COMMIT_CONFLICT, /* the host's was changed since */
	COMMIT_REFUSED,  /* cannot or must not be written */
	COMMIT_EXECUTES, /* the host would run it, or follow it: needs a yes of its own */
	COMMIT_NOTE,     /* done, but not quite as it is in the session */
};

struct commit_problem {
	enum commit_problem_kind kind;
	char *path;   /* owned */
	char *why;    /* owned */
	bool follows; /* COMMIT_EXECUTES: a link that leads out, not a file that is run */
};

struct commit_plan {
	struct commit_op *ops; /* owned; parents before children, COMMIT_TOUCH last */
	size_t count, room;
	struct commit_problem *problems; /* owned */
	size_t problem_count, problem_room;
	enum commit_layers layers;
	uint64_t journal; /* COMMIT_KEEPS: number of the session's last journal record then */
	bool whole;       /* no change is left out */
	bool keep_setuid; /* setuid and setgid bits of files are carried over */
};

struct commit_request {
	enum commit_layers layers;
	uint64_t journal; /* see commit_plan */
	const struct overlay *overlay;
	int session_dirfd;
	const char *workspace;       /* a new link that leads out of it is told */
	const char *const *paths;    /* these and what is below; NULL-terminated; empty: all */
	const char *const *excludes; /* shell patterns of paths or names; NULL-terminated */
	/* asked for each change that is wanted so far; false leaves it in the session. NULL: all are wanted */
	bool (*want)(const char *path, char letter, void *arg);
	void *want_arg;
	bool keep_setuid;
};

/* 0 also when there are problems; -errno when the session cannot be read. */
int commit_plan_make(const struct commit_request *req, struct commit_plan *ret, struct err *err);
void commit_plan_finish(struct commit_plan *p);
unsigned commit_plan_problems(const struct commit_plan *p, enum commit_problem_kind kind);

/* Told of each path that could not be treated, with why. */
typedef void commit_told(const char *path, const char *why, void *arg);

/*
 * Carries out a plan without conflicts and refusals. The caller holds the session's lock, and none of the
 * session's processes lives; with COMMIT_KEEPS all of them stand still. 0; -ESTALE: the host was changed
 * meanwhile, all was taken back; another -errno: a failure, all was taken back or @err says that it was not.
 */
int commit_run(int session_dirfd, const struct overlay *o, const struct commit_plan *p,
	       commit_told *told, void *arg, struct err *err);

enum commit_status {
	COMMIT_NONE,       /* there is no commit that could be undone */
	COMMIT_UNFINISHED, /* interrupted: resume or undo */
	COMMIT_UNDOING,    /* an undo was interrupted: undo */
	COMMIT_FINISHED,   /* undo */
};
/* The last commit that was not undone. */
int commit_status(int session_dirfd, enum commit_status *ret, struct err *err);
/*
 * Goes on with an interrupted commit. As commit_run. When it kept the layers and the session has gone on since, what was
 * not yet copied is not what was planned: then all is taken back, and it is -ESTALE.
 */
int commit_resume(int session_dirfd, const struct overlay *o, commit_told *told, void *arg,
		  struct err *err);

/* What undo did. */
struct commit_undone {
	unsigned number; /* of the commit */
	size_t restored; /* steps taken back */
	size_t drifted;  /* left, because the host was changed since */
	bool again;      /* what drifted will be looked at once more */
	char drift_dir
		[64]; /* below the session: the old files of those that were left, by number */
};
/*
 * The host as it was before the last commit. What was changed since is told and left. 0, also with drift;
 * -ENOENT: nothing to undo; another -errno: interrupted by a failure, to be called again.
 */
int commit_undo(int session_dirfd, struct commit_undone *ret, commit_told *told, void *arg,
		struct err *err);
/* The steps of the commit that undo would take back. As commit_undo; freed with commit_plan_finish. */
int commit_load(int session_dirfd, struct commit_plan *ret, struct err *err);
