/*
 * A line of the log made an action again, so that the evaluator can be asked anew: what
 * `policy test` and `learn` do with a whole log.
 */
#pragma once

#include <stdbool.h>

#include "base/action.h"
#include "base/verdict.h"
#include "policies/policy.h"
#include "scoring/history.h"

struct json_object;

/* What an action of the log points to beside the line itself. */
struct replay_room {
	char argv[ACTION_ARGV_SIZE];
};

/*
 * True when @event is an action; @ret then borrows from @event and @room. A member that is
 * missing or of another type counts as not known, as in the log itself.
 */
bool replay_action(const struct json_object *event, struct replay_room *room, struct action *ret);

/* The verdict the log holds; false when it is none we know. */
bool replay_verdict(const struct json_object *event, enum verdict *ret);

/* Decides as the monitor would have, and counts the action in @h as it does. */
void replay_judge(const struct policy *p, struct history *h, const struct action *a,
		  struct decision *ret);
