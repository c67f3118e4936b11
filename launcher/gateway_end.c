/* After the tree: the log and the session are closed in order, and the exit code is found. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/priority.h"
#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/gateway.h"
#include "launcher/log.h"
#include "launcher/on_exit.h"
#include "sandbox/tree.h"

/*
 * After its last word the monitor only takes its namespaces down, which costs the
 * kernel ten milliseconds and more: the caller does not wait for that, unless what
 * is mounted there is to be read. Removing it needs no waiting: nobody is left to look
 * through the mount, whose own references keep the kernel's side whole.
 */
static void reap(struct gateway *g, int *ret_status)
{
	struct pollfd fd = { .fd = g->pidfd, .events = POLLIN };
	if (g->monitor_pid <= 0)
		return;
	if (poll(&fd, 1, GATEWAY_KILL_PATIENCE_MS) == 0)
		kill(g->monitor_pid, SIGKILL);
	if (waitpid(g->monitor_pid, ret_status, 0) == g->monitor_pid)
		g->monitor_pid = 0;
}

/* The monitor's death is the tree's, here as well: no pid namespace ends it, so we do. */
static void end_attached(const struct gateway *g)
{
	struct tree tree;
	cleanup_fd int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	tree_init(&tree, proc);
	if (tree_add(&tree, g->run->attach->pid) == 0 &&
	    tree_kill(&tree, GATEWAY_KILL_PATIENCE_MS) > 0)
		log_error("%u processes do not end; what they ask for fails with ENOSYS",
			  tree.count);
	tree_finish(&tree);
}

int gateway_finish(struct gateway *g)
{
	struct err err;
	bool refused = g->approvals.denied_any;
	priority_raise();
	approvals_finish(&g->approvals); /* the terminal first: what follows writes to it */
	log_release();
	int code, n = 0, end = 0;
	const char *reason = g->reason;
	if (!g->exited)
		reap(g, &end);
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
		event_stamp(&last);
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
		gateway_keep_snapshot(g, "end");
	if (g->exited && g->run->policy->on_exit == ON_EXIT_DISCARD) {
		/* a commit that began while it ran may need them */
		cleanup_fd int work = session_work_lock(&g->session, &err);
		if (work < 0)
			log_warn("%s: its changes are kept", err.text);
		else if (overlay_discard(g->session.dirfd, &err) < 0 ||
			 journal_discard(g->session.dirfd, &err) < 0)
			log_error("%s", err.text);
	}
	return code;
}

/* The terminal is the person's again: who is asked may answer with Ctrl-C. */
int gateway_settle(struct gateway *g, const sigset_t *mask, int code)
{
	struct signalfd_siginfo info;
	int end;
	enum policy_on_exit on_exit = g->run->policy->on_exit;
	if (!g->exited || on_exit == ON_EXIT_KEEP || on_exit == ON_EXIT_DISCARD)
		return code;
	reap(g, &end); /* what is mounted on the layers goes with it */
	while (read(g->signal_fd, &info, sizeof(info)) > 0)
		;
	sigprocmask(SIG_SETMASK, mask, NULL);
	return on_exit_settle(&g->session, on_exit, g->reason ? RUN_WAS_ENDED : RUN_ENDED_ITSELF,
			      g->run->cwd, code);
}
