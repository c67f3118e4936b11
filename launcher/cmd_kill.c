/* kill: ends a running session now. */
#include "base/priority.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/session_end.h"
#include "launcher/verb.h"

const struct option_spec kill_options[] = { { NULL } };

int cmd_kill(const struct options *o)
{
	struct session s;
	struct err err;
	priority_urgent();
	int r = options_want_args(o, 1, 1, &err); /* never "the latest": name what is to die */
	if (r == 0)
		r = session_find(o->args[0], &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int code = session_end(&s);
	session_close(&s);
	return code;
}
