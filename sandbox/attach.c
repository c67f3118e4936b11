/*
 * Theory of operation.
 *
 *   still     every thread of the tree is stopped (seize.h)
 *   checked   each process once more, now that it cannot change (attachable.h)
 *   prepared  in one thread of each: mmap, the filter written there. What can fail for want of
 *             memory fails here, and is taken back
 *   filtered  in the same threads: no_new_privs, seccomp(NEW_LISTENER|TSYNC), the listener fetched with
 *             pidfd_getfd and closed there, munmap
 *   released
 *
 * All of it happens on a thread of its own, because ptrace binds to the thread and a task that cannot be
 * stopped (in vfork, until its child is done) is let go only by that thread's end. Such an attempt is
 * repeated a moment later.
 */
#include "sandbox/attach.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/attachable.h"
#include "sandbox/inject.h"
#include "sandbox/seize.h"
#include "sandbox/tracee.h"

enum {
	ATTEMPTS = 100,
	ATTEMPT_PAUSE_NS = 5000000,
	/* linux/ptrace.h, which cannot be included beside sys/ptrace.h */
	REQUEST_GET_FILTER = 0x420c,
	OPTION_SUSPEND_SECCOMP = 1 << 21,
	FLAGS = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC |
		SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
};

/* One process on its way. */
struct entry {
	pid_t pid;
	struct inject in;
	uint64_t scratch; /* its mapping for the filter; 0 none */
	size_t size;
	int pidfd;       /* of the thread; owned; -1 none */
	int listener_fd; /* owned; -1 none */
	bool begun, filtered;
};

struct attempt {
	pid_t pid;
	const pid_t *skip;
	const struct filter *filter;
	struct seized seized;
	struct entry *entries; /* owned */
	unsigned count;
	struct attachment *result;
	struct err *err;
	int status;
};

/* One call in @e; its result or -errno. */
static int64_t call(struct entry *e, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint64_t args[6] = { a, b, c, d, 0, 0 };
	int64_t value = 0;
	int r = inject_call(&e->in, nr, args, &value);
	return r < 0 ? r : value;
}

/* A filter of its own that notifies somebody makes the kernel refuse ours (EBUSY): seen beforehand. */
static int refuse_listener(pid_t tid, pid_t pid, struct err *err)
{
	struct sock_filter insns[BPF_MAXINSNS];
	for (unsigned long i = 0;; i++) {
		long n = ptrace((enum __ptrace_request)REQUEST_GET_FILTER, tid, (void *)i, insns);
		if (n < 0 && errno == ENOENT)
			return 0;
		if (n < 0)
			return err_sys(err, errno,
				       "the seccomp filters of process %d cannot be read", pid);
		for (long k = 0; k < n; k++)
			if (insns[k].code == (BPF_RET | BPF_K) &&
			    (insns[k].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
				return err_set(
					err, EBUSY,
					"process %d has a seccomp listener already (it runs in "
					"a sandbox or container that supervises it): there can "
					"be one only",
					pid);
	}
}

static int fetch(const struct entry *e, int fd)
{
	int got = (int)syscall(SYS_pidfd_getfd, e->pidfd, fd, 0);
	return got < 0 ? -errno : got;
}

/* Tried on a descriptor that matters to nobody: afterwards it must not fail. */
static int try_fetch(struct entry *e, pid_t tid)
{
	e->pidfd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	if (e->pidfd < 0)
		return -errno;
	cleanup_fd int fd = fetch(e, 0);
	return fd >= 0 || fd == -EBADF ? 0 : fd;
}

static int prepare(struct attempt *t, struct entry *e)
{
	struct attachable a;
	pid_t tid = seize_choose(&t->seized, e->pid);
	if (!tid)
		return err_set(t->err, ENOEXEC,
			       "no thread of process %d can be used: 32-bit code, or ended",
			       e->pid);
	int r = attachable_open(e->pid, &a, t->err);
	int filters = r == 0 ? attachable_filters(&a) : 0;
	attachable_finish(&a);
	if (r == 0 && filters)
		r = refuse_listener(tid, e->pid, t->err);
	if (r == 0 && filters &&
	    ptrace(PTRACE_SETOPTIONS, tid, NULL,
		   (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | OPTION_SUSPEND_SECCOMP)) < 0)
		r = err_sys(t->err, errno, "the seccomp filters of process %d cannot be suspended",
			    e->pid);
	if (r == 0) {
		r = try_fetch(e, tid);
		if (r < 0)
			err_sys(t->err, -r,
				"descriptors of process %d cannot be duplicated (pidfd)", e->pid);
	}
	if (r == 0)
		r = inject_begin(&e->in, tid, t->err);
	if (r < 0)
		return r;
	e->begun = true;
	e->size = sizeof(struct sock_fprog) + t->filter->len * sizeof(*t->filter->insns);
	int64_t at =
		call(e, __NR_mmap, 0, e->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	if (at < 0 && at > -4096)
		return err_sys(t->err, (int)-at, "process %d has no room for the filter", e->pid);
	e->scratch = (uint64_t)at;
	struct sock_fprog head = { .len = t->filter->len };
	uint64_t insns = e->scratch + sizeof(head);
	memcpy(&head.filter, &insns, sizeof(insns));
	r = tracee_write(tid, e->scratch, &head, sizeof(head));
	if (r == 0)
		r = tracee_write(tid, insns, t->filter->insns, e->size - sizeof(head));
	return r < 0 ? err_sys(t->err, -r, "the filter cannot be written into process %d", e->pid)
		     : 0;
}

static int install(struct attempt *t, struct entry *e)
{
	int64_t r = call(e, __NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0);
	if (r == 0)
		r = call(e, __NR_seccomp, SECCOMP_SET_MODE_FILTER, FLAGS, e->scratch, 0);
	if (r == -ESRCH && !e->in.dead)
		return err_set(t->err, ESRCH,
			       "the threads of process %d have different seccomp filters", e->pid);
	if (r == -ESRCH)
		return err_set(t->err, ESRCH, "process %d was killed meanwhile", e->pid);
	if (r < 0)
		return err_sys(t->err, (int)-r, "process %d cannot take the filter%s", e->pid,
			       r == -EBUSY ? " (it has a listener already)" : "");
	int fd = (int)r;
	e->filtered = true;
	e->listener_fd = fetch(e, fd);
	int failed = e->listener_fd < 0 ? -e->listener_fd : 0;
	call(e, __NR_close, (uint64_t)fd, 0, 0, 0);
	return failed ? err_sys(t->err, failed, "the listener of process %d cannot be fetched",
				e->pid)
		      : 0;
}

/* What can be taken back is: mappings, registers. */
static void settle(struct entry *e)
{
	if (!e->begun) {
		scope_close(&e->pidfd);
		return;
	}
	if (e->scratch)
		call(e, __NR_munmap, e->scratch, e->size, 0, 0);
	inject_end(&e->in);
	scope_close(&e->pidfd);
	ptrace(PTRACE_SETOPTIONS, e->in.tid, NULL, (void *)(uintptr_t)PTRACE_O_TRACESYSGOOD);
}

static int make_entries(struct attempt *t)
{
	t->entries = calloc(t->seized.process_count, sizeof(*t->entries));
	if (!t->entries)
		return err_set(t->err, ENOMEM, "attach: out of memory");
	for (unsigned i = 0; i < t->seized.process_count; i++) {
		const struct seized_process *p = &t->seized.processes[i];
		bool alive = false;
		for (unsigned k = 0; k < t->seized.thread_count && !alive; k++)
			alive = t->seized.threads[k].pid == p->pid && !t->seized.threads[k].gone;
		if (!alive) {
			if (i == 0)
				return err_set(t->err, ESRCH, "process %d has ended", t->pid);
			continue;
		}
		int r = attachable_check_all(p->pid, ATTACHABLE_STOPPED, t->err);
		if (r < 0)
			return r;
		t->entries[t->count++] =
			(struct entry){ .pid = p->pid, .pidfd = -1, .listener_fd = -1 };
	}
	return 0;
}

static int publish(struct attempt *t)
{
	struct attachment *a = t->result;
	a->processes = calloc(t->count, sizeof(*a->processes));
	if (!a->processes)
		return -ENOMEM;
	for (unsigned i = 0; i < t->count; i++) {
		struct entry *e = &t->entries[i];
		if (e->listener_fd >= 0)
			a->processes[a->count++] =
				(struct attached){ .pid = e->pid,
						   .listener_fd = take_fd(&e->listener_fd) };
	}
	for (unsigned i = 0; i < t->seized.thread_count; i++)
		a->threads += !t->seized.threads[i].gone;
	return 0;
}

static int carry_out(struct attempt *t)
{
	int r = make_entries(t);
	for (unsigned i = 0; r == 0 && i < t->count; i++)
		r = prepare(t, &t->entries[i]);
	bool filtered = false;
	for (unsigned i = 0; r == 0 && i < t->count; i++) {
		r = install(t, &t->entries[i]);
		filtered |= t->entries[i].filtered;
	}
	for (unsigned i = 0; i < t->count; i++)
		settle(&t->entries[i]);
	if (!filtered)
		return r;
	int failed = publish(t);
	if (failed < 0)
		r = err_sys(t->err, -failed, "attach");
	return r < 0 ? -EUCLEAN : 0;
}

static void *attempt_main(void *arg)
{
	struct attempt *t = arg;
	uint64_t since = clock_ns(CLOCK_MONOTONIC);
	t->status = seize_tree(t->pid, t->skip, &t->seized, t->err);
	if (t->status == 0)
		t->status = carry_out(t);
	seize_release(&t->seized);
	t->result->stopped_ns = clock_ns(CLOCK_MONOTONIC) - since;
	free(t->entries);
	return NULL;
}

int attach_tree(pid_t pid, const pid_t *skip, const struct filter *filter, struct attachment *ret,
		struct err *err)
{
	*ret = (struct attachment){ 0 };
	int r = attachable_check_all(pid, ATTACHABLE_RUNS, err);
	for (unsigned i = 0; r == 0 && i < ATTEMPTS; i++) {
		struct attempt t = {
			.pid = pid, .skip = skip, .filter = filter, .result = ret, .err = err
		};
		pthread_t thread;
		r = -pthread_create(&thread, NULL, attempt_main, &t);
		if (r < 0)
			return err_sys(err, -r, "attach: cannot start a thread");
		pthread_join(thread, NULL);
		if (t.status != -EAGAIN)
			return t.status;
		struct timespec pause = { .tv_nsec = ATTEMPT_PAUSE_NS };
		nanosleep(&pause, NULL);
		if (i + 1 == ATTEMPTS)
			return t.status;
	}
	return r;
}
