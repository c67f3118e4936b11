/* The life of a run: start, supervise, end. */
#include "sandbox/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/priority.h"
#include "base/scope.h"
#include "base/stack.h"
#include "sandbox/network.h"
#include "sandbox/nudge.h"
#include "sandbox/proc.h"
#include "sandbox/requests.h"
#include "sandbox/rollback.h"
#include "sandbox/sampler.h"
#include "sandbox/terminal.h"
#include "sandbox/watch.h"

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

static bool asks_to_end(int signum)
{
	return signum == SIGTERM || signum == SIGINT || signum == SIGHUP || signum == SIGQUIT;
}

/* As under nohup(1). */
static bool agent_ignores(const struct box *box, int signum)
{
	char name[32], status[PROC_STATUS_SIZE];
	snprintf(name, sizeof(name), "%d/status", box->agent_pid);
	return proc_read(box->proc_fd, name, status, sizeof(status)) > 0 &&
	       proc_number(status, "SigIgn", 16) & 1ul << (signum - 1);
}

/*
 * Somebody has sent the agent a signal. A paused one cannot take it, a handler of its least of all: whoever paused it
 * wants nothing of it to run. But who asks it to end means it, and often has nobody to tell that it waits.
 */
static void pass_signal(struct watch *watch, struct box *box, int signum)
{
	if (asks_to_end(signum) && requests_paused(watch) && !agent_ignores(box, signum)) {
		monitor_tell(watch->plan, MONITOR_ENDING, signum, "");
		end_inside(watch, box);
		return;
	}
	box_signal(box, signum);
	hold_signalled(watch);
}

/* The terminal has sent a signal to everybody inside. */
static void terminal_signal(struct watch *watch)
{
	const char *session = watch->plan->box->session_id;
	if (requests_paused(watch))
		watch_notice(watch,
			     "paused, so that waits: vsandbox resume %s lets it go on, vsandbox "
			     "kill %s ends it",
			     session, session);
	hold_signalled(watch);
}

/* All packets of the gateway's that are there. false: it is gone, nobody is left to answer to. */
static bool hear_gateway(struct watch *watch, struct box *box)
{
	static struct packet m; /* of the one thread that supervises; too large for a stack */
	int r;
	while (heed_nudges(watch, box), (r = packet_receive(watch->plan->gateway_fd, &m)) == 1) {
		if (m.type == MONITOR_SIGNAL)
			pass_signal(watch, box, m.value);
		else if (m.type == MONITOR_SIGNALLED)
			terminal_signal(watch);
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
				      { .fd = watch->nudge_fd, .events = POLLIN },
				      { .fd = network_bell_fd(watch->network), .events = POLLIN } };
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
		if (p[5].revents)
			network_rung(watch->network);
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
	watch->utc_offset_min = clock_utc_offset_min();
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
	int terminal_fd; /* of terminal_keep */
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

/* The monitor's way into the box, and all that it decides and answers with. The agent is still held. */
static int start_watch(const struct monitor_plan *plan, struct built *b, struct watch *watch,
		       struct err *err)
{
	int r = box_enter(plan->box, &b->box, err);
	if (r == 0)
		r = capture_enter(b->capture, err);
	if (r == 0)
		r = watch_prepare(plan, b->box.proc_fd, watch, err);
	if (r < 0)
		return r;
	watch->capture = b->capture;
	watch->log = b->log;
	watch->terminal_fd = b->terminal_fd;
	dirs_init(&watch->dirs, &b->capture->layers);
	/* first of what needs the watch: a broker that is wanted at once gets ready meanwhile */
	if (plan->network)
		r = network_start(watch, plan->network, &watch->network, err);
	if (r == 0 && freeze_init(&watch->freeze, b->box.proc_fd, b->box.init_pid, b->box.agent_pid,
				  worker_in_hand, watch) < 0)
		r = err_set(err, ENOMEM, "monitor: cannot see the sandbox's processes");
	if (r == 0)
		r = listeners_add(&watch->listeners, b->box.listener_fd);
	if (r == 0)
		r = origins_open(&b->box.overlay, plan->box->session_dirfd, &watch->origins, err);
	if (r == 0)
		r = worker_start(watch);
	if (r == 0 && plan->network)
		r = network_serve(watch->network, err);
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
	built.terminal_fd = terminal_keep();
	if (built.terminal_fd < 0 && built.terminal_fd != -ENXIO)
		r = err_sys(&err, -built.terminal_fd, "monitor: cannot keep the terminal");
	setsid(); /* init and the agent stay in the terminal's foreground group and in its share of the processor */
	monitor_settle(); /* after init was forked: the agent's limits are the user's */
	if (r == 0)
		r = start_watch(plan, &built, watch, &err);
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
	stack_shed();
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
