/* A loaded policy as JSON: what `policy show --resolved` and `run --dry-run` print. */
#pragma once

#include <stdio.h>

#include "policies/policy.h"

/* Every list entry with where it was written. */
void dump_policy(FILE *f, const struct policy *p);
