/*
 * System calls made in a stopped thread of somebody else, by ptrace. The thread
 * is given back as it was found: registers, signal mask, and the system call it was
 * in, which the kernel then restarts by its own rules.
 *
 * All of it belongs to the thread that seized the tracee with PTRACE_SEIZE and
 * PTRACE_O_TRACESYSGOOD, and waits for it here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "sandbox/inject_arch.h"

struct inject {
	pid_t tid;
	struct inject_regs saved; /* to be put back */
	uint64_t mask;            /* blocked signals, as found */
	uint64_t insn;            /* a system call instruction in the tracee's text */
	bool moved;               /* its registers are ours now */
	bool stop_due;            /* a SIGSTOP came meanwhile: sent again at the end */
	bool dead;
};

/*
 * Which of two stopped threads suits better: one inside a system call is in no restartable sequence.
 * 0 cannot be used (another instruction set, gone), else the larger the better.
 */
unsigned inject_fitness(pid_t tid);

/* @tid is stopped (PTRACE_EVENT_STOP). Nothing changes in it yet. 0, -errno. */
int inject_begin(struct inject *in, pid_t tid, struct err *err);

/*
 * Runs one system call; @ret_value gets its result or -errno. 0; -ESRCH: the thread died; -EFAULT: it could
 * not be brought to make the call.
 */
int inject_call(struct inject *in, long nr, const uint64_t args[static 6], int64_t *ret_value);

/* Puts everything back; the thread is stopped as inject_begin found it. Idempotent. */
void inject_end(struct inject *in);

/*
 * Before a stopped thread is let go: a call that the mere stop made fail with EINTR is marked to be restarted
 * unless a handler runs. No signal, no EINTR.
 */
void inject_hide_stop(pid_t tid);
