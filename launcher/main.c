#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/verb.h"

/* clang-format off */
const struct verb verb_table[] = {
	{"run", "[--] COMMAND [ARG…]", "run a command in a sandbox", cmd_run, run_options},
	{"ps", "", "list sessions", cmd_ps, ps_options},
	{"show", "[SESSION]", "show one session", cmd_show, show_options},
	{"logs", "[SESSION]", "print a session's events", cmd_logs, logs_options},
	{"diff", "[SESSION] [PATH]", "list what a session changed, deletions first", cmd_diff, diff_options},
	{"discard", "[SESSION]", "drop what a session changed", cmd_discard, discard_options},
	{"why", "[SESSION | COMMAND…]", "explain a decision, of an event or of an action to come", cmd_why, why_options},
	{"snapshot", "create|list|diff|restore|verify|prune", "keep what a session changed as an OCI image", cmd_snapshot, snapshot_options},
	{"kill", "SESSION", "end a running session now", cmd_kill, kill_options},
	{"approve", "list [SESSION]|allow ID|deny ID", "answer actions that are held for a person", cmd_approve, approve_options},
	{"pause", "[SESSION]", "stop everything in a session, to go on later", cmd_pause, pause_options},
	{"resume", "[SESSION]", "let a paused session go on", cmd_resume, resume_options},
	{"policy", "list|show NAME|check FILE|schema", "look at policies and check them", cmd_policy, policy_options},
	{"audit", "verify [SESSION]", "verify the hash chain of a session's events", cmd_audit, NULL},
	{"doctor", "", "say what this machine can enforce, and how to fix what it cannot", cmd_doctor, doctor_options},
	{"completion", "bash", "print shell completion", cmd_completion, NULL},
	{"help", "[VERB]", "print help", cmd_help, NULL},
	{"version", "", "print the version", cmd_version, NULL},
	{"shell", "", "an interactive shell in a session; until then: vsandbox run -- $SHELL"},
	{"commit", "", "apply a session's changes to the host"},
	{"undo", "", "restore what a commit replaced"},
	{"rollback", "", "undo the last actions of a session"},
	{"learn", "", "write a policy from what a command does"},
	{"serve", "", "control plane and dashboard"},
	{"login", "", "register this host with a control plane"},
	{"attach", "", "supervise a running process"},
	{"oci", "", "container runtime integration"},
	{"ci", "", "CI integration"},
	{"mcp", "", "tool server for agents"},
	{"top", "", "live rates and scores"},
	{"status", "", "where this host reports to"},
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
	if (!v->run) {
		log_error("%s is not built yet (%s)", v->name, v->help);
		return EXIT_USAGE;
	}
	int r = options_parse(v->options, argv, &options, &err);
	if (r == OPTIONS_HELP) {
		help_print(v);
		return 0;
	}
	if (r < 0) {
		log_error("%s: %s (vsandbox help %s)", v->name, err.text, v->name);
		return EXIT_USAGE;
	}
	return v->run(&options);
}

int main(int argc, char **argv)
{
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
