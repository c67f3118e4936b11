#include "launcher/on_exit.h"

#include <stdio.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/commit_session.h"
#include "launcher/digest.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "rootfs/overlay.h"

static bool has_changes(const struct session *s)
{
	struct digest d;
	if (digest_collect(s->dirfd, &d) < 0)
		return false;
	bool any = d.count[CHANGE_ADDED] || d.count[CHANGE_MODIFIED] || d.count[CHANGE_DELETED];
	digest_finish(&d);
	return any;
}

static void discard(const struct session *s)
{
	struct err err;
	if (overlay_discard(s->dirfd, &err) < 0)
		log_error("%s", err.text);
}

static void tell_kept(const struct session *s, const char *why)
{
	log_warn("%s: the changes are kept; vsandbox diff %s, then vsandbox commit %s or vsandbox "
		 "discard %s",
		 why, s->id, s->id, s->id);
}

static int commit(const struct session *s, const struct commit_wish *wish, int code)
{
	struct err err;
	/* one that began while it ran goes first, by whoever made it */
	cleanup_fd int work = session_work_lock(s, &err);
	if (work < 0)
		log_warn("%s", err.text);
	int r = work < 0 ? EXIT_USAGE : commit_session(s, wish);
	if (r == 0)
		return code;
	tell_kept(s, "the commit at the end was not made");
	return code ? code : EXIT_CONFLICT;
}

/* 'c', 'k' or 'd'; the end of input keeps. */
static char ask(void)
{
	char line[64];
	for (;;) {
		fputs("[c]ommit, [k]eep for later, or [d]iscard? ", stderr);
		if (!fgets(line, sizeof(line), stdin))
			return 'k';
		if (line[0] == 'c' || line[0] == 'k' || line[0] == 'd')
			return line[0];
	}
}

int on_exit_settle(const struct session *s, enum policy_on_exit on_exit, enum run_end end,
		   const char *workspace, int code)
{
	struct commit_wish wish = { .workspace = workspace };
	if (on_exit == ON_EXIT_KEEP || on_exit == ON_EXIT_DISCARD || !has_changes(s))
		return code;
	if (end == RUN_WAS_ENDED) {
		tell_kept(s, "the run did not end by itself");
		return code;
	}
	if (on_exit == ON_EXIT_COMMIT) {
		wish.yes = wish.unattended = true;
		return commit(s, &wish, code);
	}
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		tell_kept(s, "nobody is there to be asked");
		return code;
	}
	switch (ask()) {
	case 'c':
		wish.yes = true;
		return commit(s, &wish, code);
	case 'd':
		discard(s);
		log_info("discarded");
		return code;
	default:
		log_info("kept; vsandbox commit %s, or vsandbox discard %s", s->id, s->id);
		return code;
	}
}
