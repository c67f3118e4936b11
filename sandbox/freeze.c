#include "sandbox/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"

enum {
	FREEZE_TIDS = 1 << 22, /* PID_MAX_LIMIT of 64-bit kernels; pages are used as touched */
	PAUSE_MIN_US = 50,
	PAUSE_MAX_US = 4000,
	STATUS_SIZE = 4096,
	SYSCALL_SIZE = 256,
	ANCESTORS_MAX = 4096,
};

/* What is known of a task. From STOPPED on: stopped by us, plus the signal it is to get when let go. */
enum task_state {
	TASK_UNKNOWN,
	TASK_SPARED,   /* its call is in our hands */
	TASK_SEIZED,   /* on its way to a stop */
	TASK_SIGNALED, /* could not be seized; SIGSTOP stops it, SIGCONT is to follow */
	TASK_LEFT,     /* could not be seized and is in a stop of somebody else's */
	TASK_STOPPED = 128,
};

static const uintptr_t OPTIONS =
	PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;

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

void freeze_finish(struct freeze *f)
{
	if (f->state)
		munmap(f->state, FREEZE_TIDS);
	free(f->tids);
	f->state = NULL;
	f->tids = NULL;
	f->count = 0;
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

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int note(struct freeze *f, pid_t tid, unsigned state)
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
		note(f, tid, TASK_SPARED); /* without memory it is seized, and lingers: no harm */
}

/* Reads a small file of /proc/TID. false: gone. */
static bool read_task(const struct freeze *f, pid_t tid, const char *file, char *text, size_t size)
{
	char name[64];
	snprintf(name, sizeof(name), "%d/%s", tid, file);
	cleanup_fd int fd = openat(f->proc_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The number after "\nNAME:\t" of a status text; 0 none. */
static pid_t status_number(const char *status, const char *name)
{
	const char *at = strstr(status, name);
	return at ? atoi(at + strlen(name)) : 0;
}

/* The letter of proc(5): R S D T t Z X. */
static char task_letter(const char *status)
{
	const char *at = strstr(status, "\nState:\t");
	return at ? at[8] : 'X';
}

/*
 * A parent in vfork(2): the kernel holds it until its child has gone on to another program or its
 * end. Its child cannot, once it is stopped.
 */
static bool waits_in_vfork(const struct freeze *f, pid_t tid, char letter)
{
	char text[SYSCALL_SIZE];
	long nr;
	unsigned long long flags;
	if (letter != 'D' || !read_task(f, tid, "syscall", text, sizeof(text)) ||
	    sscanf(text, "%ld %llx", &nr, &flags) != 2)
		return false;
#ifdef SYS_vfork
	if (nr == SYS_vfork)
		return true;
#endif
	return nr == SYS_clone && (flags & CLONE_VFORK);
}

/* Whose tracee it is: this thread's, that of another of our threads (it verifies an exec, and
 * lets go within moments), or somebody's inside. */
enum tracer { TRACER_NONE, TRACER_SELF, TRACER_OURS, TRACER_OTHER };
static enum tracer tracer_of(const struct freeze *f, const char *status)
{
	pid_t tracer = status_number(status, "\nTracerPid:\t");
	char text[STATUS_SIZE];
	if (tracer <= 0)
		return TRACER_NONE;
	if (tracer == gettid())
		return TRACER_SELF;
	if (!read_task(f, tracer, "status", text, sizeof(text)))
		return TRACER_NONE;
	return status_number(text, "\nTgid:\t") == getpid() ? TRACER_OURS : TRACER_OTHER;
}

/* A task that may not be seized: a debugger inside has it, or its program may not be read. */
static void stop_by_signal(struct freeze *f, pid_t tgid, pid_t tid, char letter)
{
	if (letter == 'T' || letter == 't')
		note(f, tid, TASK_LEFT);
	else if (syscall(SYS_tgkill, tgid, tid, SIGSTOP) == 0)
		note(f, tid, TASK_SIGNALED);
}

/* One that cannot be seized, or not yet. True when it is still on its way. */
static bool seize_failed(struct freeze *f, pid_t tgid, pid_t tid)
{
	char status[STATUS_SIZE];
	if (errno == ESRCH || !read_task(f, tid, "status", status, sizeof(status)))
		return false;
	char letter = task_letter(status);
	if (letter == 'Z' || letter == 'X')
		return false;
	switch (tracer_of(f, status)) {
	case TRACER_SELF: /* a child of one that was seized, born so */
		note(f, tid, TASK_SEIZED);
		return true;
	case TRACER_OURS:
		return true;
	case TRACER_NONE:
	case TRACER_OTHER:
		break;
	}
	stop_by_signal(f, tgid, tid, letter);
	return true;
}

/* One that was asked to stop and has not. True unless it cannot run anyway. */
static bool on_its_way(struct freeze *f, pid_t tid)
{
	char status[STATUS_SIZE];
	if (!read_task(f, tid, "status", status, sizeof(status)))
		return false;
	char letter = task_letter(status);
	if (f->state[tid] == TASK_SIGNALED)
		return letter != 'T' && letter != 't';
	return letter != 'Z' && letter != 'X' && !waits_in_vfork(f, tid, letter);
}

/*
 * One task of the sandbox. True when it is, or may be, still on its way. The first look costs two
 * calls and no more: a thousand spinning threads leave this one little of the processor.
 */
static bool seize(struct freeze *f, pid_t tgid, pid_t tid)
{
	if (tid >= FREEZE_TIDS)
		return false;
	uint8_t state = f->state[tid];
	if (state == TASK_SEIZED || state == TASK_SIGNALED)
		return on_its_way(f, tid);
	if (state != TASK_UNKNOWN)
		return false;
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)OPTIONS) < 0)
		return seize_failed(f, tgid, tid);
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	if (note(f, tid, TASK_SEIZED) < 0) /* it can only be let go when it has stopped */
		kill(tgid, SIGKILL);
	return true;
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
 * Is this process one of the sandbox's? Its namespace tells; that of a program that may not be read is
 * not shown, but everything inside descends from init, so its parents tell.
 */
static bool inside(const struct freeze *f, pid_t pid)
{
	char name[64], status[STATUS_SIZE];
	struct stat st;
	if (f->tree)
		return tree_has(f->tree, pid);
	snprintf(name, sizeof(name), "%d/ns/pid", pid);
	if (fstatat(f->proc_fd, name, &st, 0) == 0)
		return st.st_ino == f->pid_ns;
	for (unsigned up = 0; pid > 1 && up < ANCESTORS_MAX; up++) {
		if (pid == f->init_pid)
			return true;
		if (!read_task(f, pid, "status", status, sizeof(status)))
			return false;
		const char *inner = strstr(status, "\nNSpid:\t");
		if (!inner || !strchr(inner + 8, '\t') ||
		    strchr(inner + 8, '\t') > strchr(inner + 8, '\n'))
			return false; /* it has but one number: the host's */
		pid = status_number(status, "\nPPid:\t");
	}
	return false;
}

static bool scan_threads(struct freeze *f, pid_t tgid, bool *fresh)
{
	char name[64];
	bool moving = false;
	snprintf(name, sizeof(name), "%d/task", tgid);
	cleanup_fd int fd = openat(f->proc_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return false;
	fd = -1; /* the stream owns it */
	for (struct dirent *e; (e = readdir(dir));) {
		pid_t tid = atoi(e->d_name);
		if (tid <= 0)
			continue;
		unsigned before = f->count;
		moving |= seize(f, tgid, tid);
		*fresh |= f->count != before;
	}
	return moving;
}

/* One look at everything inside. True while something is not still; @fresh: something new was met. */
static bool scan(struct freeze *f, bool *fresh, int *ret_error)
{
	bool moving = false;
	if (f->tree)
		tree_refresh(f->tree);
	cleanup_fd int fd = openat(f->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		*ret_error = -errno;
		return true;
	}
	fd = -1;
	for (struct dirent *e; (e = readdir(dir));) {
		pid_t pid = atoi(e->d_name);
		if (pid > 0 && pid != f->init_pid && inside(f, pid))
			moving |= scan_threads(f, pid, fresh);
	}
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
	uint64_t until = now_ms() + patience_ms;
	int rc = 0;
	do {
		bool fresh = false;
		bool moving = scan(f, &fresh, &rc);
		if (rc < 0)
			return err_sys(err, -rc, "freeze: cannot look through /proc");
		if (!moving && !fresh)
			return 0;
		await_stops(f);
	} while (now_ms() < until);
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
