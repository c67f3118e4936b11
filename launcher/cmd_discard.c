#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/digest.h"
#include "launcher/exit.h"
#include "launcher/external.h"
#include "launcher/log.h"
#include "launcher/rollback_session.h"
#include "launcher/standstill.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "rootfs/commit.h"
#include "rootfs/journal.h"

enum { DISCARD_YES };
const struct option_spec discard_options[] = {
	[DISCARD_YES] = { "yes", 'y', NULL, "do not ask" },
	{ NULL },
};

static bool confirmed(const struct options *o, const struct session *s, const struct digest *d)
{
	if (options_has(o, DISCARD_YES))
		return true;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		log_error("discard wants a yes: vsandbox discard --yes %s", s->id);
		return false;
	}
	digest_print(d, STDERR_FILENO);
	fprintf(stderr, "Drop these changes of session %s? [y/N] ", s->id);
	return term_answer() == 'y';
}

/* What a running session did since its last commit, all of it. 0 with the number of actions, -errno. */
static int count_back(const struct session *s, uint64_t *ret, struct err *err)
{
	struct commit_plan last = { 0 };
	uint64_t oldest = 1, newest;
	int r = commit_load(s->dirfd, &last, err);
	bool in_part = r == 0 && !last.whole;
	uint64_t from = r == 0 ? last.journal : 0;
	commit_plan_finish(&last);
	if (r < 0 && r != -ENOENT)
		return r;
	r = undo_range(s->dirfd, &oldest, &newest);
	if (r < 0 && r != -ENOENT)
		return err_sys(err, -r, "the journal of session %s cannot be read", s->id);
	if (in_part)
		return err_set(err, ENOTSUP,
			       "session %s was committed in part: what is left of it cannot be "
			       "taken back while it runs; end it first: vsandbox kill %s",
			       s->id, s->id);
	if (oldest > from + 1)
		return err_set(err, ENOTSUP,
			       "the journal of session %s has dropped its first %llu actions, "
			       "which are past undoing; end it first: vsandbox kill %s",
			       s->id, (unsigned long long)(oldest - 1), s->id);
	*ret = undo_count(s->dirfd, from);
	return 0;
}

/* An interrupted rollback is finished first, and is all that one request does. */
static int roll_back(const struct session *s, uint64_t from_count, bool dry_run,
		     struct undo_result *ret, struct err *err)
{
	const struct rollback_request request = { .last = from_count, .dry_run = dry_run };
	int r = rollback_running(s, &request, ret, err);
	return r == 0 && ret->continued && !dry_run ? rollback_running(s, &request, ret, err) : r;
}

/*
 * The layers are mounted, and what lies in them is in use: so each action is undone through the merged view,
 * back to the last commit. What is past undoing is found out before anything is done.
 */
static int discard_at_rest(const struct options *o, const struct session *s, const struct digest *d)
{
	struct undo_result result = { 0 };
	struct digest left = { 0 };
	uint64_t count = 0;
	struct err err;
	int r = count_back(s, &count, &err);
	if (r == 0)
		r = roll_back(s, count, true, &result, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (rollback_left(&result)) {
		log_error("nothing was discarded: %llu actions of session %s are past undoing; end "
			  "it first: vsandbox kill %s",
			  (unsigned long long)rollback_left(&result), s->id, s->id);
		rollback_print_left(s);
		return EXIT_CONFLICT;
	}
	if (!confirmed(o, s, d)) {
		log_info("nothing was discarded");
		return EXIT_USAGE;
	}
	r = roll_back(s, count, false, &result, &err);
	if (r == 0 && digest_collect(s->dirfd, &left) < 0)
		r = err_set(&err, EIO, "what is left of session %s cannot be read", s->id);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	external_print(s->dirfd, result.oldest_seq, stdout, EXTERNAL_TEXT);
	uint64_t differ = digest_count(&left);
	if (differ) {
		log_error("of the changes of session %s %llu could not be taken back:", s->id,
			  (unsigned long long)differ);
		digest_print(&left, STDERR_FILENO);
		rollback_print_left(s);
	} else {
		log_info("discarded %llu changes of session %s, which goes on",
			 (unsigned long long)digest_count(d), s->id);
	}
	digest_finish(&left);
	return differ ? EXIT_CONFLICT : 0;
}

static int discard_running(const struct options *o, const struct session *s)
{
	struct digest d = { 0 };
	struct standstill still;
	struct err err;
	int code = 0;
	if (standstill_begin(s, &still, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (digest_collect(s->dirfd, &d) < 0) {
		log_error("the changes of session %s cannot be read", s->id);
		code = EXIT_USAGE;
	} else if (digest_count(&d)) {
		code = discard_at_rest(o, s, &d);
	} else {
		log_info("session %s holds no changes", s->id);
	}
	standstill_end(&still);
	digest_finish(&d);
	return code;
}

static int discard(const struct options *o, const struct session *s)
{
	struct digest d = { 0 };
	struct err err;
	int code = EXIT_USAGE;
	if (faccessat(s->dirfd, "layers", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		if (session_number(s, "attached_pid"))
			log_info("session %s was attached to: its changes are in the real files, "
				 "and "
				 "nothing is held back that could be dropped",
				 s->id);
		else
			log_info("session %s holds no changes", s->id);
		return 0;
	}
	enum commit_status status;
	if (commit_status(s->dirfd, &status, &err) < 0) {
		log_error("%s", err.text);
		return code;
	}
	if (status == COMMIT_UNFINISHED || status == COMMIT_UNDOING) {
		log_error("a commit of session %s was interrupted and may need them; first: "
			  "vsandbox undo "
			  "%s",
			  s->id, s->id);
		return code;
	}
	if (s->state == SESSION_RUNNING)
		return discard_running(o, s);
	digest_collect(s->dirfd, &d);
	if (!confirmed(o, s, &d)) {
		log_info("nothing was discarded");
	} else if (overlay_discard(s->dirfd, &err) < 0 || journal_discard(s->dirfd, &err) < 0) {
		log_error("%s", err.text);
	} else {
		unsigned long long n = digest_count(&d);
		log_info("discarded %llu change%s of session %s; its log is kept", n,
			 n == 1 ? "" : "s", s->id);
		code = 0;
	}
	digest_finish(&d);
	return code;
}

int cmd_discard(const struct options *o)
{
	struct session s;
	struct err err;
	int r = verb_session(o, &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int code = discard(o, &s);
	session_close(&s);
	return code;
}
