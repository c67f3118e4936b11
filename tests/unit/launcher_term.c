#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "launcher/term.h"

static void assert_line(const char *text, unsigned width, const char *wanted)
{
	char *got = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&got, &len);
	assert_non_null(f);
	term_line(f, text, width);
	fclose(f);
	assert_string_equal(got, wanted);
	free(got);
}

static void a_line_is_cut_to_characters_not_bytes(void **state)
{
	(void)state;
	assert_line("abc", 0, "abc\n");
	assert_line("abc", 3, "abc\n");
	assert_line("abc", 2, "a…\n");
	assert_line("abc", 1, "…\n");
	assert_line("äöü", 3, "äöü\n");
	assert_line("äöü", 2, "ä…\n");
	assert_line("", 1, "\n");
}

static void what_is_no_terminal_has_no_size_and_is_not_raw(void **state)
{
	(void)state;
	FILE *f = tmpfile();
	assert_non_null(f);
	assert_int_equal(term_width(fileno(f)), 0);
	assert_int_equal(term_height(fileno(f)), 0);
	assert_false(term_is_raw(fileno(f)));
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_cut_to_characters_not_bytes),
		cmocka_unit_test(what_is_no_terminal_has_no_size_and_is_not_raw),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
