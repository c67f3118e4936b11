/* Host patterns: names, addresses, networks, ports, and the notations that try to slip by. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policies/pattern.h"

static void hosts_match(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *host;
		uint16_t port;
		bool hit;
	} cases[] = {
		{ "api.openai.com", "api.openai.com", 443, true },
		{ "API.OpenAI.com.", "api.openai.com", 443, true },
		{ "api.openai.com", "api.openai.com.", 443, true },
		{ "api.openai.com", "API.OPENAI.COM", 443, true },
		{ "api.openai.com", "xapi.openai.com", 443, false },
		{ "api.openai.com:443", "api.openai.com", 443, true },
		{ "api.openai.com:443", "api.openai.com", 80, false },
		{ "*.example.com", "a.b.example.com", 1, true },
		{ "*.example.com", "example.com", 1, false },
		{ "*.example.com", "badexample.com", 1, false },
		{ "*.example.com", ".example.com", 1, false },
		{ "*.example.com:22", "a.example.com", 22, true },
		{ "*.example.com:22", "a.example.com", 23, false },
		{ "*", "anything", 1, true },
		{ "*", "10.0.0.1", 1, true },
		{ "*:443", "10.0.0.1", 80, false },
		{ "10.0.0.0/8", "10.255.0.1", 1, true },
		{ "10.0.0.0/8", "11.0.0.1", 1, false },
		{ "10.0.0.0/8:80", "10.1.1.1", 80, true },
		{ "10.0.0.0/8:80", "10.1.1.1", 81, false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", 1, true },
		{ "10.0.0.0/8", "[::ffff:a01:203]", 1, true },
		{ "::ffff:10.1.2.3", "10.1.2.3", 1, true },
		{ "::ffff:10.0.0.0/104", "10.9.9.9", 1, true },
		{ "172.16.0.0/12", "172.31.255.255", 1, true },
		{ "172.16.0.0/12", "172.32.0.0", 1, false },
		{ "0.0.0.0/0", "8.8.8.8", 1, true },
		{ "0.0.0.0/0", "2001:db8::1", 1, false },
		{ "::/0", "2001:db8::1", 1, true },
		{ "::/0", "8.8.8.8", 1, false },
		{ "127.0.0.1", "2130706433", 1, true },
		{ "127.0.0.0/8", "0x7f000001", 1, true },
		{ "127.0.0.0/8", "127.1", 1, true },
		{ "127.0.0.0/8", "0177.0.0.1", 1, true },
		{ "169.254.169.254", "0xa9fea9fe", 80, true },
		{ "2001:db8::1", "2001:db8:0:0::1", 1, true },
		{ "2001:db8::/32", "2001:db8:ffff::", 1, true },
		{ "[2001:db8::1]:443", "2001:db8::1", 443, true },
		{ "[2001:db8::1]:443", "[2001:db8::1]", 80, false },
		{ "[2001:db8::/32]:443", "2001:db8::9", 443, true },
		{ "[2001:db8::]/32:443", "2001:db8::9", 443, true },
		{ "[fe80::]/10", "fe80::1%eth0", 1, true },
		{ "1.2.3.4", "1.2.3.4.example.com", 1, false },
		{ "*.3.com", "1.2.3.4", 1, false },
		{ "example.com", "", 1, false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pattern p;
		struct err err = { "" };
		if (pattern_compile_host(cases[i].pattern, &p, &err))
			fail_msg("%s", err.text);
		if (pattern_matches_host(&p, cases[i].host, cases[i].port) != cases[i].hit)
			fail_msg("\"%s\" on %s:%u should be %d", cases[i].pattern, cases[i].host,
				 (unsigned)cases[i].port, cases[i].hit);
	}
}

static void bad_hosts_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "a host is empty" },
		{ "https://x.com", "\"https://x.com\": write the host alone, without its scheme" },
		{ "10.0.0.0/33", "\"10.0.0.0/33\": the prefix length is no number from 0 to 32" },
		{ "10.0.0.1/8", "\"10.0.0.1/8\": 10.0.0.1 has bits beyond its prefix of 8" },
		{ "10.0.0.0/", "\"10.0.0.0/\": the prefix length is no number from 0 to 32" },
		{ "10.0.0.0/8/9", "\"10.0.0.0/8/9\": the prefix length is no number from 0 to 32" },
		{ "10.0.0", "\"10.0.0\" is no address" },
		{ "300.0.0.1", "\"300.0.0.1\" is no address" },
		{ "x.com/8", "\"x.com/8\" is no address with a prefix length, as in 10.0.0.0/8" },
		{ "[::1", "\"[::1\": a '[' has no ']'" },
		{ "[::1]x", "\"[::1]x\": what follows ']' is no :port" },
		{ "[x]", "\"[x]\" is no address" },
		{ "x.com:0", "\"x.com:0\": the port is no number from 1 to 65535" },
		{ "x.com:70000", "\"x.com:70000\": the port is no number from 1 to 65535" },
		{ "a.*.com", "\"a.*.com\": a '*' stands only first, as in *.example.com" },
		{ "a..com", "\"a..com\" is no host name: a label is empty or long" },
		{ "a b", "\"a b\" is no host name" },
		{ "*.", "\"*.\" is no host name" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pattern p;
		struct err err = { "" };
		assert_int_equal(pattern_compile_host(bad[i].text, &p, &err), -EINVAL);
		assert_string_equal(err.text, bad[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_match),
		cmocka_unit_test(bad_hosts_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
