#include "launcher/verb.h"

int verb_session(const struct options *o, struct session *ret, struct err *err)
{
	int r = options_want_args(o, 0, 1, err);
	return r < 0 ? r : session_find(o->args[0], ret, err);
}
