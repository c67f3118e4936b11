/* A statement is as grave as its words, or as what a parser said of it: the graver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scoring/score.h"
#include "scoring/statement.h"

static float total(const char *resource, const char *text, uint32_t flags)
{
	struct history *h = history_new();
	struct score s;
	const struct action a = { .type = action_type_of_statement(flags),
				  .op = OP_QUERY,
				  .resource = resource,
				  .statement = text,
				  .statement_flags = flags,
				  .resolved = true,
				  .program = "",
				  .size_bytes = -1 };

	assert_non_null(h);
	score_action(&a, h, &s);
	history_free(h);
	return s.total;
}

static void flags_raise_what_words_do_not_show(void **state)
{
	const char *pg = "postgresql://db.internal:5432/shop", *redis = "redis://db.internal:6379/";

	(void)state;
	assert_true(total(pg, "select f()", STATEMENT_READ) <= .30f);
	assert_true(total(pg, "select f()", STATEMENT_READ | STATEMENT_OUTSIDE) >= .80f);
	assert_true(total(pg, "execute a", STATEMENT_DELETE | STATEMENT_ALL_ROWS) >= .80f);
	/* and never lower what words do show */
	assert_true(total(pg, "drop table t", STATEMENT_READ) >= .85f);
	/* commands of Redis are no SQL */
	assert_true(total(redis, "get a", STATEMENT_READ) <= .30f);
	assert_true(total(redis, "flushall", STATEMENT_DESTROY) >= .85f);
}

static void only_reads_and_session_statements_are_queries(void **state)
{
	(void)state;
	assert_int_equal(action_type_of_statement(STATEMENT_READ | STATEMENT_SESSION |
						  STATEMENT_CUT),
			 ACTION_DATABASE_QUERY);
	for (uint32_t flag = STATEMENT_UNKNOWN; flag < STATEMENT_CUT; flag <<= 1)
		assert_int_equal(action_type_of_statement(flag | STATEMENT_READ),
				 ACTION_DATABASE_WRITE);
}

/* What hid a statement from one reading of MySQL's text. */
static void every_reading_of_the_text_counts(void **state)
{
	static const char *const hidden[] = { "select 5--1; drop table t",
					      "select `a\\`; drop table t; -- `",
					      "select \"a\\\"; drop table t; -- \"",
					      "/*M!100000 drop table t */" };
	struct sql_shape s;

	(void)state;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		sql_inspect(hidden[i], &s);
		assert_int_equal(s.kind, SQL_DESTROY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_raise_what_words_do_not_show),
		cmocka_unit_test(only_reads_and_session_statements_are_queries),
		cmocka_unit_test(every_reading_of_the_text_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
