/* What becomes of a run's changes at its end: policy on_exit. */
#pragma once

#include "launcher/session.h"
#include "policies/policy.h"

enum run_end {
	RUN_ENDED_ITSELF,
	RUN_WAS_ENDED, /* by a time limit, by kill, by the policy, or it never began */
};

/*
 * Commits, asks or drops, as the policy says; the caller holds the session's lock, and the tree is gone. @code is
 * what the run ended with; it is returned, unless it is 0 and a commit that was asked for was not made
 * (EXIT_CONFLICT). The changes of a run that was ended are kept, whatever was to become of them, unless dropped.
 */
int on_exit_settle(const struct session *s, enum policy_on_exit on_exit, enum run_end end,
		   const char *workspace, int code);
