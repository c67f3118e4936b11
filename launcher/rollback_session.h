/* The last changes of a session undone, live or ended, and told: what rollback does, and undo where nothing was committed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "launcher/session.h"

struct rollback_wish {
	uint64_t last; /* how many actions */
	bool dry_run;  /* show each step, undo nothing */
	bool json;
	bool yes;         /* do not ask */
	bool no_snapshot; /* keep no snapshot of what is left */
};

/* An exit code; messages are printed. */
int rollback_session(const struct session *s, const struct rollback_wish *wish);
