/*
 * A verb of the command line. main.c holds the one table of them; help,
 * --help, completion and dispatch all read it.
 */
#pragma once

#include "launcher/options.h"
#include "launcher/session.h"

struct verb {
	const char *name;
	const char *synopsis;                /* what follows the options; "" nothing */
	const char *help;                    /* one line */
	int (*run)(const struct options *o); /* returns the exit code */
	const struct option_spec *options;   /* ended by a NULL name; NULL none */
};

/* The table, ended by a NULL name. */
extern const struct verb verb_table[];
const struct verb *verb_find(const char *name);

/* The session that a verb with [S] is about, for the caller to close. 0, or -errno and a text: the usage is wrong. */
int verb_session(const struct options *o, struct session *ret, struct err *err);

/* One function for each cmd_NAME.c, with its option list. */
int cmd_approve(const struct options *o);
int cmd_attach(const struct options *o);
int cmd_audit(const struct options *o);
int cmd_ci(const struct options *o);
int cmd_commit(const struct options *o);
int cmd_completion(const struct options *o);
int cmd_detach(const struct options *o);
int cmd_diff(const struct options *o);
int cmd_discard(const struct options *o);
int cmd_doctor(const struct options *o);
int cmd_help(const struct options *o);
int cmd_kill(const struct options *o);
int cmd_learn(const struct options *o);
int cmd_login(const struct options *o);
int cmd_logout(const struct options *o);
int cmd_logs(const struct options *o);
int cmd_pause(const struct options *o);
int cmd_resume(const struct options *o);
int cmd_mcp(const struct options *o);
int cmd_oci(const struct options *o);
int cmd_policy(const struct options *o);
int cmd_prune(const struct options *o);
int cmd_ps(const struct options *o);
int cmd_rollback(const struct options *o);
int cmd_run(const struct options *o);
int cmd_serve(const struct options *o);
int cmd_shell(const struct options *o);
int cmd_show(const struct options *o);
int cmd_snapshot(const struct options *o);
int cmd_status(const struct options *o);
int cmd_top(const struct options *o);
int cmd_undo(const struct options *o);
int cmd_version(const struct options *o);
int cmd_why(const struct options *o);

extern const struct option_spec approve_options[], attach_options[], audit_options[], ci_options[],
	commit_options[], diff_options[], discard_options[], doctor_options[], kill_options[],
	learn_options[], login_options[], logs_options[], oci_options[], pause_options[],
	policy_options[], prune_options[], ps_options[], resume_options[], rollback_options[],
	run_options[], serve_options[], show_options[], snapshot_options[], status_options[],
	top_options[], undo_options[], why_options[];

/* Prints the help of one verb, or with NULL of the program, on stdout. */
void help_print(const struct verb *v);
