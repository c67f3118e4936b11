/* The last changes of a session undone, live or ended, and told: what rollback does, and undo where nothing was committed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "launcher/session.h"
#include "sandbox/rollback.h"

struct rollback_wish {
	uint64_t last; /* how many actions */
	bool dry_run;  /* show each step, undo nothing */
	bool json;
	bool yes;         /* do not ask */
	bool no_snapshot; /* keep no snapshot of what is left */
};

/* An exit code; messages are printed. */
int rollback_session(const struct session *s, const struct rollback_wish *wish);

/* The same of a running session, not told and without a question. 0, -errno. */
int rollback_running(const struct session *s, const struct rollback_request *request,
		     struct undo_result *ret, struct err *err);
/* How many of the actions were not undone. */
uint64_t rollback_left(const struct undo_result *r);
/* Those, with why, of the session's last rollback; on stderr. */
void rollback_print_left(const struct session *s);
