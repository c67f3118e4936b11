/* The one evaluator (law 5): monitor, why, policy test and the REST check call this. */
#pragma once

#include "base/verdict.h"
#include "policies/policy.h"
#include "scoring/history.h"

enum agent_state { AGENT_RUNNING, AGENT_PAUSED, AGENT_TERMINATED };

/* What step 4 answers under @p: to a score at its threshold, to a monitor's threshold passed. */
enum verdict judge_threshold(const struct policy *p);

/*
 * Decides in the order of policy-and-scoring. Pure: (policy, agent state,
 * history, action) -> decision. Ambient actions are decided by steps 1-3 but
 * not scored. Of a policy and the project's policy that narrows it the stricter answers.
 */
void judge(const struct policy *p, enum agent_state state, const struct history *h,
	   const struct action *a, struct decision *ret);

/* How many actions like @a its rate under @p still allows within this minute, @a included; UINT_MAX: no limit. */
unsigned judge_headroom(const struct policy *p, const struct history *h, const struct action *a);
