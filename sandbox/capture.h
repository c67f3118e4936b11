/*
 * The undo record of an action, taken between the decision and the call: what
 * the row's `undo` says is what is kept. Private to sandbox/.
 */
#pragma once

#include <linux/limits.h>
#include <stdbool.h>
#include <time.h>

#include "base/err.h"
#include "rootfs/journal.h"
#include "rootfs/overlay.h"
#include "rootfs/undo.h"

struct place;
struct worker;

/* The pre-image of a file that is still the same: {inode, ctime, size} -> stash. */
struct capture_shared {
	uint64_t ino, stash;
	int64_t size;
	struct timespec ctime;
};
enum { CAPTURE_SHARED_MAX = 64 };

struct capture {
	struct journal *journal; /* owned */
	bool sync;               /* what lies beside the journal reaches the disk too */
	struct undo_layers layers;
	struct capture_shared shared[CAPTURE_SHARED_MAX];
	unsigned shared_next;
	/* of the action under way */
	bool taken;      /* it has a record */
	uint64_t linked; /* the stash that is the file itself, by a second name; 0 none */
	bool foreseen; /* it has none: it was seen to fail, or what it acts on has no name to be found by */
	bool lost;      /* its pre-image could not be kept, which nobody was told yet */
	bool unwritten; /* it happened without a record, which nobody was told yet */
	char names[XATTR_LIST_MAX], value[XATTR_SIZE_MAX];
};

/*
 * Before the monitor enters the sandbox: opens the journal, and the lowers by their host
 * names. 0, -errno.
 */
int capture_open(const struct overlay *o, int session_dirfd, const struct journal_options *options,
		 struct capture **ret, struct err *err);
/*
 * Without an overlay, for an attached tree: on the real mounts of this namespace, by a /proc that knows the
 * caller. Needs no capture_enter.
 */
int capture_open_real(int proc_fd, int session_dirfd, const struct journal_options *options,
		      struct capture **ret, struct err *err);
/* After it: which mount inside is which layer. */
int capture_enter(struct capture *c, struct err *err);
void capture_free(struct capture *c);

/*
 * Keeps what the decided action of @w will replace. 0 also when there is nothing to
 * keep; -errno (ENOSPC: the journal takes no more): the action must fail with it.
 */
int capture_before(struct worker *w);
/* The same for an open for writing. @open_flags as openat2 takes them. */
int capture_before_open(struct worker *w, uint64_t open_flags);
/* The call was made with this result; @after: its object now, NULL not looked at yet. */
void capture_after(struct worker *w, int result, const struct stat *after);
/* What the last capture_after told of was taken back at once: it never happened. */
void capture_undone(struct worker *w);
/* No lower has this name: what is there was made in the session. False where that cannot be told. */
bool capture_is_new(const struct capture *c, const struct place *p);
/* Are the two names of one file, as their layer has it? */
bool capture_same_file(const struct capture *c, const struct place *a, const struct place *b);
/* Tells a person what is past undoing since the last call. Not while an event is begun. */
void capture_tell(struct worker *w);
