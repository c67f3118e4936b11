/* Which files a job's artifact patterns name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "launcher/ci/harvest.h"

static void names_itself_and_what_is_below(void **state)
{
	(void)state;
	assert_true(ci_harvest_match("dist", "dist"));
	assert_true(ci_harvest_match("dist", "dist/a/b"));
	assert_true(ci_harvest_match("dist/", "dist/a"));
	assert_true(ci_harvest_match("a/b", "a/b/c"));
	assert_false(ci_harvest_match("dist", "distant"));
	assert_false(ci_harvest_match("a/b", "a"));
	assert_false(ci_harvest_match("a/b", "b"));
	assert_false(ci_harvest_match("b", "a/b"));
}

static void a_star_ends_at_a_slash(void **state)
{
	(void)state;
	assert_true(ci_harvest_match("*.log", "a.log"));
	assert_false(ci_harvest_match("*.log", "x/a.log"));
	assert_true(ci_harvest_match("*/a.log", "x/a.log"));
	assert_false(ci_harvest_match("*/a.log", "x/y/a.log"));
	assert_true(ci_harvest_match("build-?[0-9]", "build-x7"));
	assert_false(ci_harvest_match("build-?[0-9]", "build-/7"));
	assert_true(ci_harvest_match(".*", ".cache"));
}

static void two_stars_cross_directories(void **state)
{
	(void)state;
	assert_true(ci_harvest_match("**", "a/b/c"));
	assert_true(ci_harvest_match("**/a.log", "a.log"));
	assert_true(ci_harvest_match("**/a.log", "x/y/a.log"));
	assert_true(ci_harvest_match("src/**/*.o", "src/x/y/z.o"));
	assert_true(ci_harvest_match("src/**/*.o", "src/z.o"));
	assert_false(ci_harvest_match("src/**/*.o", "lib/x/z.o"));
	assert_true(ci_harvest_match("**/target/**", "a/target/b/c"));
	assert_false(ci_harvest_match("**/target/x", "a/target/b"));
	assert_true(ci_harvest_match("a**", "abc")); /* within a name it is a star like any */
	assert_false(ci_harvest_match("a**", "b/abc"));
}

static void odd_patterns_name_nothing(void **state)
{
	(void)state;
	assert_false(ci_harvest_match("..", "a"));
	assert_false(ci_harvest_match("../x", "x"));
	assert_false(ci_harvest_match("[", "a"));
	assert_false(ci_harvest_match("a", ""));
}

/* Whoever writes the pipeline writes these. */
static void hostile_patterns_end(void **state)
{
	(void)state;
	char pattern[4096] = "", path[4096] = "";
	for (unsigned i = 0; i < 300; i++) {
		strcat(pattern, "**/a/");
		strcat(path, "a/");
	}
	strcat(pattern, "b");
	assert_false(ci_harvest_match(pattern, path));
	memset(path, 'a', 250);
	path[250] = '\0';
	*pattern = '\0';
	for (unsigned i = 0; i < 100; i++)
		strcat(pattern, "*a");
	strcat(pattern, "*b");
	assert_false(ci_harvest_match(pattern, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_itself_and_what_is_below),
		cmocka_unit_test(a_star_ends_at_a_slash),
		cmocka_unit_test(two_stars_cross_directories),
		cmocka_unit_test(odd_patterns_name_nothing),
		cmocka_unit_test(hostile_patterns_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
