/*
 * The order of decisions. policy_match is replaced here, so that a test says
 * exactly what the patterns say and only the judge's own steps are tested.
 */
#include "tests/unit/scoring_actions.h"

#include <errno.h>
#include <stdio.h>

#include "scoring/judge.h"

static struct policy_match match;

void policy_match(const struct policy *p, const struct action *a, struct policy_match *ret)
{
	(void)p;
	(void)a;
	*ret = match;
}

static struct policy policy;
static struct history *history;
static struct policy_pattern blocked = { .pattern = { .text = "*.env" },
					 .origin = { "p.json", 12 } };
static struct policy_rule rule = { .name = "r",
				   .effect = EFFECT_BLOCK,
				   .origin = { "p.json", 30 } };

static int fresh(void **state)
{
	(void)state;
	history_free(history);
	history = history_new();
	match = (struct policy_match){ .type_allowed = true, .resource_allowed = true };
	policy = (struct policy){ .name = "p",
				  .origin = { "p.json", 1 },
				  .mode = MODE_ALERT,
				  .max_risk = 1,
				  .risk_threshold = .7f,
				  .rate_general = 60 };
	rule = (struct policy_rule){ .name = "r",
				     .effect = EFFECT_BLOCK,
				     .origin = { "p.json", 30 } };
	return 0;
}

static struct decision decide(enum agent_state state, const struct action *a)
{
	struct decision d;

	judge(&policy, state, history, a, &d);
	return d;
}

static struct action calm(void)
{
	return action_file(OP_READ, "/w/a.txt", PROVENANCE_EXISTING);
}

static struct action risky(void)
{
	return action_file(OP_READ, "/home/u/.ssh/id_rsa", PROVENANCE_EXISTING);
}

static void add_rule(enum policy_effect effect)
{
	rule.effect = effect;
	match.rules[0] = &rule;
	match.rule_count = 1;
}

static void is(struct decision d, enum verdict verdict, enum reason reason)
{
	assert_string_equal(verdict_name(d.verdict), verdict_name(verdict));
	assert_string_equal(reason_name(d.reason), reason_name(reason));
}

static void test_step_5_allows(void **state)
{
	struct action a = calm();
	struct decision d = decide(AGENT_RUNNING, &a);

	(void)state;
	is(d, VERDICT_ALLOW, REASON_NONE);
	assert_int_equal(d.deny_errno, 0);
	assert_true(d.score.total > 0);
	assert_null(d.rule);
}

/* All of step 2 and 3 would bite too: each step is tried with everything after it in place. */
static void test_each_step_comes_before_the_next(void **state)
{
	struct action a = risky();

	(void)state;
	add_rule(EFFECT_BLOCK);
	match.type_allowed = match.resource_allowed = false;
	match.blocked = &blocked;
	match.spawn_denied = true;
	policy.max_risk = .1f;
	policy.rate_general = 1;
	history_note(history, &a, true);

	is(decide(AGENT_TERMINATED, &a), VERDICT_BLOCK, REASON_AGENT_STATE);
	is(decide(AGENT_PAUSED, &a), VERDICT_PAUSE, REASON_AGENT_STATE);
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_TYPE);
	match.type_allowed = true;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_BLOCKED);
	assert_string_equal(decide(AGENT_RUNNING, &a).rule, "*.env");
	assert_int_equal(decide(AGENT_RUNNING, &a).line, 12);
	match.blocked = NULL;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_NOT_ALLOWED);
	match.resource_allowed = true;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_SPAWN);
	match.spawn_denied = false;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_MAX_RISK);
	policy.max_risk = 1;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_RULE);
	assert_string_equal(decide(AGENT_RUNNING, &a).rule, "r");
	assert_string_equal(decide(AGENT_RUNNING, &a).file, "p.json");
	assert_int_equal(decide(AGENT_RUNNING, &a).line, 30);
	match.rule_count = 0;
	is(decide(AGENT_RUNNING, &a), VERDICT_ALERT, REASON_THRESHOLD);
	policy.risk_threshold = 1;
	is(decide(AGENT_RUNNING, &a), VERDICT_ALERT, REASON_RATE);
	policy.rate_general = 60;
	is(decide(AGENT_RUNNING, &a), VERDICT_ALLOW, REASON_NONE);
}

static void test_blocked_action_still_shows_its_score(void **state)
{
	struct action a = action_file(OP_NONE, "/data/sensitive.csv", PROVENANCE_UNKNOWN);
	char text[8];

	(void)state;
	a.type = ACTION_FILE_DELETE;
	match.blocked = &blocked;
	struct decision d = decide(AGENT_RUNNING, &a);
	is(d, VERDICT_BLOCK, REASON_BLOCKED);
	snprintf(text, sizeof(text), "%.2f", (double)d.score.total);
	assert_string_equal(text, "0.91");
}

static void test_rule_with_max_risk_bites_only_above(void **state)
{
	struct action a = calm();

	(void)state;
	add_rule(EFFECT_BLOCK);
	rule.has_max_risk = true;
	rule.max_risk = total_of(&a, history);
	is(decide(AGENT_RUNNING, &a), VERDICT_ALLOW, REASON_NONE);
	rule.max_risk -= .001f;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_RULE);
}

static void test_rules_in_order_and_silent_ones_passed_over(void **state)
{
	struct policy_rule second = { .name = "second", .effect = EFFECT_PAUSE };
	struct action a = calm();

	(void)state;
	add_rule(EFFECT_BLOCK);
	rule.has_max_risk = true;
	rule.max_risk = .9f;
	match.rules[1] = &second;
	match.rule_count = 2;
	struct decision d = decide(AGENT_RUNNING, &a);
	is(d, VERDICT_PAUSE, REASON_RULE);
	assert_string_equal(d.rule, "second");
	assert_int_equal(d.deny_errno, EACCES);
}

static void test_allow_skips_step_4_never_step_2(void **state)
{
	struct action a = risky();

	(void)state;
	add_rule(EFFECT_ALLOW);
	policy.rate_general = 1;
	history_note(history, &a, true);
	is(decide(AGENT_RUNNING, &a), VERDICT_ALLOW, REASON_RULE);
	policy.max_risk = .5f;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_MAX_RISK);
	policy.max_risk = 1;
	match.blocked = &blocked;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_BLOCKED);
}

static void test_mode_answers_step_4(void **state)
{
	static const struct {
		enum policy_mode mode;
		enum verdict verdict;
	} rows[] = {
		{ MODE_ALERT, VERDICT_ALERT },
		{ MODE_PAUSE, VERDICT_PAUSE },
		{ MODE_ROLLBACK, VERDICT_ROLLBACK },
		{ MODE_OBSERVE, VERDICT_ALERT },
	};
	struct action a = risky();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		policy.mode = rows[i].mode;
		struct decision d = decide(AGENT_RUNNING, &a);
		is(d, rows[i].verdict, REASON_THRESHOLD);
		assert_int_equal(d.deny_errno != 0, d.verdict > VERDICT_ALERT);
		assert_false(d.observed);
	}
	/* the threshold itself bites */
	policy.risk_threshold = total_of(&a, history);
	is(decide(AGENT_RUNNING, &a), VERDICT_ALERT, REASON_THRESHOLD);
}

static void test_blocks_deny_in_every_mode_but_observe(void **state)
{
	struct action a = calm();

	(void)state;
	match.blocked = &blocked;
	for (unsigned m = 0; m < MODE_COUNT; m++) {
		policy.mode = (enum policy_mode)m;
		struct decision d = decide(AGENT_RUNNING, &a);

		is(d, m == MODE_OBSERVE ? VERDICT_ALERT : VERDICT_BLOCK, REASON_BLOCKED);
		assert_int_equal(d.observed, m == MODE_OBSERVE);
		assert_int_equal(d.deny_errno, m == MODE_OBSERVE ? 0 : EACCES);
	}
	match.blocked = NULL;
	add_rule(EFFECT_PAUSE);
	struct decision d = decide(AGENT_RUNNING, &a);
	is(d, VERDICT_ALERT, REASON_RULE);
	assert_true(d.observed);
	assert_string_equal(d.rule, "r");
}

static void test_errno_by_type(void **state)
{
	(void)state;
	match.blocked = &blocked;
	for (unsigned t = ACTION_FILE_READ; t < ACTION_TYPE_COUNT; t++) {
		struct action a = action_net("h.example:1", true);
		bool here = t == ACTION_FILE_READ || t == ACTION_FILE_WRITE ||
			    t == ACTION_FILE_DELETE || t == ACTION_CODE_EXECUTION;

		a.type = (enum action_type)t;
		assert_int_equal(decide(AGENT_RUNNING, &a).deny_errno, here ? EACCES : EPERM);
	}
}

static void test_the_sixty_first_of_a_minute(void **state)
{
	struct action a = calm();

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		is(decide(AGENT_RUNNING, &a), VERDICT_ALLOW, REASON_NONE);
		history_note(history, &a, true);
		a.mono_ns += 100 * MS;
	}
	is(decide(AGENT_RUNNING, &a), VERDICT_ALERT, REASON_RATE);
	policy.mode = MODE_PAUSE;
	is(decide(AGENT_RUNNING, &a), VERDICT_PAUSE, REASON_RATE);
	a.mono_ns += 61 * second_ns;
	is(decide(AGENT_RUNNING, &a), VERDICT_ALLOW, REASON_NONE);
}

static void test_a_type_with_its_own_rate_uses_up_no_other(void **state)
{
	struct action read = calm();
	struct action write = action_file(OP_WRITE, "/w/a", PROVENANCE_EXISTING);

	(void)state;
	policy.rate_per_minute[ACTION_FILE_READ] = 1000;
	for (unsigned i = 0; i < 999; i++)
		history_note(history, &read, true);
	is(decide(AGENT_RUNNING, &read), VERDICT_ALLOW, REASON_NONE);
	is(decide(AGENT_RUNNING, &write), VERDICT_ALLOW, REASON_NONE);
	history_note(history, &read, true);
	is(decide(AGENT_RUNNING, &read), VERDICT_ALERT, REASON_RATE);
	is(decide(AGENT_RUNNING, &write), VERDICT_ALLOW, REASON_NONE);
}

static void test_ambient_is_decided_but_not_scored(void **state)
{
	struct action a = risky();
	struct decision d;

	(void)state;
	match.ambient = true;
	policy.max_risk = .1f;
	policy.rate_general = 1;
	history_note(history, &a, true);
	d = decide(AGENT_RUNNING, &a);
	is(d, VERDICT_ALLOW, REASON_NONE);
	assert_true(d.ambient);
	assert_true(d.score.total <= 0);

	match.blocked = &blocked;
	d = decide(AGENT_RUNNING, &a);
	is(d, VERDICT_BLOCK, REASON_BLOCKED);
	assert_false(d.ambient); /* so that it is logged */
	assert_true(d.score.total > .8f);
	match.blocked = NULL;
	match.resource_allowed = false;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_NOT_ALLOWED);
	match.resource_allowed = true;
	match.type_allowed = false;
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_TYPE);
	match.type_allowed = true;
	add_rule(EFFECT_BLOCK);
	is(decide(AGENT_RUNNING, &a), VERDICT_BLOCK, REASON_RULE);
	is(decide(AGENT_TERMINATED, &a), VERDICT_BLOCK, REASON_AGENT_STATE);
}

static int last(void **state)
{
	(void)state;
	history_free(history);
	return 0;
}

#define STEP(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEP(test_step_5_allows),
		STEP(test_each_step_comes_before_the_next),
		STEP(test_blocked_action_still_shows_its_score),
		STEP(test_rule_with_max_risk_bites_only_above),
		STEP(test_rules_in_order_and_silent_ones_passed_over),
		STEP(test_allow_skips_step_4_never_step_2),
		STEP(test_mode_answers_step_4),
		STEP(test_blocks_deny_in_every_mode_but_observe),
		STEP(test_errno_by_type),
		STEP(test_the_sixty_first_of_a_minute),
		STEP(test_a_type_with_its_own_rate_uses_up_no_other),
		STEP(test_ambient_is_decided_but_not_scored),
	};

	return cmocka_run_group_tests(tests, NULL, last);
}
