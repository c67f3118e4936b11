#include <errno.h>
#include <string.h>

#include "base/eventlog.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"

int cmd_audit(const struct options *o)
{
	struct session s;
	struct err err;
	uint64_t events = 0;
	if (o->arg_count < 1 || o->arg_count > 2 || strcmp(o->args[0], "verify")) {
		log_error("usage: vsandbox audit verify [SESSION]");
		return EXIT_USAGE;
	}
	int r = session_find(o->args[1], &s, &err);
	if (r == 0) {
		r = eventlog_verify(s.dirfd, &events, &err);
		if (r == 0)
			printf("session %s: %llu events, chain intact%s\n", s.id,
			       (unsigned long long)events,
			       s.state == SESSION_RUNNING ? " so far" : "");
		session_close(&s);
	}
	if (r < 0) {
		log_error("%s", err.text);
		return r == -EBADMSG ? 1 : EXIT_USAGE;
	}
	return out_finish();
}
