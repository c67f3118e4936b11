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
#include "base/priority.h"
#include "base/scope.h"
#include "launcher/approvals.h"
#include "launcher/control.h"
#include "launcher/exit.h"
#include "launcher/external.h"
#include "launcher/log.h"
#include "launcher/netplan.h"
#include "launcher/notify.h"
#include "launcher/on_exit.h"
#include "launcher/ours.h"
#include "launcher/report.h"
#include "launcher/run.h"
#include "launcher/server.h"
#include "launcher/session.h"
#include "launcher/snapshots.h"
#include "launcher/uplink.h"
#include "sandbox/monitor.h"
#include "sandbox/rollback.h"
#include "sandbox/tree.h"

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
	struct control control;
	struct control_host host;
	struct approvals approvals;
	struct notify notify;
	struct fence fence;                                 /* owned */
	int lock_fd, monitor_fd, signal_fd, ring_fd, pidfd; /* owned */
	int server_fd; /* owned; who is reported to, for the uplink; -1 nobody */
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

static void tell_monitor(struct gateway *g, enum packet_type type, int value)
{
	int r = packet_send(g->monitor_fd, type, value, 0, NULL, PACKET_NOWAIT);
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		log_detail("the monitor takes no message: %s, continuing", strerrordesc_np(-r));
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

/* struct control_host */
static int host_ask(void *gateway, enum monitor_request what, const char *argument, uint32_t ticket)
{
	struct gateway *g = gateway;
	return g->started && !g->exited ? packet_send(g->monitor_fd, MONITOR_REQUEST, (int)what,
						      ticket, argument, PACKET_NOWAIT)
					: -EAGAIN;
}

static void host_end(void *gateway, const char *reason)
{
	end_tree(gateway, reason);
}

static void drop_fd(int *fd)
{
	scope_close(fd);
	*fd = -1;
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
		end_tree(g, "killed");
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
			end_tree(g, "signal");
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
		tell_monitor(g, MONITOR_SIGNALLED, signum);
	if (signum == SIGCONT)
		approvals_prompt(&g->approvals);
	if (signum == SIGINT && from_terminal) {
		uint64_t now = now_ms();
		if (g->interrupt_ms && now - g->interrupt_ms < INTERRUPT_TWICE_MS)
			end_tree(g, "interrupted twice");
		g->interrupt_ms = now;
	}
	if (!from_terminal)
		tell_monitor(g, MONITOR_SIGNAL, signum);
}

static void on_failed(struct gateway *g, const struct packet *m)
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
	if (g->approvals.denied_any && !missing) { /* it was the first that was asked about */
		g->exit_code = EXIT_APPROVAL;
		g->reason = "approval denied";
		log_error("%s: nobody allowed it to be started", g->run->argv[0]);
		return;
	}
	g->exit_code = missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	g->reason = missing ? "not found" : "not executable";
	log_error("%s: %s", g->run->argv[0],
		  missing && !strchr(g->run->argv[0], '/') ? "command not found"
							   : strerrordesc_np(errnum));
}

static void on_drain(struct gateway *g);

/* From here on the verb has returned: what there is to say goes to the session's own file. */
static void leave_terminal(struct gateway *g)
{
	cleanup_fd int ready = g->run->ready_fd;
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_fd int messages = openat(g->session.dirfd, "messages",
					 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (messages < 0)
		log_warn("messages: %s; they are lost, continuing", strerrordesc_np(errno));
	if (write(ready, g->session.id, strlen(g->session.id)) < 0)
		log_detail("nobody waits for the attach, continuing");
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(messages < 0 ? null : messages, STDERR_FILENO);
}

static void on_started(struct gateway *g, const struct packet *m)
{
	g->started = true;
	g->start.agent_pid = m->value;
	g->start.degraded = m->text;
	struct err err;
	if (session_write_start(&g->session, &g->start, &err) < 0)
		log_warn("%s, continuing", err.text);
	report_started(&g->report, m->value, m->text);
	g->start.degraded = "";
	if (g->run->attach)
		on_drain(g); /* what was open before, while somebody looks */
	if (g->run->attach && g->run->ready_fd >= 0)
		leave_terminal(g);
	if (g->run->policy->limits.wall_seconds)
		g->deadline_ms = now_ms() + g->run->policy->limits.wall_seconds * 1000;
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

/*
 * For audit: what the run left, whatever becomes of it later. Not where the changes are to be gone.
 * @reason: "end" or "rollback"; nothing may be writing meanwhile.
 */
static void keep_snapshot(struct gateway *g, const char *reason)
{
	const struct policy *p = g->run->policy;
	char name[SNAPSHOT_NAME_SIZE];
	struct err err;
	if (!p->snapshots || p->on_exit == ON_EXIT_DISCARD || g->run->attach)
		return;
	session_refresh(&g->session);
	priority_raise(); /* this takes long, and nobody waits */
	int rc = snapshots_take(&g->session, NULL, reason, name, &err);
	priority_urgent();
	if (rc < 0)
		log_warn("no snapshot was taken: %s", err.text);
	else if (rc == 0)
		log_detail("snapshot %s", name);
}

/* An action crossed the threshold in mode rollback. Everything inside is frozen, or must not go on. */
static void on_rolled_back(struct gateway *g, const struct packet *m)
{
	struct undo_result r;
	bool done = m->value == 0 && rollback_parse(m->text, &r) == 0;
	if (done)
		log_error("rolled back the last %llu changes (drifted %llu, past undoing %llu, "
			  "failed "
			  "%llu): vsandbox logs --decision rollback %s",
			  (unsigned long long)r.outcomes[UNDO_RESTORED],
			  (unsigned long long)r.outcomes[UNDO_DRIFTED],
			  (unsigned long long)r.outcomes[UNDO_PAST],
			  (unsigned long long)r.outcomes[UNDO_FAILED], g->session.id);
	else
		log_error("the last changes could not be rolled back: %s", m->text);
	on_drain(g);
	if (done) {
		keep_snapshot(g, "rollback");
		external_print(g->session.dirfd, r.oldest_seq, stderr, EXTERNAL_TEXT);
	}
	/* Frozen is no state to be left in when nobody is there to answer. */
	if (!done || g->run->approve == APPROVE_NONE || !isatty(STDIN_FILENO) ||
	    !isatty(STDERR_FILENO)) {
		g->exit_code = EXIT_POLICY;
		end_tree(g, "rolled back");
		return;
	}
	log_error(
		"everything is frozen: vsandbox resume %s lets it go on, vsandbox kill %s ends it",
		g->session.id, g->session.id);
}

/* A threshold was passed and nobody allows it: nothing smaller than all of it could be refused. */
static void on_denied(struct gateway *g, const struct packet *m)
{
	log_error("%s: nobody allowed it, so the run ends", m->text);
	g->approvals.denied_any = true;
	end_tree(g, "approval denied");
}

/* Reads all packets that are there, so that a stop already undone does not stop us. */
static void on_messages(struct gateway *g)
{
	int stopped = 0;
	for (;;) {
		struct packet m;
		int r = packet_receive(g->monitor_fd, &m);
		if (r == -EPROTO)
			continue;
		if (r != 1) {
			if (r != -EAGAIN)
				drop_fd(&g->monitor_fd);
			break;
		}
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
		case MONITOR_ROLLED_BACK:
			on_rolled_back(g, &m);
			break;
		case MONITOR_HELD:
			approvals_held(&g->approvals, m.ticket, m.text);
			break;
		case MONITOR_SETTLED:
			approvals_settled(&g->approvals, m.ticket, m.value);
			break;
		case MONITOR_DENIED:
			on_denied(g, &m);
			break;
		case MONITOR_REPLY:
			if (m.ticket == APPROVALS_TICKET)
				approvals_reply(&g->approvals, m.value);
			control_reply(&g->control, m.ticket, m.value, m.text);
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
		struct pollfd fds[5 + CONTROL_POLLS] = {
			{ .fd = g->monitor_fd, .events = POLLIN },
			{ .fd = g->signal_fd, .events = POLLIN },
			{ .fd = g->busy ? -1 : g->ring_fd, .events = POLLIN },
			{ .fd = g->pidfd, .events = POLLIN },
		};
		control_polls(&g->control, fds + 5);
		fds[4] = approvals_poll(&g->approvals);
		uint64_t now = now_ms();
		int timeout = timeout_of(now, g->drain_ms, -1);
		timeout = timeout_of(now, g->deadline_ms, timeout);
		timeout = timeout_of(now, g->kill_ms, timeout);
		timeout = timeout_of(now, notify_due_ms(&g->notify, &g->approvals, now), timeout);
		int n = poll(fds, sizeof(fds) / sizeof(fds[0]), timeout);
		if (n < 0 && errno != EINTR)
			log_error("poll: %s, continuing", strerrordesc_np(errno));
		on_time(g, now_ms());
		notify_tend(&g->notify, &g->approvals, now_ms());
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
		if (fds[4].revents && fds[4].fd == approvals_poll(&g->approvals).fd)
			approvals_key(&g->approvals);
		control_serve(&g->control, fds + 5);
		if (fds[3].revents)
			g->monitor_gone = true;
	}
	if (g->monitor_fd >= 0)
		on_messages(g); /* its last words */
}

/*
 * After its last word the monitor only takes its namespaces down, which costs the
 * kernel ten milliseconds and more: the caller does not wait for that, unless what
 * is mounted there is to be read. Removing it needs no waiting: nobody is left to look
 * through the mount, whose own references keep the kernel's side whole.
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
	drop_fd(&g->control.fd);
	drop_fd(&g->control.dir_fd);
	drop_fd(&g->server_fd); /* the key is there to be read */
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
	if (plan->attach && plan->attach->container) {
		/* the monitor's alone: its end must be theirs */
		close(plan->attach->container->channel_fd);
		close(plan->attach->container->slate_fd);
	}
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

/* The monitor's death is the tree's, here as well: no pid namespace ends it, so we do. */
static void end_attached(const struct gateway *g)
{
	struct tree tree;
	cleanup_fd int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	tree_init(&tree, proc);
	if (tree_add(&tree, g->run->attach->pid) == 0 && tree_kill(&tree, KILL_PATIENCE_MS) > 0)
		log_error("%u processes do not end; what they ask for fails with ENOSYS",
			  tree.count);
	tree_finish(&tree);
}

/* The log's end, end.json, digest. Returns our exit code. */
static int finish(struct gateway *g)
{
	struct err err;
	bool refused = g->approvals.denied_any;
	priority_raise();
	approvals_finish(&g->approvals); /* the terminal first: what follows writes to it */
	int code, n = 0, end = 0;
	const char *reason = g->reason;
	if (!g->exited)
		reap_monitor(g, &end);
	/* A signal from the terminal while the box was built met the monitor too. */
	if (!g->started && g->exit_code < 0 && WIFSIGNALED(end) && WTERMSIG(end) != SIGKILL) {
		g->exit_code = EXIT_SIGNAL + WTERMSIG(end);
		reason = "signal";
	}
	if (g->started && !g->exited && g->run->attach && !g->run->container)
		end_attached(g);
	bool crashed = !g->exited && g->exit_code < 0 && !reason;
	if (g->exited && g->exit_code < 0) {
		code = WIFSIGNALED(g->status) ? EXIT_SIGNAL + WTERMSIG(g->status)
					      : WEXITSTATUS(g->status);
		if (!reason)
			reason = WIFSIGNALED(g->status) ? "signal" : "exit";
		else if (g->deadline_passed)
			code = EXIT_TIMEOUT;
		else if (refused && !strcmp(reason, "approval denied"))
			code = EXIT_APPROVAL;
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
	/* not while the tree may still be writing */
	if (g->log && (g->exited || g->monitor_gone) &&
	    (g->report.changed || !g->run->policy->monitors.file_system))
		keep_snapshot(g, "end");
	if (g->exited && g->run->policy->on_exit == ON_EXIT_DISCARD) {
		if (overlay_discard(g->session.dirfd, &err) < 0 ||
		    journal_discard(g->session.dirfd, &err) < 0)
			log_error("%s", err.text);
	}
	return code;
}

/* The terminal is the person's again: who is asked may answer with Ctrl-C. */
static int settle(struct gateway *g, const sigset_t *mask, int code)
{
	struct signalfd_siginfo info;
	int end;
	enum policy_on_exit on_exit = g->run->policy->on_exit;
	if (!g->exited || on_exit == ON_EXIT_KEEP || on_exit == ON_EXIT_DISCARD)
		return code;
	reap_monitor(g, &end); /* what is mounted on the layers goes with it */
	while (read(g->signal_fd, &info, sizeof(info)) > 0)
		;
	sigprocmask(SIG_SETMASK, mask, NULL);
	return on_exit_settle(&g->session, on_exit, g->reason ? RUN_WAS_ENDED : RUN_ENDED_ITSELF,
			      g->run->cwd, code);
}

/* Before the first fork: the key must be in nobody's environment. That nothing is reported is no reason not to run. */
static void open_server(struct gateway *g, int state_fd)
{
	struct err err;
	g->server_fd = server_open(state_fd, &err);
	if (g->server_fd >= 0 && g->run->no_report)
		drop_fd(&g->server_fd);
	else if (g->server_fd < 0 && g->server_fd != -ENOENT)
		log_warn("%s; this session is not reported, continuing", err.text);
}

/* All the gateway does for it: what is reported is read from the session's own files. */
static void start_uplink(struct gateway *g)
{
	struct err err;
	if (g->server_fd >= 0 && uplink_start(&g->session, g->server_fd, &err) < 0)
		log_warn("%s; this session is not reported, continuing", err.text);
	drop_fd(&g->server_fd);
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
	r = ours_fence(&g->fence, err);
	if (r < 0)
		return r;
	struct box_plan box = {
		.policy = run->policy,
		.fence = &g->fence,
		.session_id = g->session.id,
		.session_path = g->session.path,
		.session_dirfd = g->session.dirfd,
		.argv = run->argv,
		.envp = envp,
		.cwd = run->start_dir[0] ? run->start_dir : run->cwd,
		.workspace = run->cwd,
		.rootfs = run->image.root[0] ? run->image.root : NULL,
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
		.attach = run->attach,
	};
	g->host = (struct control_host){
		.gateway = g, .ask = host_ask, .end = host_end, .approvals = &g->approvals
	};
	approvals_init(&g->approvals, &g->host, g->session.id, run->policy, run->approve);
	plan.approval_ms = run->approval_ms;
	plan.tty_fd = g->approvals.tty_fd; /* the monitor has its copy by the fork */
	r = control_open(&g->control, &g->session, &g->host, err);
	if (r < 0)
		return r;
	g->start.control = g->control.path;
	r = fork_monitor(g, mask, &plan, err);
	netplan_finish(&net);
	if (r < 0)
		return r;
	priority_urgent(); /* after the fork: the agent is not to have it */
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
	start_uplink(g);
	return 0;
}

static uint64_t wall_ns(void)
{
	struct event e = { 0 };
	stamp(&e);
	return e.wall_ns;
}

int gateway_run(struct run *run)
{
	struct gateway g = { .run = run,
			     .notify = { .program = run->notify },
			     .session = { .dirfd = -1 },
			     .lock_fd = -1,
			     .monitor_fd = -1,
			     .signal_fd = -1,
			     .ring_fd = -1,
			     .pidfd = -1,
			     .server_fd = -1,
			     .control = { .fd = -1, .dir_fd = -1 },
			     .approvals = { .tty_fd = -1 },
			     .exit_code = -1 };
	char state_path[STATE_PATH_SIZE];
	struct err err;
	sigset_t mask;
	char **envp = NULL;
	int code = EXIT_USAGE;
	cleanup_fd int state = state_open(state_path, &err);
	if (state < 0)
		goto out;
	open_server(&g, state);
	run->agents_dirfd = state_subdir(state, "agents", &err);
	if (run->agents_dirfd < 0)
		goto out;
	if (history_load(run->history, run->agents_dirfd, run->agent, &err) < 0)
		log_warn("%s; starting from an empty baseline", err.text);
	if (session_create(state, state_path, &g.session, &g.lock_fd, &err) < 0)
		goto out;
	memcpy(run->session, g.session.id, sizeof(run->session));
	if (run_environment(environ, run->clean_env, run->env_set, g.session.id, &envp, &err) < 0)
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
		.attached_pid = run->attach ? run->attach->pid : 0,
		.container = run->container,
	};
	report_init(&g.report, run, &g.session);
	if (start(&g, envp, &mask, &err) == 0) {
		supervise(&g);
		code = settle(&g, &mask, finish(&g));
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
	drop_fd(&g.server_fd);
	control_close(&g.control);
	fence_finish(&g.fence);
	session_close(&g.session);
	drop_fd(&g.lock_fd); /* last: from now on the session is over */
	return code;
}
