#include <errno.h>
#include <stdlib.h>

#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/rollback_session.h"
#include "launcher/verb.h"

enum { ROLLBACK_LAST, ROLLBACK_DRY_RUN, ROLLBACK_JSON, ROLLBACK_YES, ROLLBACK_NO_SNAPSHOT };
const struct option_spec rollback_options[] = {
	[ROLLBACK_LAST] = { "last", 0, "N", "how many changes (default 1)" },
	[ROLLBACK_DRY_RUN] = { "dry-run", 0, NULL, "show each step, undo nothing" },
	[ROLLBACK_JSON] = { "json", 0, NULL, "as JSON" },
	[ROLLBACK_YES] = { "yes", 'y', NULL, "do not ask" },
	[ROLLBACK_NO_SNAPSHOT] = { "no-snapshot", 0, NULL, "keep no snapshot of what is left" },
	{ NULL },
};

static int parse_last(const struct options *o, uint64_t *ret, struct err *err)
{
	const char *text = options_value(o, ROLLBACK_LAST);
	char *end;
	*ret = 1;
	if (!text)
		return 0;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n == 0 || n > 1000000000)
		return err_set(err, EINVAL, "--last '%.40s' is no number of changes", text);
	*ret = n;
	return 0;
}

int cmd_rollback(const struct options *o)
{
	struct session s = { .dirfd = -1 };
	struct rollback_wish wish = { .dry_run = options_has(o, ROLLBACK_DRY_RUN),
				      .json = options_has(o, ROLLBACK_JSON),
				      .yes = options_has(o, ROLLBACK_YES),
				      .no_snapshot = options_has(o, ROLLBACK_NO_SNAPSHOT) };
	struct err err;
	int r = options_want_args(o, 0, 1, &err);
	if (r == 0)
		r = parse_last(o, &wish.last, &err);
	if (r == 0)
		r = session_find(o->args[0], &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int code = rollback_session(&s, &wish);
	session_close(&s);
	return code;
}
