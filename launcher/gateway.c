/*
 * Theory of operation. The gateway stays in the host's namespaces and on the
 * user's terminal, in the agent's process group. It forks the monitor, then waits
 * in poll for: packets of the monitor, its death (pidfd), events published in
 * the ring (eventfd), signals (signalfd), a first word to the broker, which it then starts. Idle, nothing
 * wakes it.
 *
 * Signals. The agent shares our process group, so what the terminal generates
 * (SI_KERNEL) has reached it already; what somebody sent to us alone is
 * forwarded. When the agent stops, so do we, for the outer shell to see it.
 *
 * States: before MONITOR_STARTED a signal ends the start; then supervision;
 * after MONITOR_EXIT the tree is gone and only the log is left to finish.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/gateway.h"
#include "launcher/log.h"
#include "launcher/session_again.h"
#include "launcher/term.h"

enum {
	DRAIN_DELAY_MS = 20, /* while busy: large batches, and the CPU to the monitor */
	INTERRUPT_TWICE_MS = 1000,
	SCREEN_MS = 200, /* how often it is looked whether what waits to be said may be said */
};

void gateway_drop_fd(int *fd)
{
	scope_close(fd);
	*fd = -1;
}

static void tell(struct gateway *g, enum packet_type type, int value)
{
	int r = packet_send(g->monitor_fd, type, value, 0, NULL, PACKET_NOWAIT);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		log_detail("the monitor takes no message: %s, continuing", strerrordesc_np(-r));
}

void gateway_end_tree(struct gateway *g, const char *reason)
{
	if (g->reason || g->exited)
		return;
	g->reason = reason;
	g->kill_ms = clock_ms() + GATEWAY_KILL_PATIENCE_MS;
	tell(g, MONITOR_KILL, 0);
}

int gateway_host_ask(void *gateway, enum monitor_request what, const char *argument,
		     uint32_t ticket)
{
	struct gateway *g = gateway;
	return g->started && !g->exited ? packet_send(g->monitor_fd, MONITOR_REQUEST, (int)what,
						      ticket, argument, PACKET_NOWAIT)
					: -EAGAIN;
}

void gateway_host_end(void *gateway, const char *reason)
{
	gateway_end_tree(gateway, reason);
}

/* They are no children of this terminal: nothing is forwarded, and only a word ends or frees them. */
static void on_attached_signal(struct gateway *g, const struct signalfd_siginfo *info)
{
	if (info->ssi_signo != SIGWINCH && info->ssi_signo != SIGCONT)
		log_warn("signal %u ignored: pid %d would be left without its monitor; vsandbox "
			 "kill "
			 "%s ends it, vsandbox detach %s lets it go on unsupervised",
			 info->ssi_signo, g->run->attach->pid, g->session.id, g->session.id);
}

static void on_signal(struct gateway *g, const struct signalfd_siginfo *info)
{
	int signum = (int)info->ssi_signo;
	bool from_terminal = info->ssi_code == SI_KERNEL;
	if (signum == SIGTERM && info->ssi_code == SI_QUEUE &&
	    info->ssi_int == SESSION_KILL_VALUE) {
		gateway_end_tree(g, "killed");
		return;
	}
	if (g->run->attach && g->started) {
		if (!g->run->container) /* of a container's the agent has been told, and ends us */
			on_attached_signal(g, info);
		return;
	}
	if (!g->started) {
		if (signum == SIGINT || signum == SIGTERM || signum == SIGHUP ||
		    signum == SIGQUIT) {
			g->exit_code = EXIT_SIGNAL + signum;
			gateway_end_tree(g, "signal");
		} else if (signum == SIGTSTP && from_terminal) {
			raise(SIGSTOP); /* what is being started stopped as well */
		}
		return;
	}
	/* The tree is frozen under a prompt: it takes its signal when that is gone. */
	bool prompted = g->approvals.prompt != PROMPT_NONE;
	if (prompted && from_terminal &&
	    (signum == SIGINT || signum == SIGQUIT || signum == SIGTSTP))
		approvals_withdraw(&g->approvals);
	if (from_terminal && (signum == SIGINT || signum == SIGQUIT || signum == SIGTSTP))
		tell(g, MONITOR_SIGNALLED, signum);
	if (signum == SIGCONT)
		approvals_prompt(&g->approvals);
	if (signum == SIGINT && from_terminal && !term_is_raw(STDIN_FILENO)) {
		uint64_t now = clock_ms();
		if (g->interrupt_ms && now - g->interrupt_ms < INTERRUPT_TWICE_MS)
			gateway_end_tree(g, "interrupted twice");
		g->interrupt_ms = now;
	}
	if (!from_terminal)
		tell(g, MONITOR_SIGNAL, signum);
}

void gateway_drain(struct gateway *g)
{
	int n = eventlog_drain(g->log, report_event, &g->report);
	if (n == -ENOSPC)
		log_detail("the log cannot be written: no space; events wait in the ring");
	/* Something was there, or could not be taken: more is to come. */
	g->busy = n != 0 || !eventlog_reader_sleep(g->log);
	g->drain_ms = g->busy ? clock_ms() + DRAIN_DELAY_MS : 0;
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
		gateway_drain(g);
	if (g->deadline_ms && now >= g->deadline_ms) {
		g->deadline_ms = 0;
		g->deadline_passed = true;
		log_error("the time limit of %llu s is over",
			  (unsigned long long)g->run->policy->limits.wall_seconds);
		gateway_end_tree(g, "timeout");
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
		struct pollfd fds[6 + CONTROL_POLLS] = {
			{ .fd = g->monitor_fd, .events = POLLIN },
			{ .fd = g->signal_fd, .events = POLLIN },
			{ .fd = g->busy ? -1 : g->ring_fd, .events = POLLIN },
			{ .fd = g->pidfd, .events = POLLIN },
			approvals_poll(&g->approvals),
			{ .fd = g->broker.channel_fd, .events = POLLIN },
		};
		control_polls(&g->control, fds + 6);
		uint64_t now = clock_ms();
		bool screen = log_tend() | approvals_tend(&g->approvals);
		int timeout = timeout_of(now, g->drain_ms, screen ? SCREEN_MS : -1);
		timeout = timeout_of(now, g->deadline_ms, timeout);
		timeout = timeout_of(now, g->kill_ms, timeout);
		timeout = timeout_of(now, notify_due_ms(&g->notify, &g->approvals, now), timeout);
		int n = poll(fds, sizeof(fds) / sizeof(fds[0]), timeout);
		if (n < 0 && errno != EINTR)
			log_error("poll: %s, continuing", strerrordesc_np(errno));
		on_time(g, clock_ms());
		notify_tend(&g->notify, &g->approvals, clock_ms());
		if (n <= 0)
			continue;
		if (fds[5].revents & POLLIN) /* a connection waits for it */
			netplan_wake(&g->broker);
		uint64_t woken;
		if (fds[2].revents && read(g->ring_fd, &woken, sizeof(woken)) > 0) {
			g->busy = true;
			g->drain_ms = clock_ms() + DRAIN_DELAY_MS;
		}
		/* Messages first: a signal means another thing once the agent runs. */
		if (fds[0].revents || (fds[1].revents && !g->started && g->monitor_fd >= 0))
			gateway_messages(g);
		struct signalfd_siginfo info;
		if (fds[1].revents & POLLIN)
			while (read(g->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
				on_signal(g, &info);
		if (fds[4].revents && fds[4].fd == approvals_poll(&g->approvals).fd)
			approvals_key(&g->approvals);
		control_serve(&g->control, fds + 6);
		if (fds[3].revents)
			g->monitor_gone = true;
	}
	if (g->monitor_fd >= 0)
		gateway_messages(g); /* its last words */
}

/* A new one, or one that has ended. */
static int take_session(struct gateway *g, int state, const char *state_path, struct err *err)
{
	if (!g->run->again)
		return session_create(state, state_path, &g->session, &g->lock_fd, err);
	int r = session_again_lock(g->run->again, &g->lock_fd, err);
	if (r < 0)
		return r;
	g->session = *g->run->again;
	*g->run->again = (struct session){ .dirfd = -1 };
	return 0;
}

/* NULL: out of memory. Most of its room, for paths, is never used: not written to, it takes no memory. */
static struct gateway *new_gateway(struct run *run)
{
	struct gateway *g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->run = run;
	g->notify.program = run->notify;
	g->session.dirfd = g->control.fd = g->control.dir_fd = g->approvals.tty_fd = -1;
	g->lock_fd = g->monitor_fd = g->signal_fd = g->ring_fd = g->pidfd = g->server_fd = -1;
	g->broker = (struct netplan_broker){ -1, -1 };
	g->exit_code = -1;
	return g;
}

int gateway_run(struct run *run)
{
	cleanup_free struct gateway *g = new_gateway(run);
	char state_path[STATE_PATH_SIZE];
	struct err err;
	sigset_t mask;
	char **envp = NULL;
	int code = EXIT_USAGE;
	if (!g) {
		log_error("out of memory");
		return code;
	}
	cleanup_fd int state = state_open(state_path, &err);
	if (state < 0)
		goto out;
	gateway_open_server(g, state);
	run->agents_dirfd = state_subdir(state, "agents", &err);
	if (run->agents_dirfd < 0)
		goto out;
	if (history_load(run->history, run->agents_dirfd, run->agent, &err) < 0)
		log_warn("%s; starting from an empty baseline", err.text);
	if (take_session(g, state, state_path, &err) < 0)
		goto out;
	memcpy(run->session, g->session.id, sizeof(run->session));
	if (run_environment(environ, run->clean_env, run->env_set, g->session.id, &envp, &err) < 0)
		goto out;
	g->start = (struct session_start){
		.agent = run->agent,
		.policy = run->policy->name,
		.policy_file = run->policy->origin.file,
		.mode = policy_mode_name(run->policy->mode),
		.net = policy_net_name(run->net),
		.on_exit = policy_on_exit_name(run->policy->on_exit),
		.cwd = run->cwd,
		.workspace = run->cwd,
		.argv = run->argv,
		.policy_flags = run->policy_flags,
		.started_ns = clock_ns(CLOCK_REALTIME),
		.gateway_pid = getpid(),
		.degraded = "",
		.attached_pid = run->attach ? run->attach->pid : 0,
		.container = run->container,
	};
	report_init(&g->report, run, &g->session);
	log_spare_screen();
	if (gateway_start(g, envp, &mask, &err) == 0) {
		supervise(g);
		code = gateway_settle(g, &mask, gateway_finish(g));
	} else {
		log_error("%s", err.text);
		if (g->monitor_pid > 0) {
			kill(g->monitor_pid, SIGKILL);
			waitpid(g->monitor_pid, NULL, 0);
		}
	}
	err.text[0] = 0;
out:
	if (err.text[0])
		log_error("%s", err.text);
	eventlog_reader_close(g->log);
	run_environment_free(envp);
	gateway_drop_fd(&g->monitor_fd);
	gateway_drop_fd(&g->signal_fd);
	gateway_drop_fd(&g->ring_fd);
	gateway_drop_fd(&g->pidfd);
	gateway_drop_fd(&g->server_fd);
	netplan_broker_finish(&g->broker);
	control_close(&g->control);
	fence_finish(&g->fence);
	session_close(&g->session);
	gateway_drop_fd(&g->lock_fd); /* last: from now on the session is over */
	return code;
}
