/*
 * A policy for processes that are not in a box of ours: attached to, or in a container of somebody else's. What
 * a box enforces by mounts is made a verdict of, or refused.
 */
#pragma once

#include "base/err.h"
#include "policies/policy.h"

/*
 * What is hidden is blocked, our own files and control sockets are, nothing is discarded at the end. -ENOSYS with
 * the reason: the policy asks for what only a box can give.
 */
int unboxed_policy(struct policy *p, struct err *err);
