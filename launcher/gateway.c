/*
 * Theory of operation. The gateway stays in the host's namespaces and on the
 * user's terminal, in the agent's process group. It forks the monitor, then waits
 * in poll for: packets of the monitor, its death (pidfd), events published in
 * the ring (eventfd), signals (signalfd). Idle, nothing wakes it.
 *
 * Signals. The agent shares our process group, so what the terminal generates
 * (SI_KERNEL) has reached it already; what somebody sent to us alone is
 * forwarded. When the agent stops, so do we, for the outer shell to see it.
 *
 * States: before MONITOR_STARTED a signal ends the start; then supervision;
 * after MONITOR_EXIT the tree is gone and only the log is left to finish.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/netplan.h"
#include "launcher/report.h"
#include "launcher/run.h"
#include "launcher/session.h"
#include "sandbox/monitor.h"

enum {
	DRAIN_DELAY_MS = 20,     /* while busy: large batches, and the CPU to the monitor */
	KILL_PATIENCE_MS = 2000, /* from MONITOR_KILL to SIGKILL for the monitor */
	INTERRUPT_TWICE_MS = 1000,
};

struct gateway {
	const struct run *run;
	struct session session;
	struct session_start start;
	struct report report;
	struct eventlog_reader *log;
	int lock_fd, monitor_fd, signal_fd, ring_fd, pidfd; /* owned */
	pid_t monitor_pid;
	uint64_t drain_ms, deadline_ms, kill_ms, interrupt_ms; /* monotonic; 0 none */
	bool busy; /* a drain is due; the ring's wake-ups do not matter until then */
	bool started, exited, monitor_gone, deadline_passed;
	const char *reason; /* why the tree was ended by us; NULL it was not */
	int exit_code;      /* of a start that failed; -1 none */
	int status;         /* wait status of the agent */
};

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void stamp(struct event *e)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	e->mono_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	clock_gettime(CLOCK_REALTIME, &t);
	e->wall_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void tell_monitor(struct gateway *g, int type, int value)
{
	struct monitor_message m = { .type = type, .value = value };
	ssize_t n = send(g->monitor_fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		log_detail("the monitor takes no message: %s, continuing", strerrordesc_np(errno));
}

/* Ends the tree; when the monitor does not answer, by the monitor's own death. */
static void end_tree(struct gateway *g, const char *reason)
{
	if (g->reason || g->exited)
		return;
	g->reason = reason;
	g->kill_ms = now_ms() + KILL_PATIENCE_MS;
	tell_monitor(g, MONITOR_KILL, 0);
}

static void drop_fd(int *fd)
{
	scope_close(fd);
	*fd = -1;
}

static void on_signal(struct gateway *g, const struct signalfd_siginfo *info)
{
	int signum = (int)info->ssi_signo;
	bool from_terminal = info->ssi_code == SI_KERNEL;
	if (signum == SIGTERM && info->ssi_code == SI_QUEUE &&
	    info->ssi_int == SESSION_KILL_VALUE) {
		end_tree(g, "killed");
		return;
	}
	if (!g->started) {
		if (signum == SIGINT || signum == SIGTERM || signum == SIGHUP ||
		    signum == SIGQUIT) {
			g->exit_code = EXIT_SIGNAL + signum;
			end_tree(g, "signal");
		} else if (signum == SIGTSTP && from_terminal) {
			raise(SIGSTOP); /* what is being started stopped as well */
		}
		return;
	}
	if (signum == SIGINT && from_terminal) {
		uint64_t now = now_ms();
		if (g->interrupt_ms && now - g->interrupt_ms < INTERRUPT_TWICE_MS)
			end_tree(g, "interrupted twice");
		g->interrupt_ms = now;
	}
	if (!from_terminal)
		tell_monitor(g, MONITOR_SIGNAL, signum);
}

static void on_failed(struct gateway *g, const struct monitor_message *m)
{
	if (g->exit_code >= 0) /* a signal ended the start */
		return;
	g->exit_code = EXIT_USAGE;
	g->reason = "set-up";
	log_error("%s", m->text[0] ? m->text : strerrordesc_np(m->value));
}

static void on_exec_failed(struct gateway *g, int errnum)
{
	bool missing = errnum == ENOENT || errnum == ENOTDIR;
	g->exit_code = missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	g->reason = missing ? "not found" : "not executable";
	log_error("%s: %s", g->run->argv[0],
		  missing && !strchr(g->run->argv[0], '/') ? "command not found"
							   : strerrordesc_np(errnum));
}

static void on_started(struct gateway *g, const struct monitor_message *m)
{
	g->started = true;
	g->start.agent_pid = m->value;
	g->start.degraded = m->text;
	struct err err;
	if (session_write_start(&g->session, &g->start, &err) < 0)
		log_warn("%s, continuing", err.text);
	report_started(&g->report, m->value, m->text);
	g->start.degraded = "";
	if (g->run->policy->limits.wall_seconds)
		g->deadline_ms = now_ms() + g->run->policy->limits.wall_seconds * 1000;
}

/* Reads all packets that are there, so that a stop already undone does not stop us. */
static void on_messages(struct gateway *g)
{
	int stopped = 0;
	for (;;) {
		struct monitor_message m;
		ssize_t n = recv(g->monitor_fd, &m, sizeof(m), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)sizeof(m)) {
			if (n == 0 || (n < 0 && errno != EAGAIN))
				drop_fd(&g->monitor_fd);
			break;
		}
		m.text[sizeof(m.text) - 1] = 0;
		switch (m.type) {
		case MONITOR_STARTED:
			on_started(g, &m);
			break;
		case MONITOR_FAILED:
			on_failed(g, &m);
			break;
		case MONITOR_EXEC_FAILED:
			on_exec_failed(g, m.value);
			break;
		case MONITOR_STOPPED:
			stopped = m.value;
			break;
		case MONITOR_CONTINUED:
			stopped = 0;
			break;
		case MONITOR_EXIT:
			g->exited = true;
			/* -1: the tree was killed before its init could tell the agent's end */
			g->status = m.value < 0 ? SIGKILL : m.value;
			stopped = 0;
			break;
		default:
			log_detail("unknown packet %d from the monitor, ignoring", m.type);
		}
	}
	/* A continue that came since was for the agent as well: it runs, and so do we. */
	sigset_t pending;
	if (stopped && sigpending(&pending) == 0 && !sigismember(&pending, SIGCONT))
		raise(SIGSTOP);
}

static void on_drain(struct gateway *g)
{
	int n = eventlog_drain(g->log, report_event, &g->report);
	if (n == -ENOSPC)
		log_detail("the log cannot be written: no space; events wait in the ring");
	/* Something was there, or could not be taken: more is to come. */
	g->busy = n != 0 || !eventlog_reader_sleep(g->log);
	g->drain_ms = g->busy ? now_ms() + DRAIN_DELAY_MS : 0;
}

static int timeout_of(uint64_t now, uint64_t at, int least)
{
	if (!at)
		return least;
	int left = at <= now ? 0 : (int)(at - now > 1000000 ? 1000000 : at - now);
	return least < 0 || left < least ? left : least;
}

static void on_time(struct gateway *g, uint64_t now)
{
	if (g->drain_ms && now >= g->drain_ms)
		on_drain(g);
	if (g->deadline_ms && now >= g->deadline_ms) {
		g->deadline_ms = 0;
		g->deadline_passed = true;
		log_error("the time limit of %llu s is over",
			  (unsigned long long)g->run->policy->limits.wall_seconds);
		end_tree(g, "timeout");
	}
	if (g->kill_ms && now >= g->kill_ms) {
		g->kill_ms = 0;
		log_warn("the monitor does not answer; ending it, and the tree with it");
		kill(g->monitor_pid, SIGKILL);
	}
}

/* Until the tree is gone: by the monitor's word, or by its death. */
static void supervise(struct gateway *g)
{
	while (!g->monitor_gone && !g->exited) {
		struct pollfd fds[] = {
			{ .fd = g->monitor_fd, .events = POLLIN },
			{ .fd = g->signal_fd, .events = POLLIN },
			{ .fd = g->busy ? -1 : g->ring_fd, .events = POLLIN },
			{ .fd = g->pidfd, .events = POLLIN },
		};
		uint64_t now = now_ms();
		int timeout = timeout_of(now, g->drain_ms, -1);
		timeout = timeout_of(now, g->deadline_ms, timeout);
		timeout = timeout_of(now, g->kill_ms, timeout);
		int n = poll(fds, sizeof(fds) / sizeof(fds[0]), timeout);
		if (n < 0 && errno != EINTR)
			log_error("poll: %s, continuing", strerrordesc_np(errno));
		on_time(g, now_ms());
		if (n <= 0)
			continue;
		uint64_t woken;
		if (fds[2].revents && read(g->ring_fd, &woken, sizeof(woken)) > 0) {
			g->busy = true;
			g->drain_ms = now_ms() + DRAIN_DELAY_MS;
		}
		/* Messages first: a signal means another thing once the agent runs. */
		if (fds[0].revents || (fds[1].revents && !g->started && g->monitor_fd >= 0))
			on_messages(g);
		struct signalfd_siginfo info;
		if (fds[1].revents & POLLIN)
			while (read(g->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
				on_signal(g, &info);
		if (fds[3].revents)
			g->monitor_gone = true;
	}
	if (g->monitor_fd >= 0)
		on_messages(g); /* its last words */
}

/*
 * After its last word the monitor only takes its namespaces down, which costs the
 * kernel ten milliseconds and more: the caller does not wait for that, unless what
 * is mounted there is to be removed.
 */
static void reap_monitor(struct gateway *g, int *ret_status)
{
	struct pollfd fd = { .fd = g->pidfd, .events = POLLIN };
	if (g->monitor_pid <= 0)
		return;
	if (poll(&fd, 1, KILL_PATIENCE_MS) == 0)
		kill(g->monitor_pid, SIGKILL);
	if (waitpid(g->monitor_pid, ret_status, 0) == g->monitor_pid)
		g->monitor_pid = 0;
}

/*
 * The child: nothing of the gateway's but the monitor's end of the pair and the ring's
 * eventfd. The mask the gateway was started with comes back: the box hands it to the agent,
 * and the monitor leaves the terminal's process group once the agent is there.
 */
static int monitor_child(struct gateway *g, const sigset_t *mask, const struct monitor_plan *plan)
{
	drop_fd(&g->lock_fd); /* it would keep the session alive after us */
	drop_fd(&g->signal_fd);
	drop_fd(&g->monitor_fd);
	sigprocmask(SIG_SETMASK, mask, NULL);
	/* No PDEATHSIG: when the pair closes the monitor ends the tree in order, cgroups included. */
	return monitor_main(plan);
}

static int fork_monitor(struct gateway *g, const sigset_t *mask, struct monitor_plan *plan,
			struct err *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "cannot make the monitor's socket");
	g->monitor_fd = pair[0];
	plan->gateway_fd = pair[1];
	g->monitor_pid = fork();
	if (g->monitor_pid < 0) {
		close(pair[1]);
		return err_sys(err, errno, "cannot start the monitor");
	}
	if (g->monitor_pid == 0)
		_exit(monitor_child(g, mask, plan));
	close(pair[1]);
	/* No glibc wrapper in every release we build on; the child cannot be reaped before us. */
	g->pidfd = (int)syscall(SYS_pidfd_open, g->monitor_pid, 0);
	return g->pidfd < 0 ? err_sys(err, errno, "cannot watch the monitor (pidfd_open)") : 0;
}

/* Everything that must be there before the fork; the ring before the monitor that writes to it. */
static int prepare(struct gateway *g, sigset_t *ret_mask, struct err *err)
{
	static const int forwarded[] = { SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGUSR1,
					 SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		sigaddset(&set, forwarded[i]);
	sigaddset(&set, SIGTTOU); /* a line of ours must not stop us in the background */
	sigprocmask(SIG_BLOCK, &set, ret_mask);
	sigdelset(&set, SIGTTOU);
	g->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	g->ring_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->signal_fd < 0 || g->ring_fd < 0)
		return err_sys(err, errno, "cannot make a descriptor of our own");
	return eventlog_create(g->session.dirfd, err);
}

/* The log's end, end.json, digest. Returns our exit code. */
static int finish(struct gateway *g)
{
	struct err err;
	int code, n = 0, end = 0;
	const char *reason = g->reason;
	if (!g->exited)
		reap_monitor(g, &end);
	/* A signal from the terminal while the box was built met the monitor too. */
	if (!g->started && g->exit_code < 0 && WIFSIGNALED(end) && WTERMSIG(end) != SIGKILL) {
		g->exit_code = EXIT_SIGNAL + WTERMSIG(end);
		reason = "signal";
	}
	bool crashed = !g->exited && g->exit_code < 0 && !reason;
	if (g->exited && g->exit_code < 0) {
		code = WIFSIGNALED(g->status) ? EXIT_SIGNAL + WTERMSIG(g->status)
					      : WEXITSTATUS(g->status);
		if (!reason)
			reason = WIFSIGNALED(g->status) ? "signal" : "exit";
		else if (g->deadline_passed)
			code = EXIT_TIMEOUT;
	} else if (crashed) {
		code = EXIT_POLICY;
		reason = "monitor died";
		log_error("the monitor died, and every process of the sandbox with it; the log and "
			  "the "
			  "changes are kept");
	} else {
		code = g->exit_code >= 0    ? g->exit_code
		       : g->deadline_passed ? EXIT_TIMEOUT
					    : EXIT_SIGNAL + SIGKILL;
	}
	if (g->log) {
		n = g->exited ? eventlog_drain(g->log, report_event, &g->report)
			      : eventlog_recover(g->log, report_event, &g->report);
		struct event last = { .kind = EVENT_SESSION_END,
				      .ambient_count = g->report.ambient,
				      .status = g->status,
				      .text = reason,
				      .result = 0,
				      .action = {
					      .resource = "", .program = "", .size_bytes = -1 } };
		stamp(&last);
		if (n >= 0)
			n = eventlog_append(g->log, &last);
	}
	if (n < 0)
		log_error(
			"the log of session %s is incomplete: %s; the rest is recovered when it is "
			"read",
			g->session.id, strerrordesc_np(-n));
	if (report_save(&g->report, code, g->status, reason, &err) < 0)
		log_error("%s", err.text);
	report_ended(&g->report, code, g->status, reason);
	if (g->exited && g->run->policy->on_exit == ON_EXIT_DISCARD) {
		reap_monitor(g, &end);
		if (overlay_discard(g->session.dirfd, &err) < 0)
			log_error("%s", err.text);
	}
	return code;
}

/* First in the log: what was started, as far as an event has room for it. */
static void append_start(struct gateway *g)
{
	char argv[ACTION_ARGV_SIZE];
	struct event e = { .kind = EVENT_SESSION_START,
			   .text = g->start.policy,
			   .action = { .resource = "",
				       .program = "",
				       .argv = argv,
				       .cwd = g->run->cwd,
				       .size_bytes = -1 } };
	for (char *const *arg = g->run->argv; *arg; arg++) {
		size_t n = strlen(*arg) + 1;
		if (e.action.argv_len + n > sizeof(argv)) {
			e.action.argv_truncated = true;
			break;
		}
		memcpy(argv + e.action.argv_len, *arg, n);
		e.action.argv_len += n;
		e.action.argc++;
	}
	stamp(&e);
	int r = eventlog_append(g->log, &e);
	if (r < 0)
		log_warn("the log takes no event: %s, continuing", strerrordesc_np(-r));
}

static int start(struct gateway *g, char *const *envp, sigset_t *mask, struct err *err)
{
	const struct run *run = g->run;
	int r = prepare(g, mask, err);
	if (r < 0)
		return r;
	/* The whole state directory is hidden inside: STATE/sessions/ID */
	char state_path[STATE_PATH_SIZE];
	snprintf(state_path, sizeof(state_path), "%s", g->session.path);
	for (unsigned up = 0; up < 2; up++)
		*strrchr(state_path, '/') = '\0';
	struct box_plan box = {
		.policy = run->policy,
		.state_path = state_path,
		.session_id = g->session.id,
		.session_path = g->session.path,
		.session_dirfd = g->session.dirfd,
		.argv = run->argv,
		.envp = envp,
		.cwd = run->cwd,
		.workspace = run->cwd,
		.degraded_ok = run->degraded_ok,
		.net = run->net,
		.allow_ptrace = run->allow_ptrace,
		.read_events = run->read_events,
	};
	struct netplan net;
	r = netplan_start(run, &net, err);
	if (r < 0)
		return r;
	box.resolv_conf = net.resolv_conf;
	struct monitor_plan plan = {
		.box = &box,
		.network = net.plan.channel_fd >= 0 ? &net.plan : NULL,
		.history = run->history,
		.agent = run->agent,
		.agents_dirfd = run->agents_dirfd,
		.ring_wake_fd = g->ring_fd,
	};
	r = fork_monitor(g, mask, &plan, err);
	netplan_finish(&net);
	if (r < 0)
		return r;
	/* While the monitor builds the box; after the fork, so that only we hold the log's lock. */
	signal(SIGPIPE, SIG_IGN);
	g->start.monitor_pid = g->monitor_pid;
	r = session_write_start(&g->session, &g->start, err);
	if (r < 0)
		return r;
	r = eventlog_reader_open(g->session.dirfd, g->session.id, &g->log, err);
	if (r < 0)
		return r;
	append_start(g);
	on_drain(g);
	return 0;
}

static uint64_t wall_ns(void)
{
	struct event e = { 0 };
	stamp(&e);
	return e.wall_ns;
}

int gateway_run(struct run *run, bool clean_env, const char *const *env_set)
{
	struct gateway g = { .run = run,
			     .session = { .dirfd = -1 },
			     .lock_fd = -1,
			     .monitor_fd = -1,
			     .signal_fd = -1,
			     .ring_fd = -1,
			     .pidfd = -1,
			     .exit_code = -1 };
	char state_path[STATE_PATH_SIZE];
	struct err err;
	sigset_t mask;
	char **envp = NULL;
	int code = EXIT_USAGE;
	cleanup_fd int state = state_open(state_path, &err);
	if (state < 0)
		goto out;
	run->agents_dirfd = state_subdir(state, "agents", &err);
	if (run->agents_dirfd < 0)
		goto out;
	if (history_load(run->history, run->agents_dirfd, run->agent, &err) < 0)
		log_warn("%s; starting from an empty baseline", err.text);
	if (session_create(state, state_path, &g.session, &g.lock_fd, &err) < 0)
		goto out;
	if (run_environment(environ, clean_env, env_set, g.session.id, &envp, &err) < 0)
		goto out;
	g.start = (struct session_start){
		.agent = run->agent,
		.policy = run->policy->name,
		.policy_file = run->policy->origin.file,
		.mode = policy_mode_name(run->policy->mode),
		.net = policy_net_name(run->net),
		.on_exit = policy_on_exit_name(run->policy->on_exit),
		.cwd = run->cwd,
		.workspace = run->cwd,
		.argv = run->argv,
		.started_ns = wall_ns(),
		.gateway_pid = getpid(),
		.degraded = "",
	};
	report_init(&g.report, run, &g.session);
	if (start(&g, envp, &mask, &err) == 0) {
		supervise(&g);
		code = finish(&g);
	} else {
		log_error("%s", err.text);
		if (g.monitor_pid > 0) {
			kill(g.monitor_pid, SIGKILL);
			waitpid(g.monitor_pid, NULL, 0);
		}
	}
	err.text[0] = 0;
out:
	if (err.text[0])
		log_error("%s", err.text);
	eventlog_reader_close(g.log);
	run_environment_free(envp);
	drop_fd(&g.monitor_fd);
	drop_fd(&g.signal_fd);
	drop_fd(&g.ring_fd);
	drop_fd(&g.pidfd);
	session_close(&g.session);
	drop_fd(&g.lock_fd); /* last: from now on the session is over */
	return code;
}
