/* When a verdict stands, no statement that it covers would have been answered otherwise. */
#include "tests/unit/scoring_policies.h"

#include "scoring/standing.h"

static struct action query(const char *text)
{
	struct action a = action_sql(ACTION_DATABASE_QUERY, text);

	a.statement_flags = STATEMENT_READ;
	return a;
}

static unsigned count(const char *policy, const struct action *a)
{
	struct policy *p = parse(policy, false);
	struct history *h = history_new();
	unsigned n = standing_count(p, AGENT_RUNNING, h, a, 0);

	history_free(h);
	policy_free(p);
	return n;
}

static const char plain[] = "{\"max_actions_per_minute\": 1000000}";

static void test_reads_stand(void **state)
{
	(void)state;
	struct action a = query("select a from t where b = 1"), w = a, cut = a;

	w.type = ACTION_DATABASE_WRITE;
	cut.statement_flags |= STATEMENT_CUT;
	assert_int_equal(count(plain, &a), STANDING_MOST);
	assert_int_equal(count(plain, &w), 0);
	assert_int_equal(count(plain, &cut), 0);
}

static void test_what_could_change_the_answer(void **state)
{
	(void)state;
	struct action a = query("select a from t where b = 1");

	assert_int_equal(count("{\"max_actions_per_minute\": 600}", &a), 0);
	assert_int_equal(
		count("{\"max_actions_per_minute\": 1000000, \"risk_threshold\": 0.30}", &a), 0);
	assert_int_equal(
		count("{\"max_actions_per_minute\": 1000000, \"max_risk_score\": 0.30}", &a), 0);
	assert_int_equal(
		count("{\"max_actions_per_minute\": 1000000, \"rules\": [{\"name\": \"r\", "
		      "\"action_type\": \"database_query\", \"resource_pattern\": \"*\", "
		      "\"effect\": \"block\", \"max_risk_score\": 0.9}]}",
		      &a),
		0);
	assert_int_equal(
		count("{\"max_actions_per_minute\": 1000000, \"rules\": [{\"name\": \"r\", "
		      "\"action_type\": \"file_read\", \"resource_pattern\": \"*\", "
		      "\"effect\": \"block\", \"max_risk_score\": 0.9}]}",
		      &a),
		STANDING_MOST);
}

static void test_paused(void **state)
{
	(void)state;
	struct action a = query("select 1");
	struct policy *p = parse(plain, false);
	struct history *h = history_new();

	assert_int_equal(standing_count(p, AGENT_PAUSED, h, &a, 0), 0);
	assert_int_equal(standing_count(p, AGENT_RUNNING, h, &a, 1000000 - STANDING_MOST), 0);
	history_free(h);
	policy_free(p);
}

static void test_covers_no_riskier_text(void **state)
{
	(void)state;
	struct history *h = history_new();
	struct action a = query("select a from t"), same = query("select b from u where c = 'x'"),
		      secret = query("select password from users"),
		      grave = query("select 1; drop table t");
	struct standing_risk first = standing_risk_of(&a, h), s = standing_risk_of(&same, h),
			     p = standing_risk_of(&secret, h), g = standing_risk_of(&grave, h);

	assert_true(standing_covers(&first, &s));
	assert_false(standing_covers(&first, &p));
	assert_true(standing_covers(&p, &first));
	assert_false(standing_covers(&first, &g));
	history_free(h);
}

/* The property itself: at full speed, all that stood is still allowed by the evaluator. */
static void test_every_one_is_allowed(void **state)
{
	(void)state;
	static const char *const texts[] = { "select a from t", "select password from users",
					     "select salary, ssn from patients", "show tables",
					     "select * from prod.customers" };
	unsigned stood = 0, not = 0;

	for (unsigned round = 0; round < 300; round++) {
		char text[2048];
		random_policy(text, sizeof(text));
		struct policy *p = parse(text, false);
		struct history *h = history_new(), *empty = history_new();
		struct action a = query(texts[round % 5]);

		if (round % 2) /* most random policies limit rates far below */
			p->rate_general = 0;
		memset(p->rate_per_minute, 0, sizeof(p->rate_per_minute));
		unsigned n = standing_count(p, AGENT_RUNNING, h, &a, 0);
		struct standing_risk first = standing_risk_of(&a, empty);

		stood += n > 0;
		not += n == 0;
		history_note(h, &a, true);
		for (unsigned i = 0; i < n; i++) {
			struct action b = query(texts[i % 5]);
			struct standing_risk r = standing_risk_of(&b, empty);
			struct decision d;

			b.mono_ns = a.mono_ns + i * 100000;
			if (!standing_covers(&first, &r))
				continue;
			judge(p, AGENT_RUNNING, h, &b, &d);
			if (d.verdict != VERDICT_ALLOW)
				fail_msg("%u: %s: %s", i, b.statement, text);
			history_note(h, &b, true);
		}
		history_free(h);
		history_free(empty);
		policy_free(p);
	}
	assert_true(stood > 10 && not > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_stand),
		cmocka_unit_test(test_what_could_change_the_answer),
		cmocka_unit_test(test_paused),
		cmocka_unit_test(test_covers_no_riskier_text),
		cmocka_unit_test(test_every_one_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
