/* The pipe and its life: start, receive, decide, carry out, end. */
#include "sandbox/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/network.h"
#include "sandbox/sampler.h"
#include "sandbox/watch.h"

void worker_answer(struct worker *w, int64_t value)
{
	listener_answer(&w->watch->listener, w->n.notif.id, value);
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

static void carry_creds(struct worker *w)
{
	/* Takes effect after our answer; from now on nothing about this thread is remembered. */
	tracee_changing(w->watch->tracees, w->task->tid);
	if (!w->watch->creds_fixed)
		w->watch->creds_vary = true;
	listener_continue(&w->watch->listener, w->n.notif.id);
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
		w->place[i].exists = w->place[i].magic = false;
	}
	memset(&w->action, 0, sizeof(w->action));
	memset(&w->event.decision, 0, sizeof(w->event.decision));
	w->event.text = NULL;
	w->record = NULL;
}

/* One notification, by the leader. */
static void step(struct worker *w)
{
	struct watch *watch = w->watch;
	const struct seccomp_data *data = &w->n.notif.data;
	w->row = syscall_find((uint32_t)data->nr);
	w->task = tracee_get(watch->tracees, (pid_t)w->n.notif.pid);
	clear(w);
	if (!w->task || !w->row || !carriers[w->row->how])
		worker_answer(w, w->task ? -ENOSYS
					 : -ESRCH); /* a filter that asks more than we know */
	else
		carriers[w->row->how](w);
	if (w->record) /* a carrier that forgot: never leave an event begun */
		watch_done(w, EVENT_RESULT_PENDING);
	uint64_t refused = eventlog_take_refused(&watch->log);
	if (refused)
		watch_notice(watch, "%llu actions failed with ENOSPC: no room for their events",
			     (unsigned long long)refused);
}

static int start_worker(struct watch *watch);

void watch_step_down(struct worker *w)
{
	struct watch *watch = w->watch;
	if (!w->leading)
		return;
	watch_done(w, EVENT_RESULT_PENDING); /* others must be able to write */
	w->held = *w->task;
	w->held.dir_fd = fcntl(w->task->dir_fd, F_DUPFD_CLOEXEC, 3);
	w->task = &w->held;
	/* Nobody waiting to lead: another worker. At the limit the wait holds up the others, no more. */
	if (__atomic_load_n(&watch->followers, __ATOMIC_RELAXED) == 0 &&
	    watch->workers < WATCH_WORKERS_MAX)
		start_worker(watch);
	w->leading = false;
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
		int r = listener_receive(&watch->listener, &w->n);
		if (r == -EINTR)
			continue;
		if (r == -ENOENT) { /* the caller died before we looked, or nobody is left */
			struct pollfd p = { .fd = watch->listener.fd };
			if (poll(&p, 1, 0) == 1 && p.revents & POLLHUP)
				watch->closing = true;
			continue;
		}
		if (r < 0) {
			watch->closing = true;
			continue;
		}
		forget_execed(watch);
		step(w);
		if (!w->leading)
			follow(w);
	}
	pthread_mutex_unlock(&watch->leader);
	return NULL;
}

static int start_worker(struct watch *watch)
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
	watch->workers++;
	return 0;
}

static void tell(const struct monitor_plan *plan, int type, int value, const char *text)
{
	struct monitor_message m = { .type = type, .value = value };
	snprintf(m.text, sizeof(m.text), "%s", text);
	/* A gateway that is gone is noticed by the poll below. */
	(void)!send(plan->gateway_fd, &m, sizeof(m), MSG_NOSIGNAL);
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

/* Watches the gateway and init until the tree has ended. Returns the agent's wait status. */
static int supervise(const struct monitor_plan *plan, struct watch *watch, struct box *box,
		     struct sampler *sampler)
{
	int status = -1;
	for (;;) {
		struct pollfd p[] = { { .fd = plan->gateway_fd, .events = POLLIN },
				      { .fd = box->control_fd, .events = POLLIN } };
		int ready = poll(p, 2, sampler_interval_ms(sampler));
		if (ready < 0 && errno != EINTR)
			break;
		sampler_take(sampler, watch);
		if (ready <= 0)
			continue;
		if (p[0].revents) {
			struct monitor_message m;
			ssize_t n = recv(plan->gateway_fd, &m, sizeof(m), MSG_DONTWAIT);
			if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
				box_kill(box); /* nobody is left to answer to */
				break;
			}
			if (n == (ssize_t)sizeof(m) && m.type == MONITOR_SIGNAL)
				box_signal(box, m.value);
			if (n == (ssize_t)sizeof(m) && m.type == MONITOR_KILL)
				box_kill(box);
		}
		if (p[1].revents) {
			struct box_message m;
			int r = box_receive(box, &m);
			if (r <= 0)
				break; /* pid 1 is gone, and with it everything inside */
			if (m.type == BOX_MESSAGE_EXIT)
				status = m.status;
			if (m.type == BOX_MESSAGE_EXEC_FAILED)
				tell(plan, MONITOR_EXEC_FAILED, m.status, "");
			if (m.type == BOX_MESSAGE_STOPPED)
				tell(plan, MONITOR_STOPPED, m.status, "");
			if (m.type == BOX_MESSAGE_CONTINUED)
				tell(plan, MONITOR_CONTINUED, 0, "");
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

static int prepare_watch(const struct monitor_plan *plan, const struct box *box,
			 struct watch *watch, struct err *err)
{
	struct stat st;
	*watch = (struct watch){
		.plan = plan,
		.policy = plan->box->policy,
		.history = plan->history,
		.state = AGENT_RUNNING,
		.utc_offset_min = utc_offset(),
		.creds_fixed = geteuid() != 0,
		.leader = PTHREAD_MUTEX_INITIALIZER,
		.log_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	watch->env.proc_fd = box->proc_fd;
	watch->env.self_fd = openat(box->proc_fd, "self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	watch->env.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (watch->env.self_fd < 0 || watch->env.root_fd < 0)
		return err_sys(err, errno, "monitor: cannot see itself in /proc");
	if (stat("/proc", &st) == 0)
		watch->env.proc_dev = st.st_dev;
	watch->tracees = tracees_new(box->proc_fd);
	if (!watch->tracees)
		return err_set(err, ENOMEM, "monitor: out of memory");
	int r = listener_init(&watch->listener, box->listener_fd);
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

int monitor_main(const struct monitor_plan *plan)
{
	struct err err = { 0 };
	struct box box;
	struct watch *watch = calloc(1, sizeof(*watch));
	char text[MONITOR_MESSAGE_TEXT];
	if (!watch)
		return 1;
	int r = box_start(plan->box, &box, &err);
	if (r < 0) {
		tell(plan, MONITOR_FAILED, -r, err.text);
		return 1;
	}
	setpgid(0, 0); /* init and the agent stay in the terminal's foreground group, we leave it */
	leave_streams();
	mallopt(M_ARENA_MAX, 1); /* the workers allocate next to nothing */
	raise_limits();          /* after the agent was forked: its limits are the user's */
	r = box_enter(plan->box, &box, &err);
	if (r == 0)
		r = prepare_watch(plan, &box, watch, &err);
	if (r == 0)
		r = eventlog_writer_open(plan->box->session_dirfd, plan->ring_wake_fd, &watch->log,
					 &err);
	if (r == 0 && plan->network)
		r = network_start(watch, plan->network, &watch->network, &err);
	if (r == 0)
		r = start_worker(watch);
	if (r < 0) {
		tell(plan, MONITOR_FAILED, -r, *err.text ? err.text : "monitor: no thread");
		box_kill(&box);
		box_finish(&box);
		return 1;
	}
	degraded_text(box.degraded, text, sizeof(text));
	tell(plan, MONITOR_STARTED, box.init_pid, text);
	struct sampler sampler;
	sampler_init(&sampler, plan->box->policy, &box);
	r = box_release(&box, &err);
	int status = r < 0 ? -1 : supervise(plan, watch, &box, &sampler);
	/*
	 * The exit is told as soon as no task inside can act any more, which the listener's
	 * hang-up says; taking the mounts and the network down goes on behind it.
	 */
	box_end(&box);
	if (!lead_at_end(watch))
		box_kill(&box);
	network_finish(watch->network);
	tell(plan, MONITOR_EXIT, status, "");
	box_kill(&box);
	if (plan->agents_dirfd >= 0)
		history_save(plan->history, plan->agents_dirfd, plan->agent, &err);
	box_finish(&box);
	return 0;
}
