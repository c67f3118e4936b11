#include "launcher/changes.h"
#include "launcher/commit_session.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/rollback_session.h"
#include "launcher/standstill.h"
#include "launcher/verb.h"
#include "rootfs/undo.h"

enum { UNDO_DRY_RUN, UNDO_YES, UNDO_JSON };
const struct option_spec undo_options[] = {
	[UNDO_DRY_RUN] = { "dry-run", 'n', NULL, "list what the commit did, and change nothing" },
	[UNDO_YES] = { "yes", 'y', NULL, "do not ask" },
	[UNDO_JSON] = { "json", 0, NULL, "the outcome as JSON" },
	{ NULL },
};

/* Nothing was committed: everything went to the real files, and all that the journal holds comes back. */
static int undo_attached(const struct session *s, const struct options *o)
{
	const struct rollback_wish wish = { .last = undo_count(s->dirfd, 0),
					    .dry_run = options_has(o, UNDO_DRY_RUN),
					    .json = options_has(o, UNDO_JSON),
					    .yes = options_has(o, UNDO_YES) };
	if (wish.last)
		return rollback_session(s, &wish);
	log_info("session %s changed nothing that could be undone", s->id);
	return 0;
}

int cmd_undo(const struct options *o)
{
	struct session s;
	struct err err;
	int r = verb_session(o, &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (changes_are_real(&s)) {
		int undone = undo_attached(&s, o);
		session_close(&s);
		return undone;
	}
	int code = EXIT_USAGE;
	struct at_rest rest;
	if (at_rest_begin(&s, &rest, &err) < 0) {
		log_error("%s", err.text);
	} else {
		code = commit_session_undo(&s, options_has(o, UNDO_DRY_RUN),
					   options_has(o, UNDO_YES), options_has(o, UNDO_JSON));
		at_rest_end(&rest);
	}
	session_close(&s);
	return code;
}
