/* --no-read-events: may plain read opens leave the filter unseen? */
#pragma once

#include "base/err.h"
#include "policies/policy.h"

/*
 * 0 when mounts alone can enforce every rule of @p that could deny a read (box_mounts.c then covers
 * each blocked path); -EINVAL with the rule that they cannot in @err.
 */
int reads_check(const struct policy *p, struct err *err);
