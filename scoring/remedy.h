/* The smallest changes of a policy after which an action is let through, each tried out. */
#pragma once

#include <stdbool.h>

#include "policies/policy_edit.h"
#include "scoring/history.h"

enum { REMEDY_EDITS_MAX = 12 };

struct remedy {
	struct policy_edit edit[REMEDY_EDITS_MAX];
	unsigned count;
	bool proved; /* with all of them the evaluator lets the action through */
};

/*
 * @p is changed: hand in a copy. Asks for less than a block, or, where the action only meets an
 * alert, for an allow. 0 edits and proved: it is allowed as it is. Not proved: no change of a
 * policy does it, or more than REMEDY_EDITS_MAX.
 */
void remedy_find(struct policy *p, const struct history *h, const struct action *a,
		 struct remedy *ret);
