#include "scoring/standing.h"

#include "scoring/dimensions.h"
#include "scoring/score.h"
#include "scoring/statement.h"

struct standing_risk standing_risk_of(const struct action *a, const struct history *empty)
{
	return (struct standing_risk){ .severity = severity_of(a).x,
				       .sensitivity = sensitivity_of(a).x,
				       .payload = payload_of(a, empty).x };
}

bool standing_covers(const struct standing_risk *first, const struct standing_risk *next)
{
	return next->severity <= first->severity && next->sensitivity <= first->sensitivity &&
	       next->payload <= first->payload;
}

/* Whether a rule could answer the next one otherwise: by the clock, or by its score. */
static bool rules_waver(const struct policy *p, enum action_type type)
{
	for (unsigned i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = &p->rules[i];
		bool timed = r->days != 0x7f || r->start_min >= 0;

		if ((r->type == ACTION_NONE || r->type == type) && (timed || r->has_max_risk))
			return true;
	}
	return false;
}

/* The score of the statement when everything goes as fast as it can and the hour is over. */
static float ceiling_of(const struct score *s, enum action_type type)
{
	float x[DIMENSION_COUNT];

	for (unsigned d = 0; d < DIMENSION_COUNT; d++)
		x[d] = s->x[d];
	if (x[DIMENSION_FREQUENCY] < frequency_most(type))
		x[DIMENSION_FREQUENCY] = frequency_most(type);
	x[DIMENSION_CONTEXT] = 1 - (1 - x[DIMENSION_CONTEXT]) * (1 - context_hour_most);
	return score_total(x);
}

static unsigned count_under(const struct policy *p, const struct history *h, const struct action *a,
			    const struct score *s, unsigned outstanding)
{
	float ceiling = ceiling_of(s, a->type);
	unsigned room = judge_headroom(p, h, a);

	if (ceiling >= p->risk_threshold || ceiling > p->max_risk || rules_waver(p, a->type))
		return 0;
	/* Half of it: others act as well while this one stands. */
	room = room > outstanding ? (room - outstanding) / 2 : 0;
	return room < STANDING_MOST ? 0 : STANDING_MOST;
}

unsigned standing_count(const struct policy *p, enum agent_state state, const struct history *h,
			const struct action *a, unsigned outstanding)
{
	unsigned count = STANDING_MOST;
	struct sql_shape shape;
	struct decision d;

	if (a->type != ACTION_DATABASE_QUERY || !a->statement || a->statement_flags & STATEMENT_CUT)
		return 0;
	/* What is graver than reading is also compared with the shapes this agent is known for. */
	statement_shape(a, &shape);
	judge(p, state, h, a, &d);
	if (shape.kind > SQL_READ || d.verdict != VERDICT_ALLOW || d.observed)
		return 0;
	for (; p && count; p = p->also)
		count = count_under(p, h, a, &d.score, outstanding);
	return count;
}
