#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/digest.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/session.h"
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
	char answer[16] = "";
	if (options_has(o, DISCARD_YES))
		return true;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		log_error("discard wants a yes: vsandbox discard --yes %s", s->id);
		return false;
	}
	digest_print(d, STDERR_FILENO);
	fprintf(stderr, "Drop these changes of session %s? [y/N] ", s->id);
	if (!fgets(answer, sizeof(answer), stdin))
		return false;
	return answer[0] == 'y' || answer[0] == 'Y';
}

static int discard(const struct options *o, const struct session *s)
{
	struct digest d = { 0 };
	struct err err;
	int code = EXIT_USAGE;
	if (s->state == SESSION_RUNNING) {
		log_error("session %s is running; end it first: vsandbox kill %s", s->id, s->id);
		return code;
	}
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
	digest_collect(s->dirfd, &d);
	if (!confirmed(o, s, &d)) {
		log_info("nothing was discarded");
	} else if (overlay_discard(s->dirfd, &err) < 0 || journal_discard(s->dirfd, &err) < 0) {
		log_error("%s", err.text);
	} else {
		unsigned long long n =
			d.count[CHANGE_ADDED] + d.count[CHANGE_MODIFIED] + d.count[CHANGE_DELETED];
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
	int r = options_want_args(o, 0, 1, &err);
	if (r == 0)
		r = session_find(o->args[0], &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int code = discard(o, &s);
	session_close(&s);
	return code;
}
