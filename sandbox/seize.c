/*
 * Theory of operation. Rounds: seize and interrupt every thread not yet known, wait until all have
 * stopped, look for threads and children that were made meanwhile. A process whose threads have all stopped
 * makes no more of either, so the first round that finds nothing new has them all, and the tree is still.
 */
#include "sandbox/seize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/inject.h"
#include "sandbox/proc.h"

enum {
	DEEP_MS = 30,   /* in the kernel, not to be interrupted: let it come out by itself */
	STOP_MS = 2000, /* on a processor that others want as well */
	AWAKE_MS = 3,
	PAUSE_NS = 20000,
	CHILDREN_SIZE = 65536,
};

static int open_task(pid_t pid, pid_t tid)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, tid);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Room for one more in an array of @size-byte elements. */
static int grow(void **array, unsigned count, unsigned *room, size_t size)
{
	if (count < *room)
		return 0;
	unsigned more = *room ? *room * 2 : 16;
	void *bigger = reallocarray(*array, more, size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

static int add_process(struct seized *s, pid_t pid)
{
	for (unsigned i = 0; i < s->process_count; i++)
		if (s->processes[i].pid == pid)
			return 0;
	void *array = s->processes;
	int r = grow(&array, s->process_count, &s->process_room, sizeof(*s->processes));
	s->processes = array;
	if (r < 0)
		return r;
	s->processes[s->process_count++] = (struct seized_process){ .pid = pid };
	return 1;
}

static bool known(const struct seized *s, pid_t tid)
{
	for (unsigned i = 0; i < s->thread_count; i++)
		if (s->threads[i].tid == tid && !s->threads[i].gone)
			return true;
	return false;
}

/* 1: a new thread, seized. 0: there is nothing to seize. */
static int seize_thread(struct seized *s, pid_t pid, pid_t tid, struct err *err)
{
	if (known(s, tid))
		return 0;
	void *array = s->threads;
	int r = grow(&array, s->thread_count, &s->thread_room, sizeof(*s->threads));
	s->threads = array;
	if (r < 0)
		return err_sys(err, -r, "attach");
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD) < 0) {
		int errnum = errno;
		cleanup_fd int dir = open_task(pid, tid);
		char state = dir < 0 ? 'X' : proc_stat_state(dir);
		if (errnum == ESRCH || state == 'Z' || state == 'X')
			return 0; /* a zombie: a leader may be one while its threads go on */
		return err_sys(err, errnum, "thread %d of process %d cannot be traced", tid, pid);
	}
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	s->threads[s->thread_count++] = (struct seized_thread){ .pid = pid, .tid = tid };
	return 1;
}

static int seize_threads(struct seized *s, struct seized_process *p, struct err *err)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
	int found = 0;
	cleanup_dir DIR *dir = fd_opendir(AT_FDCWD, path, 0);
	if (!dir && (errno == ENOENT || errno == ESRCH)) {
		p->gone = true;
		return 0;
	}
	/* Anything else is no sign that it ended: its threads would go on unwatched. */
	if (!dir)
		return err_sys(err, errno, "the threads of process %d cannot be listed", p->pid);
	for (const struct dirent *e; (e = readdir(dir));) {
		pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
		int r = tid > 0 ? seize_thread(s, p->pid, tid, err) : 0;
		if (r < 0)
			return r;
		found |= r;
	}
	return found;
}

/* Takes what there is to wait for. true: the thread has come to rest, or is gone. */
static bool look_at(struct seized_thread *t)
{
	int status;
	pid_t pid = waitpid(t->tid, &status, __WALL | WNOHANG);
	if (pid == 0 || (pid < 0 && errno == EINTR))
		return false;
	if (pid < 0 || WIFEXITED(status) || WIFSIGNALED(status))
		t->gone = true;
	else if (status >> 16 == PTRACE_EVENT_STOP)
		t->stopped = true;
	else /* a signal on its way came first; the interrupt is still to come */
		ptrace(PTRACE_CONT, t->tid, NULL, (void *)(uintptr_t)WSTOPSIG(status));
	return t->gone || t->stopped;
}

/* Why @t does not stop: 0 it may yet. */
static int patience(const struct seized_thread *t, uint64_t waited_ms, struct err *err)
{
	if (waited_ms < DEEP_MS)
		return 0;
	cleanup_fd int dir = open_task(t->pid, t->tid);
	if (dir >= 0 && proc_stat_state(dir) == 'D')
		return err_set(err, EAGAIN,
			       "thread %d of process %d waits in the kernel and cannot be stopped "
			       "(vfork, or a disk that does not answer)",
			       t->tid, t->pid);
	if (waited_ms < STOP_MS)
		return 0;
	return err_set(err, ETIMEDOUT, "thread %d of process %d does not stop", t->tid, t->pid);
}

static int wait_stopped(struct seized *s, struct err *err)
{
	uint64_t since = clock_ms();
	for (;;) {
		const struct seized_thread *waiting = NULL;
		for (unsigned i = 0; i < s->thread_count; i++) {
			struct seized_thread *t = &s->threads[i];
			if (!t->stopped && !t->gone && !look_at(t))
				waiting = t;
		}
		if (!waiting)
			return 0;
		int r = patience(waiting, clock_ms() - since, err);
		if (r < 0)
			return r;
		/* Awake for the first moments: waking an idle processor costs more than most stops take. */
		struct timespec pause = { .tv_nsec = PAUSE_NS };
		if (clock_ms() - since < AWAKE_MS)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
}

static bool skipped(const pid_t *skip, pid_t pid)
{
	while (*skip && *skip != pid)
		skip++;
	return *skip != 0;
}

static int add_children(struct seized *s, const struct seized_thread *t, const pid_t *skip,
			char text[static CHILDREN_SIZE], struct err *err)
{
	int found = 0;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", t->pid, t->tid);
	ssize_t len = proc_read(AT_FDCWD, path, text, CHILDREN_SIZE);
	cleanup_fd int dir = len == -ENOENT ? open_task(t->pid, t->tid) : -1;
	if (len == -ESRCH || (len == -ENOENT && dir < 0))
		return 0; /* it ended */
	if (len < 0)
		return err_sys(err, (int)-len,
			       "the kernel does not say what the children of process %d are "
			       "(CONFIG_PROC_CHILDREN)",
			       t->pid);
	if (len == CHILDREN_SIZE - 1)
		return err_set(err, E2BIG, "process %d has too many children", t->pid);
	for (char *at = text, *end;; at = end) {
		pid_t pid = (pid_t)strtol(at, &end, 10);
		if (end == at)
			return found;
		int r = skipped(skip, pid) ? 0 : add_process(s, pid);
		if (r < 0)
			return err_sys(err, -r, "attach");
		found |= r;
	}
}

int seize_tree(pid_t root, const pid_t *skip, struct seized *ret, struct err *err)
{
	*ret = (struct seized){ 0 };
	cleanup_free char *text = malloc(CHILDREN_SIZE);
	int r = text ? add_process(ret, root) : -ENOMEM, added = 0;
	if (r < 0)
		return err_sys(err, -r, "attach");
	prctl(PR_SET_TIMERSLACK, 1, 0, 0,
	      0); /* of this thread: it sleeps while all others stand still */
	for (;;) {
		int found = 0;
		for (unsigned i = 0; r >= 0 && i < ret->process_count; i++) {
			r = ret->processes[i].gone ? 0
						   : seize_threads(ret, &ret->processes[i], err);
			found |= r > 0;
		}
		if (r >= 0 && found)
			r = wait_stopped(ret, err);
		/* All of them stand: only now is the list of children that of the last one made. */
		for (unsigned i = 0; r >= 0 && !found && i < ret->thread_count; i++) {
			r = ret->threads[i].gone
				    ? 0
				    : add_children(ret, &ret->threads[i], skip, text, err);
			added |= r > 0;
		}
		if (r < 0)
			return r;
		if (!found && !added)
			break;
		added = 0;
	}
	/* An exec from a thread gives its number to another: whoever does not answer is not stopped. */
	siginfo_t info;
	for (unsigned i = 0; i < ret->thread_count; i++)
		if (!ret->threads[i].gone &&
		    ptrace(PTRACE_GETSIGINFO, ret->threads[i].tid, NULL, &info) < 0 &&
		    errno == ESRCH)
			return err_set(err, EAGAIN, "thread %d of process %d runs another program",
				       ret->threads[i].tid, ret->threads[i].pid);
	return 0;
}

void seize_release(struct seized *s)
{
	for (unsigned i = 0; i < s->thread_count; i++) {
		const struct seized_thread *t = &s->threads[i];
		if (t->gone || !t->stopped)
			continue;
		inject_hide_stop(t->tid);
		ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
	}
	free(s->threads);
	free(s->processes);
	*s = (struct seized){ 0 };
}

pid_t seize_choose(const struct seized *s, pid_t pid)
{
	pid_t best = 0;
	unsigned fitness = 0;
	for (unsigned i = 0; i < s->thread_count && fitness < 2; i++) {
		const struct seized_thread *t = &s->threads[i];
		unsigned f = t->pid == pid && !t->gone ? inject_fitness(t->tid) : 0;
		if (f > fitness) {
			fitness = f;
			best = t->tid;
		}
	}
	return best;
}
