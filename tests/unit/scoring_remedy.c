/* What "why" proposes: made on another copy it lets the action through, and each change is needed. */
#include "tests/unit/scoring_policies.h"

#include "scoring/remedy.h"

static bool passes(const char *text, const struct history *h, const struct action *a,
		   const struct remedy *r, unsigned left_out, enum verdict goal)
{
	struct policy *p = parse(text, false);
	struct decision d;
	for (unsigned i = 0; i < r->count; i++)
		if (i != left_out)
			assert_int_equal(policy_edit_apply(p, &r->edit[i], NULL), 0);
	judge(p, AGENT_RUNNING, h, a, &d);
	policy_free(p);
	return d.verdict <= goal && !d.observed;
}

static void test_proved_and_needed(void **state)
{
	(void)state;
	static struct remedy r;
	unsigned proved = 0, several = 0, unneeded = 0, edits = 0;
	struct history *h = history_new();
	for (unsigned round = 0; round < 3000; round++) {
		char text[2048];
		random_policy(text, sizeof(text));
		struct policy *p = parse(text, false), *copy = parse(text, false);
		struct action a = random_action();
		struct decision d;
		judge(p, AGENT_RUNNING, h, &a, &d);
		enum verdict goal =
			d.verdict > VERDICT_ALERT || d.observed ? VERDICT_ALERT : VERDICT_ALLOW;
		remedy_find(copy, h, &a, &r);
		if (d.verdict == VERDICT_ALLOW) {
			assert_true(r.proved);
			assert_int_equal(r.count, 0);
		}
		if (r.proved && !passes(text, h, &a, &r, REMEDY_EDITS_MAX, goal))
			fail_msg("%s %s still meets it under %s", action_type_name(a.type),
				 a.resource, text);
		proved += r.proved && r.count > 0;
		several += r.proved && r.count > 1;
		for (unsigned i = 0; r.proved && i < r.count; i++) {
			edits++;
			unneeded += passes(text, h, &a, &r, i, goal);
		}
		policy_free(p);
		policy_free(copy);
	}
	assert_true(proved > 500 && several > 100);
	/* A change that a later one makes superfluous is allowed for, not many of them. */
	if (unneeded * 50 > edits)
		fail_msg("%u of %u changes were not needed", unneeded, edits);
	history_free(h);
}

static void test_every_pattern_that_hits_is_taken_out(void **state)
{
	(void)state;
	static struct remedy r;
	struct history *h = history_new();
	struct policy *p = parse("{\"blocked_resources\":[\"*.x\",\"/a/**\",\"b.x\"]}", false);
	struct action a = action_file(OP_READ, "/a/b.x", PROVENANCE_EXISTING);
	remedy_find(p, h, &a, &r);
	assert_true(r.proved);
	assert_int_equal(r.count, 3);
	assert_int_equal(r.edit[0].kind, EDIT_DROP_PATTERN);
	policy_free(p);
	history_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proved_and_needed),
		cmocka_unit_test(test_every_pattern_that_hits_is_taken_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
