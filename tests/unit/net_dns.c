/* DNS messages: what is understood, what is refused, what is written back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/dns.h"

/* A message as a literal, without the literal's own NUL. */
#define BYTES(text)                   (const uint8_t *)(text), sizeof(text) - 1
#define HEADER(flags, qd, an, ns, ar) "\x12\x34" flags "\0" qd "\0" an "\0" ns "\0" ar
#define WWW                           "\3www\7eXample\3com\0"
#define OPT                           "\0\0\x29\x10\0\0\0\0\0\0\0"

static void a_question_is_read(void **state)
{
	(void)state;
	struct dns_query q;
	assert_int_equal(
		dns_parse_query(BYTES(HEADER("\1\0", "\1", "\0", "\0", "\1") WWW "\0\x1c\0\1" OPT),
				&q),
		0);
	assert_string_equal(q.name, "www.example.com");
	assert_int_equal(q.type, DNS_AAAA);
	assert_int_equal(q.id, 0x1234);
	assert_true(q.recurse && q.edns);
	assert_int_equal(q.udp_size, DNS_UDP_MAX); /* 4096 were offered */
	assert_int_equal(
		dns_parse_query(BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\0\0\2\0\1"), &q), 0);
	assert_string_equal(q.name, "");
	assert_int_equal(q.udp_size, DNS_UDP_PLAIN);
}

static void names_that_no_policy_can_mean_are_marked(void **state)
{
	(void)state;
	struct dns_query q;
	assert_int_equal(
		dns_parse_query(
			BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\5a.b c\3com\0\0\1\0\1"), &q),
		0);
	assert_string_equal(q.name, "a?b?c.com");
	assert_int_equal(
		dns_parse_query(
			BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\4a\0.c\3com\0\0\1\0\1"), &q),
		0);
	assert_string_equal(q.name, "a??c.com");
}

static void what_is_not_well_formed(void **state)
{
	(void)state;
	static const struct {
		const char *claim;
		const uint8_t *bytes;
		size_t len;
		int want;
	} cases[] = {
		{ "empty", BYTES(""), -EBADMSG },
		{ "short", BYTES("\1\2\1\0\0\1"), -EBADMSG },
		{ "an answer", BYTES(HEADER("\x81\x80", "\1", "\0", "\0", "\0") WWW "\0\1\0\1"),
		  -EBADMSG },
		{ "no question", BYTES(HEADER("\1\0", "\0", "\0", "\0", "\0")), DNS_FORMERR },
		{ "two questions",
		  BYTES(HEADER("\1\0", "\2", "\0", "\0", "\0") WWW "\0\1\0\1" WWW "\0\1\0\1"),
		  DNS_FORMERR },
		{ "an answer section", BYTES(HEADER("\1\0", "\1", "\1", "\0", "\0") WWW "\0\1\0\1"),
		  DNS_FORMERR },
		{ "a pointer to itself",
		  BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\xc0\x0c\0\1\0\1"), DNS_FORMERR },
		{ "a pointer into the header",
		  BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\xc0\x05\0\1\0\1"), DNS_FORMERR },
		{ "a label of a reserved kind",
		  BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\x41x\0\0\1\0\1"), DNS_FORMERR },
		{ "a label past the end", BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") "\x3fx"),
		  DNS_FORMERR },
		{ "a record past the end",
		  BYTES(HEADER("\1\0", "\1", "\0", "\0", "\1") WWW "\0\1\0\1"
								   "\0\0\x29\x10\0\0\0\0\0\0\x09"),
		  DNS_FORMERR },
		{ "EDNS twice",
		  BYTES(HEADER("\1\0", "\1", "\0", "\0", "\2") WWW "\0\1\0\1" OPT OPT),
		  DNS_FORMERR },
		{ "EDNS 1",
		  BYTES(HEADER("\1\0", "\1", "\0", "\0", "\1") WWW "\0\1\0\1"
								   "\0\0\x29\x10\0\0\1\0\0\0\0"),
		  DNS_BADVERS },
		{ "an update", BYTES(HEADER("\x29\0", "\1", "\0", "\0", "\0") WWW "\0\1\0\1"),
		  DNS_NOTIMP },
		{ "ANY", BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") WWW "\0\xff\0\1"),
		  DNS_NOTIMP },
		{ "a zone transfer", BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") WWW "\0\xfc\0\1"),
		  DNS_NOTIMP },
		{ "class CHAOS", BYTES(HEADER("\1\0", "\1", "\0", "\0", "\0") WWW "\0\1\0\3"),
		  DNS_NOTIMP },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_query q;
		uint8_t out[DNS_UDP_PLAIN];
		int got = dns_parse_query(cases[i].bytes, cases[i].len, &q);
		if (got != cases[i].want)
			print_message("# %s: %d\n", cases[i].claim, got);
		assert_int_equal(got, cases[i].want);
		if (got > 0)
			assert_in_range(dns_error(&q, (unsigned)got, DNS_EDE_NONE, NULL, out,
						  sizeof(out)),
					12, sizeof(out));
	}
}

static struct dns_query asked(void)
{
	struct dns_query q;
	assert_int_equal(
		dns_parse_query(BYTES(HEADER("\1\0", "\1", "\0", "\0", "\1") WWW "\0\1\0\1" OPT),
				&q),
		0);
	return q;
}

static void a_refusal_says_why(void **state)
{
	(void)state;
	struct dns_query q = asked();
	uint8_t out[DNS_UDP_PLAIN];
	size_t n = dns_error(&q, DNS_NXDOMAIN, DNS_EDE_PROHIBITED, "no", out, sizeof(out));
	assert_int_equal(out[3] & 15, DNS_NXDOMAIN);
	assert_memory_equal(out + 12, WWW "\0\1\0\1", 21); /* the question, its case included */
	/* OPT, 6 + 2 bytes: option 15, 2 + 2 bytes, code 18 */
	assert_memory_equal(out + n - 10, "\0\x08\0\x0f\0\x04\0\x12no", 10);
	q.edns = false;
	n = dns_error(&q, DNS_NXDOMAIN, DNS_EDE_PROHIBITED, "no", out, sizeof(out));
	assert_int_equal(n, 12 + 21);
}

#define CNAME_RECORD "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\x05\2ww\xc0\x10"
static const char answer[] = HEADER("\x81\x80", "\1", "\3", "\0", "\0") WWW
	"\0\1\0\1" CNAME_RECORD "\xc0\x2d\0\1\0\1\0\0\0\x1e\0\4\xcb\0\x71\x0a"
	/* of somebody else: not taken */
	"\3foo\0\0\1\0\1\0\0\0\x1e\0\4\xcb\0\x71\x0b";

static void an_answer_is_followed(void **state)
{
	(void)state;
	struct dns_query q = asked();
	struct dns_answer a;
	assert_int_equal(dns_parse_answer((const uint8_t *)answer, sizeof(answer) - 1, &q, &a), 0);
	assert_int_equal(a.chain_count, 1);
	assert_string_equal(a.chain[0], "ww.example.com");
	assert_int_equal(a.address_count, 1);
	assert_memory_equal(a.addresses[0].bytes, "\xcb\0\x71\x0a", 4);
	assert_int_equal(a.ttl_s, 30);
	/* Written again it is read again. */
	uint8_t out[DNS_UDP_MAX];
	struct dns_answer b;
	size_t n = dns_write_addresses(&q, &a, out, sizeof(out));
	assert_int_equal(dns_parse_answer(out, n, &q, &b), 0);
	assert_int_equal(b.address_count, 1);
	assert_string_equal(b.chain[0], "ww.example.com");
	n = dns_write_raw(&q, &a, (const uint8_t *)answer, sizeof(answer) - 1, out, sizeof(out));
	assert_int_equal(dns_parse_answer(out, n, &q, &b), 0);
	assert_int_equal(b.answer_count, 3);
	for (size_t len = 0; len < sizeof(answer) - 1; len++)
		assert_int_equal(dns_parse_answer((const uint8_t *)answer, len, &q, &b), -EBADMSG);
}

static void an_answer_to_another_question_is_not_taken(void **state)
{
	(void)state;
	struct dns_query q = asked();
	struct dns_answer a;
	strcpy(q.name, "www.example.net");
	assert_int_equal(dns_parse_answer((const uint8_t *)answer, sizeof(answer) - 1, &q, &a),
			 -EBADMSG);
	q = asked();
	q.type = DNS_AAAA;
	assert_int_equal(dns_parse_answer((const uint8_t *)answer, sizeof(answer) - 1, &q, &a),
			 -EBADMSG);
}

static void an_alias_of_itself_ends(void **state)
{
	(void)state;
	struct dns_query q = asked();
	struct dns_answer a;
	assert_int_equal(dns_parse_answer(BYTES(HEADER("\x81\x80", "\1", "\1", "\0", "\0") WWW
						"\0\1\0\1"
						"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x0c"),
					  &q, &a),
			 -EBADMSG);
}

static void what_does_not_fit_is_left_out_and_said(void **state)
{
	(void)state;
	struct dns_query q = asked();
	struct dns_answer a = { .ttl_s = 1,
				.address_count = DNS_ADDRESSES_MAX,
				.chain_count = DNS_CHAIN_MAX };
	uint8_t out[DNS_UDP_PLAIN];
	for (unsigned i = 0; i < DNS_CHAIN_MAX; i++) {
		memset(a.chain[i], 'a', 60);
		strcpy(a.chain[i] + 60, ".example");
		a.chain[i][0] = (char)('b' + i);
	}
	for (unsigned i = 0; i < DNS_ADDRESSES_MAX; i++)
		a.addresses[i].family = AF_INET;
	size_t n = dns_write_addresses(&q, &a, out, sizeof(out));
	assert_in_range(n, 100, sizeof(out));
	assert_true(out[2] & 2); /* TC */
	struct dns_answer b;
	assert_int_equal(dns_parse_answer(out, n, &q, &b), 0);
}

static void reverse_names(void **state)
{
	(void)state;
	struct net_address a;
	assert_true(dns_reverse("10.113.0.203.in-addr.arpa", &a));
	assert_memory_equal(a.bytes, "\xcb\0\x71\x0a", 4);
	assert_true(dns_reverse(
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", &a));
	assert_memory_equal(a.bytes, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	static const char *const none[] = { "example.com",
					    "in-addr.arpa",
					    "1.2.3.in-addr.arpa",
					    "256.1.1.1.in-addr.arpa",
					    "1.2.3.4.5.in-addr.arpa",
					    "0001.2.3.4.in-addr.arpa",
					    "x.ip6.arpa",
					    "" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(dns_reverse(none[i], &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_read),
		cmocka_unit_test(names_that_no_policy_can_mean_are_marked),
		cmocka_unit_test(what_is_not_well_formed),
		cmocka_unit_test(a_refusal_says_why),
		cmocka_unit_test(an_answer_is_followed),
		cmocka_unit_test(an_answer_to_another_question_is_not_taken),
		cmocka_unit_test(an_alias_of_itself_ends),
		cmocka_unit_test(what_does_not_fit_is_left_out_and_said),
		cmocka_unit_test(reverse_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
