/* The processes of a running session, reached without its gateway. */
#pragma once

#include "launcher/session.h"
#include "sandbox/nudge.h"

/*
 * A pidfd of a process that session.json names ("gateway", "monitor"), the caller's, or -ESRCH. The start time
 * is compared after the pidfd is held: a number that was given to somebody else since does not pass.
 */
int session_pidfd(const struct session *s, const char *name);

/* Tells the monitor. 0, -errno. */
int session_nudge(const struct session *s, enum nudge what);
