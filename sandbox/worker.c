/*
 * The pipe: one notification from receipt to answer, and who leads meanwhile. Theory of operation: sandbox/watch.h.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/filter_rows.h"
#include "sandbox/slate.h"
#include "sandbox/watch.h"

enum { RESTART = -512 /* ERESTARTSYS */ };

/* A follower answers through the gate: frozen, nobody gets an answer. The leader is inside it. */
static void begin_answer(struct worker *w)
{
	if (!w->leading)
		freeze_gate(&w->watch->freeze);
}

static void end_answer(struct worker *w)
{
	if (w->leading)
		return;
	__atomic_store_n(&w->serving, 0, __ATOMIC_RELEASE);
	freeze_ungate(&w->watch->freeze);
}

void worker_answer(struct worker *w, int64_t value)
{
	if (value == WATCH_HELD)
		return;
	begin_answer(w);
	listener_answer(w->listener, w->n.notif.id, value);
	end_answer(w);
}

/*
 * The leader's way, with the caller kept near. Not for a container: it outlives its monitor, and so would the
 * confinement of one of its threads.
 */
static int inject_near(struct worker *w, int fd, enum inject_flags flags)
{
	struct placement *p = &w->watch->placement;
	uint64_t id = w->n.notif.id;
	bool confined = placement_begin(p, w->task->tid);
	int r = confined ? listener_put(w->listener, id, fd, flags)
			 : listener_inject(w->listener, id, fd, flags);
	placement_end(p, w->task->tid, confined);
	return confined && r >= 0 ? listener_answer(w->listener, id, r) : r;
}

int worker_inject(struct worker *w, int fd, enum inject_flags flags)
{
	begin_answer(w);
	int r = w->leading && !w->watch->slate
			? inject_near(w, fd, flags)
			: listener_inject(w->listener, w->n.notif.id, fd, flags);
	end_answer(w);
	return r;
}

int worker_path(struct worker *w, unsigned arg, unsigned which)
{
	ssize_t len = tracee_read_string(w->task->tid, w->n.notif.data.args[arg], w->path[which],
					 sizeof(w->path[which]));
	return len < 0 ? (int)len : 0;
}

int worker_umask(struct worker *w)
{
	int mask = tracee_umask(w->watch->tracees, w->task);
	if (mask < 0)
		return mask;
	if (mask != w->umask)
		umask((mode_t)mask); /* this thread's own: see worker_main */
	w->umask = mask;
	return 0;
}

/*
 * Where the namespace knows but one id, the kernel says EINVAL to any other; who has no powers expects EPERM.
 * Decided on registers alone. setfsuid and setfsgid never fail.
 */
static bool wants_foreign_id(const struct worker *w)
{
	long nr = w->n.notif.data.nr;
	if (!w->watch->creds_fixed || nr == __NR_setfsuid || nr == __NR_setfsgid)
		return false;
	for (unsigned i = 0; i < SYSCALL_ARGS; i++) {
		uint32_t id = (uint32_t)w->n.notif.data.args[i];
		if ((w->row->args[i] == ARG_UID && id != UINT32_MAX && id != geteuid()) ||
		    (w->row->args[i] == ARG_GID && id != UINT32_MAX && id != getegid()))
			return true;
	}
	return false;
}

static void carry_creds(struct worker *w)
{
	if (wants_foreign_id(w)) {
		worker_answer(w, -EPERM);
		return;
	}
	/* Takes effect after our answer; from now on nothing about this thread is remembered. */
	tracee_changing(w->watch->tracees, w->task->tid);
	if (!w->watch->creds_fixed)
		w->watch->env.creds_vary = true;
	listener_continue(w->listener, w->n.notif.id);
}

static void (*const carriers[HOW_COUNT])(struct worker *w) = {
	[HOW_EMULATE] = carry_emulate, [HOW_OPEN] = carry_open, [HOW_EXEC] = carry_exec,
	[HOW_CONNECT] = carry_connect, [HOW_SEND] = carry_send, [HOW_CREDS] = carry_creds,
};

static void clear(struct worker *w)
{
	for (unsigned i = 0; i < 2; i++) {
		place_finish(&w->place[i]);
		w->place[i].path[0] = w->place[i].alias[0] = '\0';
		w->place[i].exists = w->place[i].magic = w->place[i].nameless = false;
	}
	dirs_next(&w->watch->dirs);
	memset(&w->action, 0, sizeof(w->action));
	memset(&w->event.decision, 0, sizeof(w->event.decision));
	w->event.text = NULL;
	w->record = NULL;
}

/*
 * Is it the runtime that still prepares the process behind this listener? Nothing of the container has run
 * there before its execve, which is decided.
 */
static bool runtime_calls(struct worker *w)
{
	struct listener *l = w->listener;
	long nr = w->n.notif.data.nr;
	if (l->runtime == 0)
		return false;
	if (l->runtime == LISTENER_FIRST_CALLER)
		l->runtime = w->task->tgid;
	if (l->runtime != w->task->tgid)
		return false;
	if (nr != __NR_execve && nr != __NR_execveat)
		return true;
	l->runtime = 0;
	slate_begin(l->slate, l->number);
	return false;
}

/* 0 would mean our own process group: a caller that this pid namespace has no number for. */
static void kill_caller(struct worker *w)
{
	if (w->n.notif.pid)
		kill((pid_t)w->n.notif.pid, SIGKILL);
	else
		worker_answer(w, -EPERM);
}

/*
 * The table's answer. A filter of ours has given those that rest on registers itself; one that a runtime made
 * of rules asks about them where its rules cannot say them. Another architecture's numbers mean other calls.
 */
static void carry(struct worker *w)
{
	const struct seccomp_data *data = &w->n.notif.data;
	uint64_t args[SYSCALL_ARGS];
	int deny_errno;
	memcpy(args, data->args, sizeof(args));
	enum how how = data->arch == filter_arch ? filter_how(w->watch->plan->box,
							      (uint32_t)data->nr, args, &deny_errno)
						 : HOW_UNKNOWN;
	if (how == HOW_ALLOW)
		listener_continue(w->listener, w->n.notif.id);
	else if (how == HOW_ERRNO)
		worker_answer(w, -deny_errno);
	else if (how == HOW_KILL)
		kill_caller(w);
	else if (carriers[how])
		carriers[how](w);
	else
		worker_answer(w, -ENOSYS);
}

/* One notification, by the leader, within the gate. */
static void step(struct worker *w)
{
	struct watch *watch = w->watch;
	const struct seccomp_data *data = &w->n.notif.data;
	if (__atomic_load_n(&watch->ending, __ATOMIC_RELAXED)) {
		kill_caller(w);
		return;
	}
	if (__atomic_load_n(&watch->detached, __ATOMIC_RELAXED)) {
		listener_continue(w->listener, w->n.notif.id);
		return;
	}
	w->row = syscall_find((uint32_t)data->nr);
	w->task = tracee_get(watch->tracees, (pid_t)w->n.notif.pid);
	clear(w);
	if (!w->task)
		worker_answer(w, -ESRCH);
	else if (runtime_calls(w))
		listener_continue(w->listener, w->n.notif.id);
	else
		carry(w);
	if (w->record) /* a carrier that forgot: never leave an event begun */
		watch_done(w, EVENT_RESULT_PENDING);
	if (w->leading)
		capture_tell(w);
	uint64_t refused = eventlog_take_refused(&watch->log);
	if (refused)
		watch_notice(watch, "%llu actions failed with ENOSPC: no room for their events",
			     (unsigned long long)refused);
}

static bool has_follower(const struct watch *watch)
{
	return __atomic_load_n(&watch->followers, __ATOMIC_RELAXED) > 0;
}

bool worker_may_wait(const struct worker *w)
{
	return has_follower(w->watch) || w->watch->workers < WATCH_WORKERS_MAX;
}

void worker_step_down(struct worker *w)
{
	struct watch *watch = w->watch;
	if (!w->leading)
		return;
	watch_done(w, EVENT_RESULT_PENDING); /* others must be able to write */
	for (unsigned i = 0; i < 2; i++)
		place_own(&w->place[i]);
	w->held = *w->task;
	w->held.dir_fd = fcntl(w->task->dir_fd, F_DUPFD_CLOEXEC, 3);
	w->task = &w->held;
	placement_leave(&watch->placement);
	/* Nobody waiting to lead: another worker. At the limit the wait holds up the others, no more. */
	if (!has_follower(watch) && watch->workers < WATCH_WORKERS_MAX)
		worker_start(watch);
	w->leading = false;
	freeze_ungate(&watch->freeze);
	pthread_mutex_unlock(&watch->leader);
}

static void follow(struct worker *w)
{
	struct watch *watch = w->watch;
	if (w->task == &w->held && w->held.dir_fd >= 0)
		close(w->held.dir_fd);
	w->task = NULL;
	__atomic_add_fetch(&watch->followers, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&watch->leader);
	__atomic_sub_fetch(&watch->followers, 1, __ATOMIC_RELAXED);
	w->leading = true;
	__atomic_store_n(&watch->leading, pthread_self(), __ATOMIC_RELEASE);
}

void worker_execed(struct watch *watch, pid_t tgid)
{
	pthread_mutex_lock(&watch->log_lock);
	for (unsigned i = 0; i < WATCH_WORKERS_MAX; i++) {
		if (watch->execed[i] == 0) {
			watch->execed[i] = tgid;
			__atomic_add_fetch(&watch->execed_count, 1, __ATOMIC_RELEASE);
			break;
		}
	}
	pthread_mutex_unlock(&watch->log_lock);
}

/* The leader's side of worker_execed. */
static void forget_execed(struct watch *watch)
{
	if (__atomic_load_n(&watch->execed_count, __ATOMIC_ACQUIRE) == 0)
		return;
	pthread_mutex_lock(&watch->log_lock);
	for (unsigned i = 0; i < WATCH_WORKERS_MAX; i++) {
		if (watch->execed[i])
			tracee_execed(watch->tracees, watch->execed[i]);
		watch->execed[i] = 0;
	}
	__atomic_store_n(&watch->execed_count, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&watch->log_lock);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct watch *watch = w->watch;
	/* cwd and umask of its own; the cwd is /proc/self/fd, where objects are named by number */
	if (unshare(CLONE_FS) < 0 || fchdir(watch->env.self_fd) < 0)
		abort();
	w->umask = -1;
	follow(w);
	while (!watch->closing) {
		/* a call that is not received yet does not keep its task from being stopped */
		while (__atomic_load_n(&watch->undo_due, __ATOMIC_ACQUIRE) ||
		       __atomic_load_n(&watch->hold.freeze_due, __ATOMIC_ACQUIRE))
			nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
		int r = 0;
		if (!hold_take(&watch->hold, w)) {
			w->pass.count = 0;
			__atomic_store_n(&watch->receiving, true, __ATOMIC_RELEASE);
			r = listeners_receive(&watch->listeners, &w->n, &w->listener);
			__atomic_store_n(&watch->receiving, false, __ATOMIC_RELEASE);
		}
		if (r == -EINTR || r == -ENOENT) /* the caller died before we looked */
			continue;
		if (r < 0) {
			watch->closing = true;
			continue;
		}
		__atomic_store_n(&w->serving, (pid_t)w->n.notif.pid, __ATOMIC_RELEASE);
		freeze_gate(&watch->freeze);
		forget_execed(watch);
		if (freeze_seized(&watch->freeze, (pid_t)w->n.notif.pid))
			worker_answer(w, RESTART); /* its seizure is the signal it will see */
		else
			step(w);
		if (w->leading) {
			__atomic_store_n(&w->serving, 0, __ATOMIC_RELEASE);
			freeze_ungate(&watch->freeze);
		} else {
			follow(w);
		}
	}
	pthread_mutex_unlock(&watch->leader);
	if (watch->ended_fd >= 0)
		eventfd_write(watch->ended_fd, 1);
	return NULL;
}

int worker_start(struct watch *watch)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->watch = watch;
	for (unsigned i = 0; i < 2; i++)
		w->place[i].parent_fd = w->place[i].object_fd = -1;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	pthread_t thread;
	int r = pthread_create(&thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	if (r) {
		free(w);
		return -r;
	}
	__atomic_store_n(&watch->crew[watch->workers++], w, __ATOMIC_RELEASE);
	return 0;
}

void worker_in_hand(void *arg, void (*spare)(void *to, pid_t tid), void *to)
{
	struct watch *watch = arg;
	hold_spare(&watch->hold, spare, to);
	for (unsigned i = 0; i < WATCH_WORKERS_MAX; i++) {
		struct worker *w = __atomic_load_n(&watch->crew[i], __ATOMIC_ACQUIRE);
		pid_t tid = w ? __atomic_load_n(&w->serving, __ATOMIC_ACQUIRE) : 0;
		if (tid > 0)
			spare(to, tid);
	}
}
