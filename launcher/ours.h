/* Which directories are the program's own. */
#pragma once

#include "base/err.h"
#include "policies/policy.h"
#include "sandbox/fence.h"

/*
 * State, configuration (made when missing, so that nobody else can make it), cache of images and control
 * sockets, as this process finds them by its environment. 0 with @ret to be finished by the caller; -errno.
 */
int ours_fence(struct fence *ret, struct err *err);

/*
 * Adds the directories of our programs and of the policies that come with them, as far as a run under @policy from
 * @workspace (absolute) writes to them for real: an agent could put its own there, and the next thing we start,
 * outside of the sandbox, would be that. 0, -errno.
 */
int ours_keep_programs(struct fence *f, const struct policy *policy, const char *workspace,
		       struct err *err);
