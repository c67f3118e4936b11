#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

struct pair {
	const char *in, *json, *term;
};

/* clang-format off */
static const struct pair pairs[] = {
	{ "plain/path-1_2.txt", "\"plain/path-1_2.txt\"", "plain/path-1_2.txt" },
	{ "", "\"\"", "" },
	{ "a\"b\\c", "\"a\\\"b\\\\c\"", "a\"b\\c" },
	{ "\n\t\r\x01\x1b[31m", "\"\\n\\t\\r\\u0001\\u001b[31m\"", "\\n\\t\\x0d\\x01\\x1b[31m" },
	{ "\x7f", "\"\\u007f\"", "\\x7f" },
	{ "gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "gr\xc3\xbc\xc3\x9f" },
	{ "\xe6\x97\xa5", "\"\xe6\x97\xa5\"", "\xe6\x97\xa5" },
	{ "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80" },
	/* C1: CSI as one character */
	{ "\xc2\x9b" "31m", "\"\\u009b31m\"", "\\u{009b}31m" },
	/* right-to-left override, isolate, mark */
	{ "\xe2\x80\xae" "x", "\"\\u202ex\"", "\\u{202e}x" },
	{ "\xe2\x81\xa6", "\"\\u2066\"", "\\u{2066}" },
	{ "\xe2\x80\x8f", "\"\\u200f\"", "\\u{200f}" },
	/* a tag character is beyond the basic plane */
	{ "\xf3\xa0\x81\x81", "\"\\udb40\\udc41\"", "\\u{e0041}" },
	/* malformed: lone bytes, cut sequences */
	{ "\xff", "\"\\udcff\"", "\\xff" },
	{ "\x80", "\"\\udc80\"", "\\x80" },
	{ "a\xe6\x97", "\"a\\udce6\\udc97\"", "a\\xe6\\x97" },
	{ "\xc3(", "\"\\udcc3(\"", "\\xc3(" },
	/* overlong slash, overlong NUL */
	{ "\xc0\xaf", "\"\\udcc0\\udcaf\"", "\\xc0\\xaf" },
	{ "\xe0\x80\xaf", "\"\\udce0\\udc80\\udcaf\"", "\\xe0\\x80\\xaf" },
	{ "\xf0\x80\x80\xaf", "\"\\udcf0\\udc80\\udc80\\udcaf\"", "\\xf0\\x80\\x80\\xaf" },
	/* surrogate in UTF-8; beyond U+10FFFF */
	{ "\xed\xa0\x80", "\"\\udced\\udca0\\udc80\"", "\\xed\\xa0\\x80" },
	{ "\xf4\x90\x80\x80", "\"\\udcf4\\udc90\\udc80\\udc80\"", "\\xf4\\x90\\x80\\x80" },
	{ "\xf5\x80\x80\x80", "\"\\udcf5\\udc80\\udc80\\udc80\"", "\\xf5\\x80\\x80\\x80" },
	{ "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"", "\xf4\x8f\xbf\xbf" },
};
/* clang-format on */

static void untrusted_bytes_are_escaped(void **state)
{
	(void)state;
	char storage[256];
	struct buf b;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		size_t len = strlen(pairs[i].in);
		buf_init(&b, storage, sizeof(storage));
		buf_json(&b, pairs[i].in, len);
		assert_string_equal(storage, pairs[i].json);
		assert_int_equal(b.len, strlen(storage));
		buf_init(&b, storage, sizeof(storage));
		buf_term(&b, pairs[i].in, len);
		assert_string_equal(storage, pairs[i].term);
		assert_false(b.overflow);
	}
}

static void a_nul_inside_is_escaped(void **state)
{
	(void)state;
	char storage[32];
	struct buf b;

	buf_init(&b, storage, sizeof(storage));
	buf_json(&b, "a\0b", 3);
	assert_string_equal(storage, "\"a\\u0000b\"");
	buf_init(&b, storage, sizeof(storage));
	buf_term(&b, "a\0b", 3);
	assert_string_equal(storage, "a\\x00b");
}

/* Every byte pair stays printable ASCII or well-formed UTF-8, and never a control. */
static void no_bytes_reach_a_terminal_as_control(void **state)
{
	(void)state;
	char storage[64];
	struct buf b;

	for (unsigned v = 0; v < 65536; v++) {
		char in[2] = { (char)(v >> 8), (char)v };
		buf_init(&b, storage, sizeof(storage));
		buf_term(&b, in, sizeof(in));
		for (size_t i = 0; i < b.len; i++) {
			unsigned char c = (unsigned char)storage[i];
			assert_true(c >= 0x20 && c != 0x7f);
			if (c == 0xc2)
				assert_true((unsigned char)storage[i + 1] >= 0xa0);
		}
	}
}

static void overflow_is_remembered_and_final(void **state)
{
	(void)state;
	char storage[8];
	struct buf b;

	buf_init(&b, storage, sizeof(storage));
	buf_puts(&b, "1234567");
	assert_false(b.overflow);
	buf_putc(&b, '8');
	assert_true(b.overflow);
	assert_string_equal(storage, "1234567");

	buf_init(&b, storage, sizeof(storage));
	buf_puts(&b, "123456789");
	assert_true(b.overflow);
	buf_u64(&b, 5);
	assert_string_equal(storage, "1234567");
	assert_int_equal(b.len, 7);

	buf_init(&b, storage, sizeof(storage));
	buf_printf(&b, "%s", "abcdefgh");
	assert_true(b.overflow);
	assert_int_equal(b.len, strlen(storage));

	/* An escape is written whole or not at all. */
	buf_init(&b, storage, sizeof(storage));
	buf_term(&b, "12345\x1b", 6);
	assert_true(b.overflow);
	assert_string_equal(storage, "12345");

	buf_init(&b, NULL, 0);
	buf_puts(&b, "x");
	buf_printf(&b, "x");
	buf_json(&b, "x", 1);
	assert_true(b.overflow);
	assert_int_equal(b.len, 0);
}

static void numbers_are_decimal(void **state)
{
	(void)state;
	char storage[64];
	struct buf b;

	buf_init(&b, storage, sizeof(storage));
	buf_u64(&b, 0);
	buf_putc(&b, ' ');
	buf_u64(&b, UINT64_MAX);
	buf_printf(&b, " %d", -3);
	assert_string_equal(storage, "0 18446744073709551615 -3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(untrusted_bytes_are_escaped),
		cmocka_unit_test(a_nul_inside_is_escaped),
		cmocka_unit_test(no_bytes_reach_a_terminal_as_control),
		cmocka_unit_test(overflow_is_remembered_and_final),
		cmocka_unit_test(numbers_are_decimal),
	};
	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
