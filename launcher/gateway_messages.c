/* What the monitor says, and what comes of it. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/priority.h"
#include "base/scope.h"
#include "base/stack.h"
#include "launcher/exit.h"
#include "launcher/external.h"
#include "launcher/gateway.h"
#include "launcher/log.h"
#include "launcher/session_again.h"
#include "launcher/snapshots.h"
#include "sandbox/rollback.h"

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
	if (g->run->again)
		session_again_begun(&g->session);
	report_started(&g->report, m->value, m->text);
	g->start.degraded = "";
	if (g->run->attach)
		gateway_drain(g); /* what was open before, while somebody looks */
	if (g->run->attach && g->run->ready_fd >= 0)
		leave_terminal(g);
	if (g->run->policy->limits.wall_seconds)
		g->deadline_ms = clock_ms() + g->run->policy->limits.wall_seconds * 1000;
	stack_shed();
}

void gateway_keep_snapshot(struct gateway *g, const char *reason)
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
	gateway_drain(g); /* the cause first */
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
	if (done) {
		gateway_keep_snapshot(g, "rollback");
		external_print(g->session.dirfd, r.oldest_seq, stderr, EXTERNAL_TEXT);
	}
	/* Frozen is no state to be left in when nobody is there to answer. */
	if (!done || g->run->approve == APPROVE_NONE || !isatty(STDIN_FILENO) ||
	    !isatty(STDERR_FILENO)) {
		g->exit_code = EXIT_POLICY;
		gateway_end_tree(g, "rolled back");
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
	gateway_end_tree(g, "approval denied");
}

/* By a verb that told the monitor itself, or by a signal that what is paused cannot take. */
static void on_ending(struct gateway *g, int signum)
{
	if (g->reason)
		return;
	g->reason = signum ? "signal" : "killed";
	if (!signum)
		return;
	g->exit_code = EXIT_SIGNAL + signum;
	log_warn("session %s is paused: signal %d ends it", g->session.id, signum);
}

void gateway_messages(struct gateway *g)
{
	static struct packet m; /* large for a stack */
	int stopped = 0;
	for (;;) {
		int r = packet_receive(g->monitor_fd, &m);
		if (r == -EPROTO)
			continue;
		if (r != 1) {
			if (r != -EAGAIN)
				gateway_drop_fd(&g->monitor_fd);
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
		case MONITOR_ENDING:
			on_ending(g, m.value);
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
	if (stopped && sigpending(&pending) == 0 && !sigismember(&pending, SIGCONT)) {
		/* who is stopped starts nothing, and others in there go on */
		netplan_wake(&g->broker);
		log_tend(); /* the screen is the shell's now */
		raise(SIGSTOP);
	}
}
