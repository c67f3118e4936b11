#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/oci/runtime.h"
#include "launcher/term.h"
#include "launcher/verb.h"

/* clang-format off */
const struct verb verb_table[] = {
	{"run", "[--] COMMAND [ARG…]", "run a command in a sandbox", cmd_run, run_options},
	{"shell", "[SESSION]", "an interactive shell in a sandbox, new or ended, with the options of run", cmd_shell, run_options},
	{"learn", "[--] COMMAND [ARG…]", "write a policy from what a command does", cmd_learn, learn_options},
	{"attach", "PID", "supervise a process that runs already, its threads and children", cmd_attach, attach_options},
	{"detach", "SESSION", "let an attached process go on unsupervised", cmd_detach, NULL},
	{"ps", "", "list sessions", cmd_ps, ps_options},
	{"show", "[SESSION]", "show one session", cmd_show, show_options},
	{"logs", "[SESSION]", "print a session's events", cmd_logs, logs_options},
	{"diff", "[SESSION] [PATH]|-- PATH", "list what a session changed, deletions first", cmd_diff, diff_options},
	{"rollback", "[SESSION]", "undo the last changes of a session", cmd_rollback, rollback_options},
	{"commit", "[SESSION] [PATH…]|-- PATH…", "make a session's changes real", cmd_commit, commit_options},
	{"undo", "[SESSION]", "bring the host back as it was before a commit", cmd_undo, undo_options},
	{"discard", "[SESSION]", "drop what a session changed", cmd_discard, discard_options},
	{"why", "[SESSION | COMMAND…]", "explain a decision, of an event or of an action to come", cmd_why, why_options},
	{"snapshot", "create|list|diff|restore|verify|prune", "keep what a session changed as an OCI image", cmd_snapshot, snapshot_options},
	{"kill", "SESSION", "end a running session now", cmd_kill, kill_options},
	{"approve", "list [SESSION]|allow ID|deny ID", "answer actions that are held for a person", cmd_approve, approve_options},
	{"pause", "[SESSION]", "stop everything in a session, to go on later", cmd_pause, pause_options},
	{"resume", "[SESSION]", "let a paused session go on", cmd_resume, resume_options},
	{"policy", "list|show NAME|create NAME|check FILE|test FILE|schema|delete NAME|trust [FILE]", "look at policies, write, check, try and trust them", cmd_policy, policy_options},
	{"audit", "verify|export [SESSION]", "verify the hash chain of a session's log, or export it", cmd_audit, audit_options},
	{"top", "", "live rates and scores of the running sessions", cmd_top, top_options},
	{"status", "", "where things are kept on this host, and how much", cmd_status, status_options},
	{"prune", "", "take old sessions away, within budgets", cmd_prune, prune_options},
	{"doctor", "", "say what this machine can enforce, and how to fix what it cannot", cmd_doctor, doctor_options},
	{"completion", "bash|zsh|fish", "print shell completion", cmd_completion, NULL},
	{"help", "[VERB]", "print help", cmd_help, NULL},
	{"version", "", "print the version", cmd_version, NULL},
	{"serve", "", "the control plane: an HTTP server for the sandboxes of all hosts", cmd_serve, serve_options},
	{"login", "URL", "let this host's sandboxes report to a control plane", cmd_login, login_options},
	{"logout", "", "report to nobody any more", cmd_logout, NULL},
	{"oci", "patch FILE|agent|hook STAGE|runtime [ARG…]", "decide on containers that runc or crun make", cmd_oci, oci_options},
	{"ci", "shell [--] [ARG…]|gitlab config|prepare|run|cleanup|github|report [SESSION]", "jobs of CI systems in a sandbox, by the contracts of their runners", cmd_ci, ci_options},
	{"mcp", "", "the control plane as tools, over standard input and output", cmd_mcp, NULL},
	{NULL},
};
/* clang-format on */

const struct verb *verb_find(const char *name)
{
	for (const struct verb *v = verb_table; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static int dispatch(const char *name, char **argv)
{
	static struct options options;
	struct err err;
	const struct verb *v = verb_find(name);
	if (!v) {
		const char *near = nearest_word(name, &verb_table->name, sizeof(*verb_table));
		if (near)
			log_error("there is no verb '%s'; did you mean %s?", name, near);
		else
			log_error("there is no verb '%s'; vsandbox help lists them", name);
		return EXIT_USAGE;
	}
	int r = options_parse(v->options, argv, &options, &err);
	if (r == OPTIONS_HELP) {
		help_print(v);
		return out_finish();
	}
	if (r < 0) {
		log_error("%s: %s (vsandbox help %s)", v->name, err.text, v->name);
		return EXIT_USAGE;
	}
	options.verb = v->name;
	return v->run(&options);
}

/*
 * A standard descriptor that is closed would be the next file we open, and the agent's then. What is put there can
 * be neither read, as 0, nor written: to use it fails with EBADF, as when it was closed.
 */
static int fill_standard(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			return -errno;
	}
	return 0;
}

int main(int argc, char **argv)
{
	/*
	 * Large blocks have mappings of their own, whatever was freed before: else glibc puts the next ones
	 * on the heap, where a calloc writes all of a table of which a run touches a few pages. It does so too
	 * where the heap's last block has room: so that is kept small.
	 */
	mallopt(M_MMAP_THRESHOLD, 32 * 1024);
	mallopt(M_TOP_PAD, 4 * 1024);
	int r = fill_standard();
	if (r < 0) {
		log_error("/dev/null: %s", strerrordesc_np(-r));
		return EXIT_USAGE;
	}
	if (argc > 0 && oci_runtime_name(argv[0]))
		return oci_runtime_main(argv);
	if (argc < 2) {
		log_error("what is to be done? Try: vsandbox doctor, vsandbox run -- COMMAND, "
			  "vsandbox help");
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return dispatch("help", argv + 2);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return dispatch("version", argv + 2);
	return dispatch(argv[1], argv + 2);
}
