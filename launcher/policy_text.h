/* A loaded policy written out as one policy file, each value with where it came from. */
#pragma once

#include <stdio.h>

#include "policies/policy.h"

/*
 * The result loads to the same decisions as @p, extends nothing and expands nothing: names such
 * as ~ and ${WORKSPACE} are already the paths they stood for. -EINVAL when a pattern cannot be
 * written so (a path that holds "${").
 */
int policy_text_write(FILE *f, const struct policy *p, struct err *err);
