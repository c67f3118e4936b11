#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/changes.h"
#include "launcher/commit_session.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/path.h"
#include "launcher/standstill.h"
#include "launcher/verb.h"

enum {
	COMMIT_DRY_RUN,
	COMMIT_INTERACTIVE,
	COMMIT_EXCLUDE,
	COMMIT_RESUME,
	COMMIT_YES,
	COMMIT_YES_EXECUTABLE,
	COMMIT_KEEP_SETUID,
	COMMIT_JSON,
};
const struct option_spec commit_options[] = {
	[COMMIT_DRY_RUN] = { "dry-run", 'n', NULL,
			     "say what would be done, and what speaks against" },
	[COMMIT_INTERACTIVE] = { "interactive", 'i', NULL, "ask for each change" },
	[COMMIT_EXCLUDE] = { "exclude", 0, "PATTERN", "leave these in the session; repeatable" },
	[COMMIT_RESUME] = { "resume", 0, NULL, "go on with a commit that was interrupted" },
	[COMMIT_YES] = { "yes", 'y', NULL, "do not ask" },
	[COMMIT_YES_EXECUTABLE] = { "yes-executable", 0, NULL,
				    "yes as well to files that this host's programs run" },
	[COMMIT_KEEP_SETUID] = { "keep-setuid", 0, NULL, "keep setuid and setgid bits of files" },
	[COMMIT_JSON] = { "json", 0, NULL, "the outcome as JSON" },
	{ NULL },
};

static int commit(const struct options *o, const struct session *s, const char *const *paths)
{
	const char *excludes[OPTIONS_GIVEN_MAX + 1];
	unsigned n = 0;
	for (unsigned i = 0; i < o->count; i++)
		if (o->given[i].id == COMMIT_EXCLUDE)
			excludes[n++] = o->given[i].value;
	excludes[n] = NULL;
	struct err err;
	if (changes_are_real(s)) {
		log_info("session %s was attached to: its changes are in the real files already, "
			 "there is nothing to commit",
			 s->id);
		return 0;
	}
	const struct commit_wish wish = {
		.layers = s->state == SESSION_RUNNING ? COMMIT_KEEPS : COMMIT_DROPS,
		.paths = paths,
		.excludes = excludes,
		.dry_run = options_has(o, COMMIT_DRY_RUN),
		.interactive = options_has(o, COMMIT_INTERACTIVE),
		.yes = options_has(o, COMMIT_YES),
		.yes_executable = options_has(o, COMMIT_YES_EXECUTABLE),
		.keep_setuid = options_has(o, COMMIT_KEEP_SETUID),
		.json = options_has(o, COMMIT_JSON),
	};
	struct at_rest rest;
	if (at_rest_begin(s, &rest, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int code =
		options_has(o, COMMIT_RESUME) ? commit_session_resume(s) : commit_session(s, &wish);
	at_rest_end(&rest);
	return code;
}

int cmd_commit(const struct options *o)
{
	struct session s;
	struct err err;
	int first = path_first(o), code = EXIT_USAGE;
	char **paths = calloc((size_t)o->arg_count + 1, sizeof(*paths));
	int r = paths ? options_want_args(o, 0, o->arg_count, &err)
		      : err_set(&err, ENOMEM, "out of memory");
	for (int i = first; r == 0 && i < o->arg_count; i++) {
		char path[STATE_PATH_SIZE];
		r = path_absolute(o->args[i], path, &err);
		if (r == 0 && !(paths[i - first] = strdup(path[0] ? path : "/")))
			r = err_set(&err, ENOMEM, "out of memory");
	}
	if (r == 0)
		r = path_session(o, "commit", &s, &err);
	if (r == 0) {
		code = commit(o, &s, (const char *const *)paths);
		session_close(&s);
	} else {
		log_error("%s", err.text);
	}
	for (int i = 0; paths && paths[i]; i++)
		free(paths[i]);
	free(paths);
	return code;
}
