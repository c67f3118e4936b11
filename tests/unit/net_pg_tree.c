/* What statements do, by PostgreSQL's grammar. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/inspect/pg_tree.h"

static uint32_t flags_of(const char *text)
{
	struct wire_statement st;

	pg_tree_classify(NULL, text, strlen(text), &st);
	return st.flags;
}

/* clang-format off */
static const struct {
	const char *text;
	uint32_t flags;
} rows[] = {
	{ "", STATEMENT_SESSION },
	{ "select 1", STATEMENT_READ },
	{ "select 1; select 2", STATEMENT_READ },
	{ "values (1)", STATEMENT_READ },
	{ "table t", STATEMENT_READ },
	{ "select 'drop table x', $$delete from t$$ -- delete", STATEMENT_READ },
	{ "select a from t for update", STATEMENT_READ },
	{ "copy t to stdout", STATEMENT_READ },
	{ "explain delete from t", STATEMENT_READ },
	{ "lock table t in access share mode", STATEMENT_READ },
	{ "begin; set a = 1; show a; commit", STATEMENT_SESSION },
	{ "lock table t", STATEMENT_WRITE },
	{ "insert into t select * from u", STATEMENT_WRITE | STATEMENT_READ },
	{ "update t set a = 1", STATEMENT_WRITE | STATEMENT_ALL_ROWS },
	{ "update t set a = 1 where true", STATEMENT_WRITE | STATEMENT_ALL_ROWS },
	{ "update t set a = 1 where a = 2", STATEMENT_WRITE },
	{ "delete from t", STATEMENT_DELETE | STATEMENT_ALL_ROWS },
	{ "delete from t where 1 = 1", STATEMENT_DELETE | STATEMENT_ALL_ROWS },
	{ "delete from t where a = 1", STATEMENT_DELETE },
	{ "with x as (delete from t where a = 1 returning *) select * from x", STATEMENT_DELETE | STATEMENT_READ },
	{ "select * from (with x as (insert into t values (1) returning *) select * from x) y",
	  STATEMENT_WRITE | STATEMENT_READ },
	{ "explain (analyze, verbose) update t set a = 1 where b = 2", STATEMENT_WRITE | STATEMENT_READ },
	{ "declare c cursor for select 1", STATEMENT_READ },
	{ "select 1 into y", STATEMENT_READ | STATEMENT_DEFINE },
	{ "create table y as select 1", STATEMENT_READ | STATEMENT_DEFINE },
	{ "grant all on t to public", STATEMENT_DEFINE },
	{ "drop table t", STATEMENT_DESTROY },
	{ "truncate t", STATEMENT_DESTROY },
	{ "copy t from stdin", STATEMENT_WRITE },
	{ "copy t to program 'cat'", STATEMENT_READ | STATEMENT_OUTSIDE },
	{ "copy t from '/etc/passwd'", STATEMENT_WRITE | STATEMENT_OUTSIDE },
	{ "do 'begin end'", STATEMENT_UNKNOWN | STATEMENT_WRITE },
	{ "call p()", STATEMENT_UNKNOWN | STATEMENT_WRITE },
	{ "alter system set a = 1", STATEMENT_ADMIN | STATEMENT_DEFINE | STATEMENT_SESSION },
	{ "select pg_catalog.lo_import('/etc/passwd')", STATEMENT_READ | STATEMENT_WRITE | STATEMENT_OUTSIDE },
	{ "select * from pg_read_file('x')", STATEMENT_READ | STATEMENT_OUTSIDE },
	{ "select coalesce(setval('s', 1), 2)", STATEMENT_READ | STATEMENT_WRITE },
	{ "select pg_terminate_backend(1)", STATEMENT_READ | STATEMENT_ADMIN },
};
/* clang-format on */

static void statements_are_what_they_do(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (flags_of(rows[i].text) != rows[i].flags)
			fail_msg("%s: 0x%x, not 0x%x", rows[i].text, flags_of(rows[i].text),
				 rows[i].flags);
}

static void what_does_not_parse_is_unknown(void **state)
{
	(void)state;
	assert_true(flags_of("selec 1") & STATEMENT_UNKNOWN);
	assert_true(flags_of("select 'a") & STATEMENT_UNKNOWN);
	assert_int_equal(action_type_of_statement(flags_of("selec 1")), ACTION_DATABASE_WRITE);
}

static void names_of_prepared_statements_are_told(void **state)
{
	struct wire_statement st;
	const char *text = "prepare a as delete from t; execute b(1); execute \"C\"";

	(void)state;
	pg_tree_classify(NULL, text, strlen(text), &st);
	assert_int_equal(st.prepares_count, 1);
	assert_int_equal(st.executes_count, 2);
	assert_string_equal(st.prepares[0], "a");
	assert_string_equal(st.executes[1], "C");
	assert_true(st.flags & STATEMENT_DELETE);
	text = "execute a; execute b; execute c; execute d; execute e";
	pg_tree_classify(NULL, text, strlen(text), &st);
	assert_true(st.flags & STATEMENT_UNKNOWN);
}

/* The longest text that is parsed, nested as deep as it can be, on the stack that is promised. */
static void *deepest(void *arg)
{
	char *text = malloc(PG_TREE_TEXT_MAX + 1);
	size_t n = 0;

	memcpy(text, "select 1", 8);
	for (n = 8; n + 2 <= PG_TREE_TEXT_MAX; n += 2)
		memcpy(text + n, "+1", 2);
	text[n] = '\0';
	*(uint32_t *)arg = flags_of(text);
	memset(text + 7, '-', 1);
	for (n = 7; n + 2 <= PG_TREE_TEXT_MAX; n += 2)
		memcpy(text + n, "+-", 2);
	text[PG_TREE_TEXT_MAX - 1] = '1';
	flags_of(text);
	free(text);
	return NULL;
}

static void the_deepest_statement_fits_the_stack(void **state)
{
	pthread_attr_t attr;
	pthread_t thread;
	uint32_t flags = 0;

	(void)state;
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstacksize(&attr, PG_TREE_STACK), 0);
	assert_int_equal(pthread_create(&thread, &attr, deepest, &flags), 0);
	pthread_join(thread, NULL);
	assert_int_not_equal(flags, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_are_what_they_do),
		cmocka_unit_test(what_does_not_parse_is_unknown),
		cmocka_unit_test(names_of_prepared_statements_are_told),
		cmocka_unit_test(the_deepest_statement_fits_the_stack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
