/*
 * A verdict that stands: when the statements that follow one that was allowed cannot be
 * answered otherwise, whoever holds them need not ask for each.
 */
#pragma once

#include "base/verdict.h"
#include "policies/policy.h"
#include "scoring/history.h"
#include "scoring/judge.h"

enum {
	STANDING_MOST = 4096, /* statements that pass unasked */
	STANDING_MS = 500,    /* and for so long at most */
};

/*
 * How many statements that read, of the same connection and no riskier by themselves than @a
 * (standing_covers), would surely be allowed as @a is, whatever else happens within STANDING_MS;
 * 0: each is to be asked about. @outstanding: how many others have been let through so and not
 * been counted yet. Pure.
 */
unsigned standing_count(const struct policy *p, enum agent_state state, const struct history *h,
			const struct action *a, unsigned outstanding);

/* What a statement is by itself, without any history: the dimensions that its text decides. */
struct standing_risk {
	float severity, sensitivity, payload;
};
/* @empty: a history of nothing, as history_new returns. Of @a only type, resource and statement count. */
struct standing_risk standing_risk_of(const struct action *a, const struct history *empty);
bool standing_covers(const struct standing_risk *first, const struct standing_risk *next);
