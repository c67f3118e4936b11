/* What is masked, and what looks like it and stays. */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scoring/mask.h"

struct row {
	const char *text, *want; /* NULL: stays as it is */
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *got = NULL;
		int n = mask_text(rows[i].text, strlen(rows[i].text), MASK_ALL, &got);
		assert_true(n >= 0);
		if ((n > 0) != (rows[i].want != NULL))
			print_error("%s -> %s\n", rows[i].text, n ? got : "(stays)");
		assert_int_equal(n > 0, rows[i].want != NULL);
		if (rows[i].want)
			assert_string_equal(got, rows[i].want);
		free(got);
	}
}
#define CHECK(rows) check((rows), sizeof(rows) / sizeof((rows)[0]))

/* Parts, so that no scanner of this repository takes them for somebody's. */
#define TWENTY "abcdefghij0123456789"

static void keys_are_known_by_their_form(void **state)
{
	static const struct row rows[] = {
		{ "id AKIA"
		  "IOSFODNN7EXAMPLE.",
		  "id [masked AWS key]." },
		{ "AKIA"
		  "IOSFODNN7EXAMPL",
		  NULL }, /* too short */
		{ "AKIA"
		  "IOSFODNN7EXAMPLEX",
		  NULL }, /* too long */
		{ "xAKIA"
		  "IOSFODNN7EXAMPLE",
		  NULL }, /* in a word */
		{ "ghp_" TWENTY "abcdef0123456789", "[masked GitHub token]" },
		{ "ghp_short", NULL },
		{ "(github_pat_" TWENTY "_xyz)", "([masked GitHub token])" },
		{ "glpat-" TWENTY, "[masked GitLab token]" },
		{ "xoxb-" TWENTY, "[masked Slack token]" },
		{ "sk-ant-" TWENTY, "[masked API key]" },
		{ "sk-learn-is-a-library-for-machine-learning", NULL },
		{ "task-abcdefghijklmnopqrstuvwxyz", NULL },
		{ "sk_live_" TWENTY, "[masked Stripe key]" },
		{ "AIza" TWENTY "abcdefghij01234", "[masked Google key]" },
		{ "vtk_" TWENTY TWENTY "abc", "[masked API key]" },
		{ "eyJhbGciOiJIUzI1NiJ9."
		  "eyJzdWIiOiIxIn0."
		  "abcdefghijklmnop",
		  "[masked token]" },
		{ "eyJhbGciOiJIUzI1NiJ9.notjson.abcdefgh", NULL },
		{ "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest",
		  "[masked private key]\nrest" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----\ncut off", "[masked private key]" },
		{ "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", NULL },
		{ "-----BEGIN PUBLIC KEY-----", NULL },
	};
	(void)state;
	CHECK(rows);
}

static void what_says_that_it_is_secret_is(void **state)
{
	static const struct row rows[] = {
		{ "PASSWORD=hunter2 next", "PASSWORD=[masked secret] next" },
		{ "db_password: 'a b c', x", "db_password: '[masked secret]', x" },
		{ "{\"api_key\": \"xyz\", \"a\": 1}",
		  "{\"api_key\": \"[masked secret]\", \"a\": 1}" },
		{ "{\\\"secret\\\":\\\"xyz\\\"}", "{\\\"secret\\\":\\\"[masked secret]\"}" },
		{ "curl -H 'Authorization: Bearer abc.def' u",
		  "curl -H 'Authorization: Bearer [masked secret]' u" },
		{ "https://h/p?access_token=abc&x=1",
		  "https://h/p?access_token=[masked secret]&x=1" },
		{ "mysql --password hunter2 db", "mysql --password [masked secret] db" },
		{ "postgres://app:hunter2@db/x", "postgres://app:[masked password]@db/x" },
		{ "https://example.org:8443/a@b", NULL },
		{ "https://user@example/", NULL },
		{ "PASSWORD=$DB_PASSWORD", NULL },
		{ "max_tokens=500", NULL },
		{ "the password is not here", NULL },
		{ "secrets.yaml: 3 lines", NULL },
		{ "token", NULL },
		{ "password=", NULL },
	};
	(void)state;
	CHECK(rows);
}

static void numbers_need_their_check_digit(void **state)
{
	static const struct row rows[] = {
		{ "card 4111111111111111.", "card [masked card]." },
		{ "card 4111 1111 1111 1111 ok", "card [masked card] ok" },
		{ "5555-5555-5555-4444", "[masked card]" },
		{ "378282246310005", "[masked card]" },
		{ "4111111111111112", NULL },   /* Luhn */
		{ "41111111111111111", NULL },  /* 17 digits */
		{ "1234567812345670", NULL },   /* Luhn holds; nobody issues it */
		{ "1795355939000", NULL },      /* milliseconds since 1970 */
		{ "a4111111111111111", NULL },  /* in a word */
		{ "4111111111111111b2", NULL }, /* a digest */
		{ "0.4111111111111111", NULL }, /* a fraction */
		{ "DE89370400440532013000", "[masked IBAN]" },
		{ "GB82 WEST 1234 5698 7654 32, x", "[masked IBAN], x" },
		{ "DE89370400440532013001", NULL }, /* modulo 97 */
		{ "DE8937040044", NULL },
		{ "SOME LONG WORDS IN CAPITALS", NULL },
	};
	(void)state;
	CHECK(rows);
}

static void mail_addresses_are_and_versions_are_not(void **state)
{
	static const struct row rows[] = {
		{ "to jane.doe+x@mail.example.org, please", "to [masked e-mail], please" },
		{ "<a@b.de>", "<[masked e-mail]>" },
		{ "a@b.de c@d.fr", "[masked e-mail] [masked e-mail]" },
		{ "npm install left-pad@1.3.0", NULL },
		{ "git@github", NULL },
		{ "@decorator.name", NULL },
		{ "user@localhost", NULL },
		{ "/tmp/x@y", NULL },
	};
	(void)state;
	CHECK(rows);
}

static void kinds_are_chosen(void **state)
{
	static const char text[] = "a@b.de token=abcd";
	char *got = NULL;
	(void)state;
	assert_int_equal(mask_text(text, strlen(text), MASK_SECRETS, &got), 1);
	assert_string_equal(got, "a@b.de token=[masked secret]");
	free(got);
	assert_int_equal(mask_text(text, strlen(text), MASK_PERSONAL, &got), 1);
	assert_string_equal(got, "[masked e-mail] token=abcd");
	free(got);
	/* no byte beyond the length is looked at */
	char *tight = malloc(4);
	assert_non_null(tight);
	memcpy(tight, "a@b.", 4);
	assert_int_equal(mask_text(tight, 4, MASK_ALL, &got), 0);
	free(tight);
}

static void json_keeps_its_shape(void **state)
{
	struct json_object *o = json_tokener_parse(
		"{\"payload\": {\"password\": \"x\", \"n\": 4111111111111111, \"ok\": 12, \"list\":"
		" [\"a@b.de\", {\"client_secret\": 5}], \"token\": null, \"max_tokens\": 5},"
		" \"resource\": \"a@b.de\"}");
	(void)state;
	assert_int_equal(mask_member(o, "payload", MASK_ALL), 4);
	assert_int_equal(mask_member(o, "resource", MASK_SECRETS), 0);
	assert_int_equal(mask_member(o, "absent", MASK_ALL), 0);
	assert_string_equal(
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
		"{\"payload\":{\"password\":\"[masked secret]\",\"n\":\"[masked card]\",\"ok\":12,"
		"\"list\":[\"[masked e-mail]\",{\"client_secret\":\"[masked secret]\"}],"
		"\"token\":null,\"max_tokens\":5},\"resource\":\"a@b.de\"}");
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_known_by_their_form),
		cmocka_unit_test(what_says_that_it_is_secret_is),
		cmocka_unit_test(numbers_need_their_check_digit),
		cmocka_unit_test(mail_addresses_are_and_versions_are_not),
		cmocka_unit_test(kinds_are_chosen),
		cmocka_unit_test(json_keeps_its_shape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
