#include "base/scope.h"
#include "launcher/commit_session.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/verb.h"

enum { UNDO_DRY_RUN, UNDO_YES, UNDO_JSON };
const struct option_spec undo_options[] = {
	[UNDO_DRY_RUN] = { "dry-run", 'n', NULL, "list what the commit did, and change nothing" },
	[UNDO_YES] = { "yes", 'y', NULL, "do not ask" },
	[UNDO_JSON] = { "json", 0, NULL, "the outcome as JSON" },
	{ NULL },
};

int cmd_undo(const struct options *o)
{
	struct session s;
	struct err err;
	int r = options_want_args(o, 0, 1, &err);
	if (r == 0)
		r = session_find(o->args[0], &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int code = EXIT_USAGE;
	cleanup_fd int lock = session_lock(&s, &err);
	if (lock < 0)
		log_error("%s", err.text);
	else
		code = commit_session_undo(&s, options_has(o, UNDO_DRY_RUN),
					   options_has(o, UNDO_YES), options_has(o, UNDO_JSON));
	session_close(&s);
	return code;
}
