/* SHA-256 as FIPS 180-4 has it, whoever computes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static void examples_of_the_standard(void **state)
{
	(void)state;
	char hex[HASH_HEX];
	hash_hex("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hash_hex("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void pieces_are_one_text(void **state)
{
	(void)state;
	static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	size_t len = sizeof(text) - 1;
	for (size_t cut = 0; cut <= len; cut++) {
		struct hash d;
		uint8_t raw[HASH_SIZE];
		hash_begin(&d);
		hash_add(&d, text, cut);
		hash_add(&d, text + cut, len - cut);
		hash_end(&d, raw);
		assert_int_equal(raw[0], 0x24);
		assert_int_equal(raw[HASH_SIZE - 1], 0xc1);
	}
	char hex[HASH_HEX];
	hash_hex(text, len, hex);
	assert_string_equal(hex,
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_standard),
		cmocka_unit_test(pieces_are_one_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
