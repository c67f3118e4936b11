#include "sandbox/freeze.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/freeze_private.h"

enum { PAUSE_MIN_US = 50, PAUSE_MAX_US = 4000 };

static int prepare(struct freeze *f)
{
	pthread_mutex_init(&f->gate, NULL);
	f->state = mmap(NULL, FREEZE_TIDS, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->state == MAP_FAILED) {
		f->state = NULL;
		return -errno;
	}
	return 0;
}

int freeze_init(struct freeze *f, int proc_fd, pid_t init_pid, pid_t agent_pid,
		freeze_spare_fn *in_hand, void *arg)
{
	char name[64];
	struct stat st;
	/* Init shows nobody its namespaces; the agent is in the same one. */
	snprintf(name, sizeof(name), "%d/ns/pid", agent_pid);
	if (fstatat(proc_fd, name, &st, 0) < 0)
		return -errno;
	*f = (struct freeze){ .proc_fd = proc_fd,
			      .pid_ns = st.st_ino,
			      .init_pid = init_pid,
			      .in_hand = in_hand,
			      .in_hand_arg = arg };
	return prepare(f);
}

int freeze_init_tree(struct freeze *f, int proc_fd, struct tree *tree, freeze_spare_fn *in_hand,
		     void *arg)
{
	*f = (struct freeze){
		.proc_fd = proc_fd, .tree = tree, .in_hand = in_hand, .in_hand_arg = arg
	};
	return prepare(f);
}

void freeze_gate(struct freeze *f)
{
	pthread_mutex_lock(&f->gate);
}

bool freeze_gate_within(struct freeze *f, unsigned ms)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return pthread_mutex_timedlock(&f->gate, &until) == 0;
}

void freeze_ungate(struct freeze *f)
{
	pthread_mutex_unlock(&f->gate);
}

bool freeze_seized(const struct freeze *f, pid_t tid)
{
	return f->leaving && tid > 0 && tid < FREEZE_TIDS && f->state[tid] == TASK_SEIZED;
}

bool freeze_has(const struct freeze *f, enum freeze_reason reason)
{
	return f->reasons & 1u << reason;
}

int freeze_note(struct freeze *f, pid_t tid, unsigned state)
{
	if (tid <= 0 || tid >= FREEZE_TIDS)
		return -ERANGE;
	if (f->state[tid] == TASK_UNKNOWN) {
		if (f->count == f->room) {
			unsigned room = f->room ? f->room * 2 : 256;
			pid_t *more = reallocarray(f->tids, room, sizeof(*more));
			if (!more)
				return -ENOMEM;
			f->tids = more;
			f->room = room;
		}
		f->tids[f->count++] = tid;
	}
	f->state[tid] = (uint8_t)state;
	return 0;
}

/* Forgets those that have become TASK_UNKNOWN. */
static void compact(struct freeze *f)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < f->count; i++)
		if (f->state[f->tids[i]] != TASK_UNKNOWN)
			f->tids[kept++] = f->tids[i];
	f->count = kept;
}

static void spare(void *freeze, pid_t tid)
{
	struct freeze *f = freeze;
	if (tid > 0 && tid < FREEZE_TIDS && f->state[tid] == TASK_UNKNOWN)
		freeze_note(f, tid,
			    TASK_SPARED); /* without memory it is seized, and lingers: no harm */
}

/* Collects stops and deaths. Returns how many of the seized have not stopped. */
static unsigned collect(struct freeze *f)
{
	unsigned moving = 0;
	bool gone = false;
	for (unsigned i = 0; i < f->count; i++) {
		pid_t tid = f->tids[i];
		uint8_t *state = &f->state[tid];
		int status;
		if (*state != TASK_SEIZED && *state < TASK_STOPPED)
			continue;
		pid_t r = waitpid(tid, &status, __WALL | WNOHANG);
		if (r == 0) {
			moving += *state == TASK_SEIZED;
		} else if (r < 0 || WIFEXITED(status) || WIFSIGNALED(status)) {
			*state = TASK_UNKNOWN; /* dead, or taken over by an exec of its process */
			gone = true;
		} else {
			/* A signal on its way is given back at the end; what we caused, or a stop, is none. */
			bool event = status >> 16 != 0;
			*state = (uint8_t)(TASK_STOPPED + (event ? 0 : WSTOPSIG(status)));
		}
	}
	if (gone)
		compact(f);
	return moving;
}

/*
 * Gives the processor to those that are to stop, each needs a moment of it: as long as some do. A
 * look at each of those that do not costs far more, and is the next scan's.
 */
static void await_stops(struct freeze *f)
{
	unsigned before = UINT_MAX, moving;
	for (unsigned pause_us = PAUSE_MIN_US; (moving = collect(f)) && pause_us <= PAUSE_MAX_US;
	     before = moving) {
		usleep(pause_us);
		pause_us = moving < before ? PAUSE_MIN_US : pause_us * 2;
	}
}

static pid_t first_moving(const struct freeze *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->state[f->tids[i]] == TASK_SEIZED || f->state[f->tids[i]] == TASK_SIGNALED)
			return f->tids[i];
	return 0;
}

static int freeze_all(struct freeze *f, unsigned patience_ms, struct err *err)
{
	uint64_t until = clock_ms() + patience_ms;
	int rc = 0;
	do {
		bool fresh = false;
		bool moving = freeze_scan(f, &fresh, &rc);
		if (rc < 0)
			return err_sys(err, -rc, "freeze: cannot look through /proc");
		if (!moving && !fresh)
			return 0;
		await_stops(f);
	} while (clock_ms() < until);
	pid_t tid = first_moving(f);
	return err_set(err, ETIMEDOUT, "not everything has stopped yet%s%.0d%s",
		       tid ? ": task " : "", tid, tid ? " is still in a system call" : "");
}

static bool let_go(struct freeze *f, pid_t tid)
{
	uint8_t state = f->state[tid];
	if (state == TASK_SEIZED)
		return false;
	/* A thread's stop is its process's: one SIGCONT for each would do, more do no harm. */
	if (state == TASK_SIGNALED)
		kill(tid, SIGCONT);
	if (state >= TASK_STOPPED)
		ptrace(PTRACE_DETACH, tid, NULL, (void *)(uintptr_t)(state - TASK_STOPPED));
	f->state[tid] = TASK_UNKNOWN;
	return true;
}

bool freeze_tend(struct freeze *f)
{
	if (!f->leaving || f->reasons)
		return false;
	freeze_gate(f);
	collect(f);
	for (unsigned i = 0; i < f->count; i++)
		let_go(f, f->tids[i]);
	compact(f);
	f->leaving = f->count;
	freeze_ungate(f);
	return f->leaving > 0;
}

static void thaw(struct freeze *f)
{
	/* Children first: a parent that waits for stops sees none. */
	collect(f);
	for (unsigned i = f->count; i > 0; i--)
		let_go(f, f->tids[i - 1]);
	compact(f);
	f->leaving = f->count;
	freeze_ungate(f);
}

int freeze_add(struct freeze *f, enum freeze_reason reason, unsigned patience_ms, struct err *err)
{
	if (!f->reasons) {
		freeze_gate(f);
		f->in_hand(f->in_hand_arg, spare, f);
	}
	int rc = freeze_all(f, patience_ms, err);
	f->reasons |= 1u << reason;
	if (rc < 0 && rc != -ETIMEDOUT)
		freeze_drop(f, reason);
	return rc;
}

void freeze_drop(struct freeze *f, enum freeze_reason reason)
{
	if (!freeze_has(f, reason))
		return;
	f->reasons &= ~(1u << reason);
	if (!f->reasons)
		thaw(f);
}

void freeze_bury(struct freeze *f)
{
	/* Not one after the other: a process's first thread is told of only after its others. */
	while (f->count) {
		collect(f);
		unsigned traced = 0;
		for (unsigned i = 0; i < f->count; i++)
			traced += f->state[f->tids[i]] == TASK_SEIZED ||
				  f->state[f->tids[i]] >= TASK_STOPPED;
		if (!traced)
			break;
		usleep(PAUSE_MIN_US);
	}
	for (unsigned i = 0; i < f->count; i++)
		f->state[f->tids[i]] = TASK_UNKNOWN;
	compact(f);
	f->leaving = 0;
	if (f->reasons)
		freeze_ungate(f);
	f->reasons = 0;
}
