/* pause and resume: by the session's control socket; the monitor stops everything inside. */
#include <errno.h>
#include <json-c/json.h>

#include "base/priority.h"
#include "launcher/control.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/verb.h"

enum { PATIENCE_MS = 5000 };
const struct option_spec pause_options[] = { { NULL } };
const struct option_spec resume_options[] = { { NULL } };

static int ask(const struct options *o, const char *request, struct json_object **ret_result,
	       struct session *ret)
{
	struct err err;
	priority_urgent();
	int r = verb_session(o, ret, &err);
	if (r == 0 && ret->state != SESSION_RUNNING)
		r = err_set(&err, ESRCH, "session %s is not running", ret->id);
	if (r == 0)
		r = control_call(ret, request, NULL, PATIENCE_MS, ret_result, &err);
	if (r < 0)
		log_error("%s", err.text);
	return r;
}

int cmd_pause(const struct options *o)
{
	struct session s = { .dirfd = -1 };
	struct json_object *result = NULL, *still;
	int r = ask(o, "pause", &result, &s);
	if (r == 0 && json_object_object_get_ex(result, "still", &still) &&
	    !json_object_get_boolean(still))
		log_warn("session %s is paused; a task in a long system call has yet to come out "
			 "of it, "
			 "and goes no further then",
			 s.id);
	else if (r == 0)
		log_info("session %s is paused: vsandbox resume %s lets it go on", s.id, s.id);
	json_object_put(result);
	session_close(&s);
	return r < 0 ? EXIT_USAGE : 0;
}

int cmd_resume(const struct options *o)
{
	struct session s = { .dirfd = -1 };
	int r = ask(o, "resume", NULL, &s);
	if (r == 0)
		log_info("session %s goes on", s.id);
	session_close(&s);
	return r < 0 ? EXIT_USAGE : 0;
}
