/* kill: ends a running session now. */
#include <errno.h>

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
	/* never "the latest": name what is to die */
	int r = o->arg_count
			? options_want_args(o, 1, 1, &err)
			: err_set(&err, EINVAL,
				  "which session? vsandbox kill SESSION; vsandbox ps lists them");
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
