/*
 * Stops everything inside, and lets it go on as if nothing had been.
 *
 * Theory of operation. Every task in the sandbox's pid namespace is seized (PTRACE_SEIZE,
 * INTERRUPT) by the calling thread: docs/decisions/freeze.md says why not by SIGSTOP or a control group.
 * The scan is repeated until it finds nothing new; children of seized tasks are born seized. A task
 * whose call is in our hands is not touched: it cannot run before we answer, and nobody answers while
 * frozen, since a leader that has received a call, and a follower that is done with one,
 * must pass freeze_gate first. A parent that waits in vfork for a stopped child is as good as stopped.
 *
 * frozen  = a reason is held. freeze_add: none -> frozen; freeze_drop of the last: frozen -> none.
 * A task that was stopped by job control is in its stop again after the thaw, and not told of anything.
 * SIGCONT from wherever does not wake it, SIGKILL does end it. The monitor's death kills all (EXITKILL).
 *
 * freeze_add, freeze_drop, freeze_tend and freeze_bury are for one thread only, the one that
 * supervises: a tracer is a thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/tree.h"

/* Who wants it frozen. Each may ask as often as it likes; it counts once. */
enum freeze_reason {
	FREEZE_PERSON, /* vsandbox pause */
	FREEZE_HELD,   /* a call waits for a person, and the policy says "pause": "tree" */
	FREEZE_PROMPT, /* a question stands on the agent's terminal */
	FREEZE_UNDO,
	FREEZE_SNAPSHOT,
	FREEZE_REASON_COUNT,
};

/* Puts the tasks whose calls are in our hands into @freeze with freeze_spare. */
typedef void freeze_spare_fn(void *arg, void (*spare)(void *to, pid_t tid), void *to);

struct freeze {
	pthread_mutex_t gate; /* held while frozen; else by whoever acts for the agent */
	uint32_t reasons;     /* bit per freeze_reason */
	int proc_fd;          /* the outer /proc; borrowed */
	ino_t pid_ns;         /* of the sandbox */
	pid_t init_pid;
	struct tree *tree; /* attached: whom it is about; NULL: all of pid_ns. Borrowed */
	freeze_spare_fn *in_hand;
	void *in_hand_arg;
	uint8_t *state; /* by tid, see freeze_private.h; owned mapping of FREEZE_TIDS bytes */
	pid_t *tids;    /* that have a state; owned */
	unsigned count, room;
	unsigned leaving; /* of them, still to be detached after a thaw */
};

/* @proc_fd: of the outer /proc, borrowed; pids as the host numbers them. 0, -errno. */
int freeze_init(struct freeze *f, int proc_fd, pid_t init_pid, pid_t agent_pid,
		freeze_spare_fn *in_hand, void *arg);
/* For an attached tree, which has no pid namespace of its own: looked through anew at each scan. */
int freeze_init_tree(struct freeze *f, int proc_fd, struct tree *tree, freeze_spare_fn *in_hand,
		     void *arg);

/*
 * Freezes for @reason: 0 when nothing inside runs any more. -ETIMEDOUT: after @patience_ms some
 * task is still on its way to a stop (in a long system call), named in @err; no user code of
 * it will run, and all others are stopped. -errno otherwise: then @reason is not held.
 */
int freeze_add(struct freeze *f, enum freeze_reason reason, unsigned patience_ms, struct err *err);
/* @reason no longer holds it; the last one lets everything go on. Nothing when it did not hold. */
void freeze_drop(struct freeze *f, enum freeze_reason reason);
bool freeze_has(const struct freeze *f, enum freeze_reason reason);

/* After a thaw a task that had been on its way to its stop may have arrived there: lets it go
 * on. True while there are more: call again within a millisecond or so. */
bool freeze_tend(struct freeze *f);

/* Everything inside has been sent SIGKILL: takes in the dead that only their tracer can, and opens the gate. */
void freeze_bury(struct freeze *f);

/*
 * For the threads that act: no call is carried out or answered but between these two. What has
 * been received but not yet begun when @seized is true must be answered with -ERESTARTSYS: its
 * task was seized meanwhile, restarts the call after the thaw, and is unseen until then.
 */
void freeze_gate(struct freeze *f);
/* … or gives it up after @ms. */
bool freeze_gate_within(struct freeze *f, unsigned ms);
void freeze_ungate(struct freeze *f);
bool freeze_seized(const struct freeze *f, pid_t tid);
