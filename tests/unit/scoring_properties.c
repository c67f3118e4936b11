/* What holds for any input: monotone, bounded, explained, and safe on any bytes. */
#include "tests/unit/scoring_actions.h"

#include <time.h>

#include "scoring/judge.h"
#include "scoring/sensitivity_names.h"
#include "scoring/shell.h"
#include "scoring/sql.h"

static uint32_t seed = 20240607;

static uint32_t random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static float random_unit(void)
{
	return (float)(random_u32() % 1001) / 1000;
}

static void test_raising_any_x_never_lowers_the_total(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		float x[DIMENSION_COUNT], before, after;
		unsigned d = random_u32() % DIMENSION_COUNT;

		for (unsigned k = 0; k < DIMENSION_COUNT; k++)
			x[k] = random_unit();
		before = score_total(x);
		x[d] += (1 - x[d]) * random_unit();
		after = score_total(x);
		assert_true(after >= before);
		assert_true(before >= 0 && after <= 1);
	}
}

static void test_any_dimension_alone_carries_its_weight(void **state)
{
	(void)state;
	for (unsigned d = 0; d < DIMENSION_COUNT; d++) {
		float x[DIMENSION_COUNT] = { 0 };
		float w = score_weight((enum dimension)d);

		x[d] = 1;
		assert_true(w > 0 && w < 1);
		assert_true(score_total(x) > w - .001f && score_total(x) < w + .001f);
	}
}

/* More of the same in the history never makes an action look calmer. */
static void test_more_actions_never_lower_the_score(void **state)
{
	struct history *h = history_new();
	struct action a = action_file(OP_DELETE, "/w/a", PROVENANCE_EXISTING);
	float before = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		float total = total_of(&a, h);

		assert_true(total >= before);
		before = total;
		history_note(h, &a, false);
	}
	history_free(h);
}

static void test_provenance_is_ordered(void **state)
{
	struct history *h = history_new();

	(void)state;
	for (unsigned op = OP_READ; op < OP_EXEC; op++) {
		struct action own = action_file((enum action_op)op, "/w/a", PROVENANCE_CREATED);
		struct action found = action_file((enum action_op)op, "/w/a", PROVENANCE_EXISTING);
		struct action unknown = action_file((enum action_op)op, "/w/a", PROVENANCE_UNKNOWN);

		assert_true(total_of(&own, h) <= total_of(&found, h));
		assert_true(total_of(&found, h) <= total_of(&unknown, h));
	}
	history_free(h);
}

static void test_names_stand_under_their_letter(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		const struct sensitivity_name *n = sensitivity_names[c];

		for (; n && n->text; n++) {
			assert_int_equal((unsigned char)n->text[0], c);
			assert_int_equal(strlen(n->text), n->len);
			assert_true(n == sensitivity_names[c] || n[-1].len <= n->len);
			assert_in_range(n->class, CLASS_NONE + 1, CLASS_COUNT - 1);
			assert_true(n->places != 0);
			for (const char *p = n->text; *p; p++)
				assert_false(*p >= 'A' && *p <= 'Z');
		}
	}
}

/* Exact-size heap copies, so that the sanitizer sees one byte too far. */
static void test_any_bytes_are_safe(void **state)
{
	static const char alphabet[] = "rm -rf/~$(`|&;<>\"'\\\n#ac=*.select droptbl;where()--/*$x$";
	struct history *h = history_new();

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		size_t len = random_u32() % 90;
		char *bytes = test_malloc(len + 1);
		struct action a = action_file(OP_EXEC, "/bin/sh", PROVENANCE_SYSTEM);
		struct score s;

		for (size_t k = 0; k < len; k++)
			bytes[k] = random_u32() % 20 == 0 ? (char)random_u32()
				   : random_u32() % 9 == 0
					   ? '\0'
					   : alphabet[random_u32() % (sizeof(alphabet) - 1)];
		bytes[len] = '\0';
		a.type = ACTION_CODE_EXECUTION;
		a.argv = bytes;
		a.argv_len = len; /* may well end without a NUL */
		a.argc = 1 + random_u32() % 40;
		score_action(&a, h, &s);
		assert_true(s.total >= 0 && s.total <= 1);
		a = action_sql(ACTION_DATABASE_QUERY, bytes);
		score_action(&a, h, &s);
		assert_true(s.total >= 0 && s.total <= 1);
		a = action_file(OP_WRITE, bytes, PROVENANCE_UNKNOWN);
		a.alias = a.resource2 = bytes;
		score_action(&a, h, &s);
		assert_true(s.total >= 0 && s.total <= 1);
		a = action_net(bytes, false);
		score_action(&a, h, &s);
		assert_true(s.total >= 0 && s.total <= 1);
		history_note(h, &a, true);
		test_free(bytes);
	}
	history_free(h);
}

static void test_long_scripts_are_safe(void **state)
{
	static char argv[ACTION_ARGV_SIZE];
	struct action a = action_file(OP_EXEC, "/bin/sh", PROVENANCE_SYSTEM);
	static const char *const pieces[] = { "$(", "a ", "\"", "`", ";", "|", "sh -c '" };

	(void)state;
	a.type = ACTION_CODE_EXECUTION;
	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		memcpy(argv, "sh\0-c", 6);
		for (size_t i = 6; i < sizeof(argv); i++)
			argv[i] = pieces[p][(i - 6) % strlen(pieces[p])];
		argv[sizeof(argv) - 1] = '\0';
		a.argv = argv;
		a.argv_len = sizeof(argv);
		a.argc = 3;
		assert_true(shell_danger(&a).x <= 1);
	}
}

/* The judge's own cost, without the patterns'. */
void policy_match(const struct policy *p, const struct action *a, struct policy_match *ret)
{
	(void)p;
	(void)a;
	*ret = (struct policy_match){ .type_allowed = true, .resource_allowed = true };
}

static double ns_of(const struct action *a, const struct history *h)
{
	enum { ROUNDS = 200000 };
	struct timespec t0, t1;
	struct score s;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		score_action(a, h, &s);
		__asm__ volatile("" : : "r"(&s) : "memory");
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
	return ((double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec)) / ROUNDS;
}

/* Printed, not asserted: a busy machine is no defect. */
static double ns_of_judge(const struct action *a, const struct history *h)
{
	enum { ROUNDS = 200000 };
	static const struct policy none = { .max_risk = 1,
					    .risk_threshold = .7f,
					    .rate_general = 60 };
	struct timespec t0, t1;
	struct decision d;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		judge(&none, AGENT_RUNNING, h, a, &d);
		__asm__ volatile("" : : "r"(&d) : "memory");
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
	return ((double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec)) / ROUNDS;
}

static void test_speed_is_printed(void **state)
{
	struct history *h = history_new();
	struct action acts[] = {
		action_file(OP_WRITE, "/home/user/project/src/module/file.c", PROVENANCE_EXISTING),
		action_file(OP_DELETE, "/home/user/project/node_modules/a/lib/index.js",
			    PROVENANCE_CREATED),
		action_exec("/usr/bin/gcc", PROVENANCE_SYSTEM, "gcc\0-O2\0-c\0a.c\0-o\0a.o"),
		action_exec("/usr/bin/dash", PROVENANCE_SYSTEM,
			    "sh\0-c\0make -j4 all && ./run | tee log"),
		action_sql(ACTION_DATABASE_QUERY,
			   "select a, b from t where c = 1 order by d limit 5"),
		action_net("registry.example.org:443", true),
	};

	(void)state;
	for (unsigned warm = 0; warm < 2; warm++) {
		for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
			print_message("# score_action, %s baseline, %s %s: %.0f ns\n",
				      warm ? "full" : "no", action_type_name(acts[i].type),
				      acts[i].resource, ns_of(&acts[i], h));
		print_message("# judge without patterns, the first of them: %.0f ns\n",
			      ns_of_judge(&acts[0], h));
		for (unsigned i = 0; i < 100; i++)
			history_note(h, &acts[i % 6], true);
	}
	history_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raising_any_x_never_lowers_the_total),
		cmocka_unit_test(test_any_dimension_alone_carries_its_weight),
		cmocka_unit_test(test_more_actions_never_lower_the_score),
		cmocka_unit_test(test_provenance_is_ordered),
		cmocka_unit_test(test_names_stand_under_their_letter),
		cmocka_unit_test(test_any_bytes_are_safe),
		cmocka_unit_test(test_long_scripts_are_safe),
		cmocka_unit_test(test_speed_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
