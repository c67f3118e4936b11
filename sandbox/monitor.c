/* The pipe and its life: start, receive, decide, carry out, end. */
#include "sandbox/monitor.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/priority.h"
#include "base/scope.h"
#include "sandbox/filter_rows.h"
#include "sandbox/network.h"
#include "sandbox/nudge.h"
#include "sandbox/requests.h"
#include "sandbox/rollback.h"
#include "sandbox/sampler.h"
#include "sandbox/slate.h"
#include "sandbox/terminal.h"
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

int worker_inject(struct worker *w, int fd, enum inject_flags flags)
{
	begin_answer(w);
	int r = listener_inject(w->listener, w->n.notif.id, fd, flags);
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
		w->watch->creds_vary = true;
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

void watch_step_down(struct worker *w)
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
	/* Nobody waiting to lead: another worker. At the limit the wait holds up the others, no more. */
	if (__atomic_load_n(&watch->followers, __ATOMIC_RELAXED) == 0 &&
	    watch->workers < WATCH_WORKERS_MAX)
		watch_start_worker(watch);
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

void watch_execed(struct watch *watch, pid_t tgid)
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

/* The leader's side of watch_execed. */
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

int watch_start_worker(struct watch *watch)
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

/* freeze_spare_fn: the callers of calls that were received and not answered. */
void watch_in_hand(void *arg, void (*spare)(void *to, pid_t tid), void *to)
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

/* A gateway that is gone is noticed by the poll below. */
void monitor_tell(const struct monitor_plan *plan, enum packet_type type, int value,
		  const char *text)
{
	packet_send(plan->gateway_fd, type, value, 0, text, PACKET_WAIT);
}

static void degraded_text(uint32_t layers, char *text, size_t size)
{
	size_t len = 0;
	text[0] = '\0';
	for (unsigned i = 0; i < LAYER_COUNT && len < size; i++)
		if (layers & 1u << i)
			len += (size_t)snprintf(text + len, size - len, "%s%s", len ? "," : "",
						box_layer_name((enum box_layer)i));
}

/* Everything inside dies at once, stopped or not. */
static void end_inside(struct watch *watch, struct box *box)
{
	hold_over(&watch->hold);
	box_end(box);
	freeze_bury(&watch->freeze);
	box_kill(box);
}

/*
 * What verbs have asked for directly. Before every packet: a nudge is older than what its verb or a later one
 * sends through the gateway, and must not undo it.
 */
static void heed_nudges(struct watch *watch, struct box *box)
{
	switch (nudge_take(watch->nudge_fd)) {
	case NUDGE_NONE:
		break;
	case NUDGE_PAUSE:
		requests_pause_now(watch);
		break;
	case NUDGE_END:
		monitor_tell(watch->plan, MONITOR_ENDING, 0, "");
		end_inside(watch, box);
		break;
	}
}

/* All packets of the gateway's that are there. false: it is gone, nobody is left to answer to. */
static bool hear_gateway(struct watch *watch, struct box *box)
{
	static struct packet m; /* of the one thread that supervises; too large for a stack */
	int r;
	while (heed_nudges(watch, box), (r = packet_receive(watch->plan->gateway_fd, &m)) == 1) {
		if (m.type == MONITOR_SIGNAL) {
			box_signal(box, m.value);
			hold_signalled(watch);
		} else if (m.type == MONITOR_SIGNALLED)
			hold_signalled(watch);
		else if (m.type == MONITOR_KILL)
			end_inside(watch, box);
		else if (m.type == MONITOR_REQUEST)
			requests_serve(watch, &m);
	}
	if (r == -EAGAIN || r == -EPROTO)
		return true;
	borrowed_restore(&watch->tty);
	end_inside(watch, box);
	return false;
}

static int shorter(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Watches the gateway and init until the tree has ended. Returns the agent's wait status. */
static int supervise(const struct monitor_plan *plan, struct watch *watch, struct box *box,
		     struct sampler *sampler)
{
	int status = -1;
	for (;;) {
		struct pollfd p[] = { { .fd = plan->gateway_fd, .events = POLLIN },
				      { .fd = box->control_fd, .events = POLLIN },
				      { .fd = watch->undo_fd, .events = POLLIN },
				      { .fd = watch->hold.wake_fd, .events = POLLIN },
				      { .fd = watch->nudge_fd, .events = POLLIN } };
		int timeout = shorter(sampler_interval_ms(sampler), hold_interval_ms(&watch->hold));
		if (freeze_tend(&watch->freeze))
			timeout = shorter(timeout, 1);
		int ready = poll(p, sizeof(p) / sizeof(p[0]), timeout);
		if (ready < 0 && errno != EINTR)
			break;
		sampler_take(sampler, watch);
		hold_tick(watch);
		if (ready <= 0)
			continue;
		if (p[4].revents)
			heed_nudges(watch, box);
		if (p[0].revents && !hear_gateway(watch, box))
			break;
		if (p[2].revents)
			rollback_on_verdict(watch);
		if (p[1].revents) {
			struct box_message m;
			int r = box_receive(box, &m);
			if (r <= 0)
				break; /* pid 1 is gone, and with it everything inside */
			if (m.type == BOX_MESSAGE_EXIT)
				status = m.status;
			if (m.type == BOX_MESSAGE_EXEC_FAILED)
				monitor_tell(plan, MONITOR_EXEC_FAILED, m.status, "");
			if (m.type == BOX_MESSAGE_STOPPED)
				monitor_tell(plan, MONITOR_STOPPED, m.status, "");
			if (m.type == BOX_MESSAGE_CONTINUED)
				monitor_tell(plan, MONITOR_CONTINUED, 0, "");
			if (m.type == BOX_MESSAGE_EXIT)
				break;
		}
	}
	return status;
}

static int16_t utc_offset(void)
{
	time_t now = time(NULL);
	struct tm local;
	if (!localtime_r(&now, &local))
		return 0;
	return (int16_t)(local.tm_gmtoff / 60);
}

static void interrupted(int signum)
{
	(void)signum; /* only there to end a sleep: an open that waits, the leader's */
}

static void signal_interrupts(void)
{
	struct sigaction action = { .sa_handler = interrupted };
	sigaction(SIGALRM, &action, NULL);
}

int watch_prepare(const struct monitor_plan *plan, int proc_fd, struct watch *watch,
		  struct err *err)
{
	struct stat st;
	/* the caller's calloc: most of its tables a run never touches, and so they take no memory */
	watch->plan = plan;
	watch->policy = plan->box->policy;
	watch->history = plan->history;
	watch->state = AGENT_RUNNING;
	watch->utc_offset_min = utc_offset();
	watch->creds_fixed = geteuid() != 0;
	watch->ended_fd = -1;
	watch->terminal_fd = -1;
	pthread_mutex_init(&watch->leader, NULL);
	pthread_mutex_init(&watch->log_lock, NULL);
	watch->env.proc_fd = proc_fd;
	watch->env.dirs = &watch->dirs;
	watch->env.self_fd = openat(proc_fd, "self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	watch->env.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (watch->env.self_fd < 0 || watch->env.root_fd < 0)
		return err_sys(err, errno, "monitor: cannot see itself in /proc");
	if (stat("/proc", &st) == 0)
		watch->env.proc_dev = st.st_dev;
	watch->undo_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	watch->nudge_fd = nudge_open();
	if (watch->undo_fd < 0 || watch->nudge_fd < 0)
		return err_set(err, EMFILE, "monitor: no descriptor");
	watch->tracees = tracees_new(proc_fd);
	if (!watch->tracees)
		return err_set(err, ENOMEM, "monitor: out of memory");
	int r = hold_init(&watch->hold);
	if (r < 0)
		return err_sys(err, -r, "monitor: no room for held calls");
	signal_interrupts();
	borrowed_init(&watch->tty, plan->tty_fd);
	r = listeners_init(&watch->listeners);
	return r < 0 ? err_sys(err, -r, "monitor: the seccomp listener is of no use") : 0;
}

/* Descriptors are kept for tasks and places: as many as we may have. */
static void raise_limits(void)
{
	struct rlimit lim;
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	lim = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	setrlimit(RLIMIT_FSIZE, &lim); /* ours must not kill us when we truncate for somebody */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN); /* capture.c asks by leases who has a file open */
}

/* Waits for the leader to see that nobody is left. false: it did not within a second. */
static bool lead_at_end(struct watch *watch)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	return pthread_mutex_timedlock(&watch->leader, &until) == 0;
}

/* Whoever reads our standard output must not wait for us when the agent has closed it. */
static void leave_streams(void)
{
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null > 2 && fd < 3; fd++)
		dup2(null, fd);
}

void monitor_settle(void)
{
	leave_streams();
	mallopt(M_ARENA_MAX, 1); /* the workers allocate next to nothing */
	priority_urgent(); /* who supervises; workers are born without it: they work for the agent */
	raise_limits();
}

/* While the lowers have their host names. */
static int open_journal(const struct monitor_plan *plan, const struct box *box,
			struct capture **ret, struct err *err)
{
	const struct journal_options options = {
		.bytes = plan->box->policy->journal_bytes,
		.sync = plan->box->policy->journal == POLICY_JOURNAL_SYNC,
	};
	return capture_open(&box->overlay, plan->box->session_dirfd, &options, ret, err);
}

/* A box, and what needs nothing of it while init builds it. */
struct built {
	struct box box;
	struct capture *capture;
	struct eventlog_writer log;
};

static int build_once(const struct monitor_plan *plan, struct built *ret, struct err *err)
{
	*ret = (struct built){ 0 };
	int r = box_start(plan->box, &ret->box, err);
	if (r < 0)
		return r;
	r = open_journal(plan, &ret->box, &ret->capture, err);
	if (r == 0)
		r = eventlog_writer_open(plan->box->session_dirfd, plan->ring_wake_fd, &ret->log,
					 err);
	if (r == 0)
		r = box_await(&ret->box, err);
	if (r < 0) {
		capture_free(ret->capture);
		eventlog_writer_close(&ret->log);
		box_kill(&ret->box);
		box_finish(&ret->box);
	}
	return r;
}

/* Mounts of the host that come and go meanwhile: it is planned anew from what there is then. */
static int build_box(const struct monitor_plan *plan, struct built *ret, struct err *err)
{
	int r = build_once(plan, ret, err);
	for (unsigned tries = 1; r == -ESTALE && tries < OVERLAY_TRIES; tries++)
		r = build_once(plan, ret, err);
	return r;
}

int monitor_main(const struct monitor_plan *plan)
{
	if (plan->attach)
		return plan->attach->container ? monitor_container_main(plan)
					       : monitor_attach_main(plan);
	struct err err = { 0 };
	struct built built;
	struct watch *watch = calloc(1, sizeof(*watch));
	char text[256];
	if (!watch)
		return 1;
	int r = build_box(plan, &built, &err);
	if (r < 0) {
		monitor_tell(plan, MONITOR_FAILED, -r, err.text);
		return 1;
	}
	int terminal_fd = terminal_keep();
	if (terminal_fd < 0 && terminal_fd != -ENXIO)
		r = err_sys(&err, -terminal_fd, "monitor: cannot keep the terminal");
	setsid(); /* init and the agent stay in the terminal's foreground group and in its share of the processor */
	monitor_settle(); /* after init was forked: the agent's limits are the user's */
	if (r == 0)
		r = box_enter(plan->box, &built.box, &err);
	if (r == 0)
		r = capture_enter(built.capture, &err);
	if (r == 0)
		r = watch_prepare(plan, built.box.proc_fd, watch, &err);
	watch->capture = built.capture;
	watch->log = built.log;
	watch->terminal_fd = terminal_fd;
	if (r == 0)
		dirs_init(&watch->dirs, &built.capture->layers);
	/* first of what needs the watch: the broker gets ready meanwhile */
	if (r == 0 && plan->network)
		r = network_start(watch, plan->network, &watch->network, &err);
	if (r == 0)
		r = freeze_init(&watch->freeze, built.box.proc_fd, built.box.init_pid,
				built.box.agent_pid, watch_in_hand, watch) < 0
			    ? err_set(&err, ENOMEM, "monitor: cannot see the sandbox's processes")
			    : 0;
	if (r == 0)
		r = listeners_add(&watch->listeners, built.box.listener_fd);
	if (r == 0)
		r = origins_open(&built.box.overlay, plan->box->session_dirfd, &watch->origins,
				 &err);
	if (r == 0)
		r = watch_start_worker(watch);
	if (r == 0 && plan->network)
		r = network_serve(watch->network, &err);
	if (r < 0) {
		monitor_tell(plan, MONITOR_FAILED, -r, *err.text ? err.text : "monitor: no thread");
		box_kill(&built.box);
		box_finish(&built.box);
		return 1;
	}
	degraded_text(built.box.degraded, text, sizeof(text));
	monitor_tell(plan, MONITOR_STARTED, built.box.init_pid, text);
	struct sampler sampler;
	sampler_init(&sampler, plan->box->policy, NULL);
	r = box_release(&built.box, &err);
	malloc_trim(0); /* what the start has needed and the run does not */
	int status = r < 0 ? -1 : supervise(plan, watch, &built.box, &sampler);
	/*
	 * The exit is told as soon as no task inside can act any more, which the listener's
	 * hang-up says; taking the mounts and the network down goes on behind it.
	 */
	hold_over(&watch->hold);
	box_end(&built.box);
	freeze_bury(&watch->freeze);
	if (!lead_at_end(watch))
		box_kill(&built.box);
	network_finish(watch->network);
	borrowed_finish(&watch->tty); /* who reads its other side need not wait for us */
	monitor_tell(plan, MONITOR_EXIT, status, "");
	box_kill(&built.box);
	if (plan->agents_dirfd >= 0)
		history_save(plan->history, plan->agents_dirfd, plan->agent, &err);
	box_finish(&built.box);
	return 0;
}
