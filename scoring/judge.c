#include "scoring/judge.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>

#include "scoring/score.h"

/* What step 4 answers in each mode. */
static const enum verdict by_mode[] = {
	[MODE_ALERT] = VERDICT_ALERT,
	[MODE_PAUSE] = VERDICT_PAUSE,
	[MODE_ROLLBACK] = VERDICT_ROLLBACK,
	[MODE_OBSERVE] = VERDICT_ALERT,
};
static_assert(sizeof(by_mode) / sizeof(by_mode[0]) == MODE_COUNT, "every mode answers");

static const enum verdict by_effect[] = {
	[EFFECT_BLOCK] = VERDICT_BLOCK,
	[EFFECT_PAUSE] = VERDICT_PAUSE,
	[EFFECT_ALLOW] = VERDICT_ALLOW,
};
static_assert(sizeof(by_effect) / sizeof(by_effect[0]) == EFFECT_COUNT, "every effect answers");

/* Never EAGAIN or EINTR: tools retry those. */
static const int errno_of_type[] = {
	[ACTION_NONE] = EACCES,           [ACTION_FILE_READ] = EACCES,
	[ACTION_FILE_WRITE] = EACCES,     [ACTION_FILE_DELETE] = EACCES,
	[ACTION_API_CALL] = EPERM,        [ACTION_DATABASE_QUERY] = EPERM,
	[ACTION_DATABASE_WRITE] = EPERM,  [ACTION_CODE_EXECUTION] = EACCES,
	[ACTION_NETWORK_REQUEST] = EPERM,
};
static_assert(sizeof(errno_of_type) / sizeof(errno_of_type[0]) == ACTION_TYPE_COUNT,
	      "every type is refused with its errno");

enum verdict judge_threshold(const struct policy *p)
{
	enum verdict also = p->also ? judge_threshold(p->also) : VERDICT_ALLOW;
	return also > by_mode[p->mode] ? also : by_mode[p->mode];
}

static void decide(struct decision *d, enum verdict verdict, enum reason reason, const char *rule,
		   const struct policy_origin *origin)
{
	d->verdict = verdict;
	d->reason = reason;
	d->rule = rule;
	d->file = origin ? origin->file : NULL;
	d->line = origin ? origin->line : 0;
}

/* Step 1. */
static bool state_bites(enum agent_state state, struct decision *d)
{
	switch (state) {
	case AGENT_RUNNING:
		return false;
	case AGENT_PAUSED: /* held like everything else of it, until a person lets it go on */
		decide(d, VERDICT_PAUSE, REASON_AGENT_STATE, NULL, NULL);
		return true;
	case AGENT_TERMINATED:
		break;
	}
	decide(d, VERDICT_BLOCK, REASON_AGENT_STATE, NULL, NULL);
	return true;
}

/* Step 2, the part that needs no score. */
static bool profile_bites(const struct policy *p, const struct policy_match *m, struct decision *d)
{
	if (!m->type_allowed)
		decide(d, VERDICT_BLOCK, REASON_TYPE, NULL, &p->origin);
	else if (m->blocked)
		decide(d, VERDICT_BLOCK, REASON_BLOCKED,
		       m->blocked->name ? m->blocked->name : m->blocked->pattern.text,
		       &m->blocked->origin);
	else if (!m->resource_allowed)
		decide(d, VERDICT_BLOCK, REASON_NOT_ALLOWED, NULL, &p->origin);
	else if (m->spawn_denied)
		decide(d, VERDICT_BLOCK, REASON_SPAWN, NULL, &p->origin);
	else
		return false;
	return true;
}

/* Step 3. */
static bool rule_bites(const struct policy_match *m, struct decision *d)
{
	for (unsigned i = 0; i < m->rule_count; i++) {
		const struct policy_rule *rule = m->rules[i];

		if (rule->has_max_risk && !(d->score.total > rule->max_risk))
			continue;
		decide(d, by_effect[rule->effect], REASON_RULE, rule->name, &rule->origin);
		return true;
	}
	return false;
}

/* Actions of the last minute that count against the same figure as @type's. */
static unsigned minute_of(const struct policy *p, const struct history *h, enum action_type type,
			  uint64_t mono_ns)
{
	unsigned count;

	if (p->rate_per_minute[type])
		return history_minute(h, type, mono_ns);
	/* Types with a figure of their own do not use up the general one. */
	count = history_minute(h, ACTION_NONE, mono_ns);
	for (unsigned t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		if (p->rate_per_minute[t])
			count -= history_minute(h, (enum action_type)t, mono_ns);
	}
	return count;
}

unsigned judge_headroom(const struct policy *p, const struct history *h, const struct action *a)
{
	unsigned limit =
		p->rate_per_minute[a->type] ? p->rate_per_minute[a->type] : p->rate_general;

	if (!limit)
		return UINT_MAX;
	unsigned count = minute_of(p, h, a->type, a->mono_ns);
	return limit > count ? limit - count : 0;
}

/* Step 4. */
static bool risk_bites(const struct policy *p, const struct history *h, const struct action *a,
		       struct decision *d)
{
	if (d->score.total >= p->risk_threshold)
		decide(d, by_mode[p->mode], REASON_THRESHOLD, NULL, &p->origin);
	else if (judge_headroom(p, h, a) == 0)
		decide(d, by_mode[p->mode], REASON_RATE, NULL, &p->origin);
	else
		return false;
	return true;
}

static void walk(const struct policy *p, enum agent_state state, const struct history *h,
		 const struct action *a, const struct policy_match *m, struct decision *d)
{
	if (state_bites(state, d) || profile_bites(p, m, d))
		return;
	if (!d->ambient && d->score.total > p->max_risk) {
		decide(d, VERDICT_BLOCK, REASON_MAX_RISK, NULL, &p->origin);
		return;
	}
	if (rule_bites(m, d) || d->ambient)
		return;
	risk_bites(p, h, a, d);
}

static bool denies(enum verdict verdict)
{
	return verdict != VERDICT_ALLOW && verdict != VERDICT_ALERT;
}

static void judge_one(const struct policy *p, enum agent_state state, const struct history *h,
		      const struct action *a, struct decision *ret)
{
	struct policy_match match;

	*ret = (struct decision){ 0 };
	policy_match(p, a, &match);
	ret->ambient = match.ambient;
	if (!ret->ambient)
		score_action(a, h, &ret->score);
	walk(p, state, h, a, &match, ret);

	/* What a person allowed for good answers the question what it is; it takes back no block, no rate. */
	bool asked = ret->verdict == VERDICT_PAUSE &&
		     (ret->reason == REASON_RULE || ret->reason == REASON_THRESHOLD);
	const struct policy_approved *approved = asked ? policy_approved(p, a) : NULL;
	if (approved)
		decide(ret, VERDICT_ALLOW, REASON_RULE, "always", &approved->origin);

	if (ret->ambient && ret->verdict != VERDICT_ALLOW) {
		/* What is refused is news, whatever its name: scored for the record, logged one by one. */
		ret->ambient = false;
		score_action(a, h, &ret->score);
	}
	if (!denies(ret->verdict))
		return;
	if (p->mode == MODE_OBSERVE) {
		ret->verdict = VERDICT_ALERT;
		ret->observed = true;
		return;
	}
	ret->deny_errno = errno_of_type[a->type];
}

void judge(const struct policy *p, enum agent_state state, const struct history *h,
	   const struct action *a, struct decision *ret)
{
	judge_one(p, state, h, a, ret);
	if (!p->also)
		return;
	/* A project's policy may make it stricter, never more lenient. */
	struct decision other;
	judge(p->also, state, h, a, &other);
	if (other.verdict > ret->verdict)
		*ret = other;
}
