#include "scoring/remedy.h"

#include "scoring/judge.h"

/* Each policy of the chain is cured alone; @goal is what it may answer at most. */
static bool cure(struct policy *p, enum verdict goal, const struct history *h,
		 const struct action *a, struct remedy *r)
{
	struct policy *also = p->also;
	struct decision d;
	bool done = false;
	p->also = NULL;
	for (;;) {
		judge(p, AGENT_RUNNING, h, a, &d);
		/* An observed block counts as the block it is. */
		done = d.verdict <= goal && !d.observed;
		if (done || r->count == REMEDY_EDITS_MAX ||
		    policy_edit_against(p, a, &d, &r->edit[r->count]) < 0 ||
		    policy_edit_apply(p, &r->edit[r->count], NULL) < 0)
			break;
		r->count++;
	}
	p->also = also;
	return done && (!also || cure(also, goal, h, a, r));
}

void remedy_find(struct policy *p, const struct history *h, const struct action *a,
		 struct remedy *ret)
{
	struct decision d;
	ret->count = 0;
	judge(p, AGENT_RUNNING, h, a, &d);
	enum verdict goal = d.verdict > VERDICT_ALERT || d.observed ? VERDICT_ALERT : VERDICT_ALLOW;
	bool cured = cure(p, goal, h, a, ret);
	judge(p, AGENT_RUNNING, h, a, &d); /* the whole of it, once more */
	ret->proved = cured && d.verdict <= goal && !d.observed;
}
