/* The loader: every refusal with its exact text, extends, flags, and where values come from. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "policies/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct policy_env env = { .home = "/home/u",
				       .workspace = "/home/u/p[1]",
				       .tmpdir = "/var/tmpdir" };

static struct policy *parsed(const char *text)
{
	struct policy *p = NULL;
	struct err err = { "" };
	if (policy_parse(text, strlen(text), "f.json", &env, &p, &err))
		fail_msg("%s: %s", text, err.text);
	return p;
}

/* What is wrong with a text, and what is said of it. */
static const struct {
	const char *text, *why;
} mistakes[] = {
	{ "", "f.json:1: expected a value, found the end of the file" },
	{ "{\n\"mode\": \"alert\"\n", "f.json:3: expected ',' or '}', found the end of the file" },
	{ "[]", "f.json:1: expected an object, found a list" },
	{ "{} x", "f.json:1: trailing text after the policy: 'x'" },
	{ "{ \"name\" 1 }", "f.json:1: expected ':' after \"name\", found '1'" },
	{ "{ name: 1 }", "f.json:1: expected a key in double quotes, found 'n'" },
	{ "{ \"name\": \"a\", }", "f.json:1: a ',' has nothing after it" },
	{ "{ \"name\": \"a\n\" }", "f.json:1: a string is not closed on its line" },
	{ "{\n/* x", "f.json:2: a comment is not closed" },
	{ "/*/", "f.json:1: a comment is not closed" },
	{ "{ \"na\\u006de\": \"a\" }", "f.json:1: a key holds a backslash" },
	{ "{ \"name\": \"a\",\n\n \"name\": \"b\" }",
	  "f.json:3: /name: duplicate key; it stands on line 1 already" },
	{ "{ \"max_risk_score\": NaN }", "f.json:1: \"NaN\" is no JSON value" },
	{ "{ \"max_risk_score\": -Infinity }", "f.json:1: /max_risk_score: -Infinity is not "
					       "from 0 to 1" },
	{ "{ \"max_risk_score\": 1e999 }", "f.json:1: /max_risk_score: 1e999 is not from 0 "
					   "to 1" },
	{ "{ \"max_risk_score\": 1.5 }", "f.json:1: /max_risk_score: 1.5 is not from 0 to 1" },
	{ "{ \"max_risk_score\": \"x\" }", "f.json:1: /max_risk_score: expected a number from "
					   "0 to 1, found a string" },
	{ "{\n// c\n\"blocked_resource\": [] }", "f.json:3: /blocked_resource: unknown key; did "
						 "you mean \"blocked_resources\"?" },
	{ "{ \"zzzzzzzz\": 1 }", "f.json:1: /zzzzzzzz: unknown key" },
	{ "{ \"network\": {\n\"modes\": 1 } }", "f.json:2: /network/modes: unknown key; did you "
						"mean \"mode\"?" },
	{ "{ \"mode\": \"pauze\" }", "f.json:1: /mode: \"pauze\" is no mode (alert, pause, "
				     "rollback, observe); did you mean \"pause\"?" },
	{ "{ \"mode\": null }", "f.json:1: /mode: expected a string, found null" },
	{ "{ \"spawn\": 1 }", "f.json:1: /spawn: expected true or false, found a number" },
	{ "{ \"name\": \"a\\u0000b\" }", "f.json:1: /name: the text holds a NUL" },
	{ "{ \"on_exit\": \"drop\" }", "f.json:1: /on_exit: \"drop\" is no on_exit action (keep, "
				       "commit, discard, ask)" },
	{ "{ \"network\": { \"mode\": \"hosts\" } }",
	  "f.json:1: /network/mode: \"hosts\" is no network mode (none, allowlist, host); "
	  "did "
	  "you mean \"host\"?" },
	{ "{ \"allowed_action_types\": [ \"file_reed\" ] }",
	  "f.json:1: /allowed_action_types/0: \"file_reed\" is no action type; did you "
	  "mean "
	  "\"file_read\"?" },
	{ "{ \"blocked_resources\": [ \"a\",\n \"[b\" ] }",
	  "f.json:2: /blocked_resources/1: \"[b\": a '[' has no ']'" },
	{ "{ \"blocked_resources\": \"a\" }", "f.json:1: /blocked_resources: expected a list of "
					      "patterns, found a string" },
	{ "{ \"blocked_resources\": [ 1 ] }",
	  "f.json:1: /blocked_resources/0: expected a pattern, found a number" },
	{ "{ \"blocked_resources\": [ { \"name\": \"x\" } ] }",
	  "f.json:1: /blocked_resources/0: a group needs \"name\" and \"patterns\"" },
	{ "{ \"blocked_resources\": [ { \"nam\": \"x\" } ] }",
	  "f.json:1: /blocked_resources/0/nam: unknown key; did you mean \"name\"?" },
	{ "{ \"blocked_resources\": [ \"${WORKSPAC}/x\" ] }",
	  "f.json:1: /blocked_resources/0: ${WORKSPAC} is not one of ${WORKSPACE}, "
	  "${TMPDIR}, "
	  "${HOME}" },
	{ "{ \"blocked_resources\": [ \"${HOME\" ] }",
	  "f.json:1: /blocked_resources/0: a ${ has no }" },
	{ "{ \"blocked_except\": [ \"/etc/shadow\" ] }",
	  "f.json:1: /blocked_except/0: \"/etc/shadow\" is no place of public CA "
	  "certificates" },
	{ "{ \"network\": { \"allow_hosts\": [ \"10.0.0.1/8\" ] } }",
	  "f.json:1: /network/allow_hosts/0: \"10.0.0.1/8\": 10.0.0.1 has bits beyond its "
	  "prefix "
	  "of 8" },
	{ "{ \"network\": { \"host_ports\": [ 0 ] } }",
	  "f.json:1: /network/host_ports/0: expected a port from 1 to 65535" },
	{ "{ \"limits\": { \"memory\": \"2X\" } }",
	  "f.json:1: /limits/memory: \"2X\" is no size, as in 512M or 2G" },
	{ "{ \"limits\": { \"pids\": 1.5 } }", "f.json:1: /limits/pids: 1.5 is no whole number" },
	{ "{ \"max_actions_per_minute\": 0 }",
	  "f.json:1: /max_actions_per_minute: 0 is not from 1 to 1000000000" },
	{ "{ \"max_actions_per_minute\": { \"file_rea\": 1 } }",
	  "f.json:1: /max_actions_per_minute/file_rea: \"file_rea\" is no action type; did "
	  "you "
	  "mean \"file_read\"?" },
	{ "{ \"monitors\": { \"cpu\": 3 } }",
	  "f.json:1: /monitors/cpu: expected true, false or an object, found a number" },
	{ "{ \"monitors\": { \"cpu\": { \"percents\": 3 } } }",
	  "f.json:1: /monitors/cpu/percents: unknown key; did you mean \"percent\"?" },
	{ "{ \"rules\": [ {} ] }", "f.json:1: /rules/0: a rule needs \"name\"" },
	{ "{ \"rules\": [\n{ \"name\": \"a\", \"resource_pattern\": \"x\" } ] }",
	  "f.json:2: /rules/0: a rule needs \"effect\"" },
	{ "{ \"rules\": [ { \"name\": \"a\", \"resource_pattern\": \"x\",\n\"effect\": "
	  "\"deny\" } ] "
	  "}",
	  "f.json:2: /rules/0/effect: \"deny\" is no effect (block, pause, allow)" },
	{ "{ \"rules\": [ { \"name\": \"a\", \"resource_pattern\": \"x\", \"effect\": "
	  "\"block\", "
	  "\"time_start\": \"24:00\" } ] }",
	  "f.json:1: /rules/0/time_start: \"24:00\" is no time of day from 00:00 to "
	  "23:59" },
	{ "{ \"rules\": [ { \"name\": \"a\", \"resource_pattern\": \"x\", \"effect\": "
	  "\"block\", "
	  "\"time_start\": \"23:00\" } ] }",
	  "f.json:1: /rules/0: a rule has time_start and time_end, or neither" },
	{ "{ \"rules\": [ { \"name\": \"a\", \"resource_pattern\": \"x\", \"effect\": "
	  "\"block\", "
	  "\"days_allowed\": [ \"mo\" ] } ] }",
	  "f.json:1: /rules/0/days_allowed/0: \"mo\" is no day (monday … sunday, or mon … "
	  "sun)" },
	{ "{ \"extends\": [ \"nowhere\" ] }",
	  "f.json:1: /extends/0: no policy \"nowhere\"; see \"vsandbox policy list\"" },
	{ "[[[[[[[[[[[[[[1]]]]]]]]]]]]]]", "f.json:1: nested deeper than 12 levels" },
};

static void every_error_names_file_line_and_pointer(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(mistakes); i++) {
		struct policy *p = NULL;
		struct err err = { "" };
		int rc = policy_parse(mistakes[i].text, strlen(mistakes[i].text), "f.json", &env,
				      &p, &err);
		if (rc >= 0)
			fail_msg("accepted: %s", mistakes[i].text);
		assert_string_equal(err.text, mistakes[i].why);
		assert_null(p);
	}
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	(void)state;
	static const char nul[] = "{ \"name\": \"a\" }\0";
	struct policy *p;
	struct err err;
	assert_int_equal(policy_parse(nul, sizeof(nul) - 1, "f.json", &env, &p, &err), -EINVAL);
	assert_string_equal(err.text, "f.json:1: trailing text after the policy: byte 0x00");
	static const char utf8[] = "{\n\"name\": \"\xff\" }";
	assert_int_equal(policy_parse(utf8, sizeof(utf8) - 1, "f.json", &env, &p, &err), -EINVAL);
	assert_non_null(strstr(err.text, "f.json:2: "));
	size_t len = (1 << 20) + 1;
	char *large = malloc(len);
	assert_non_null(large);
	memset(large, ' ', len);
	assert_int_equal(policy_parse(large, len, "f.json", &env, &p, &err), -EINVAL);
	assert_string_equal(err.text, "f.json: larger than 1 MiB");
	free(large);
}

static void absent_keys_have_their_defaults(void **state)
{
	(void)state;
	struct policy *p = parsed("{}");
	assert_string_equal(p->name, "f");
	assert_int_equal(p->mode, MODE_ALERT);
	assert_int_equal(p->rate_general, 60);
	assert_true(p->max_risk >= 1.0F);
	assert_int_equal((int)(p->risk_threshold * 100 + 0.5F), 70);
	assert_int_equal(p->rollback_limit, 5);
	assert_false(p->allowed.present);
	assert_false(p->allow_hosts.present);
	assert_false(p->allowed_types_present);
	assert_true(p->spawn);
	assert_true(p->monitors.memory);
	assert_int_equal(p->monitors.memory_bytes, UINT64_C(2) << 30);
	assert_int_equal(p->on_exit, ON_EXIT_KEEP);
	policy_free(p);
	policy_free(NULL);
}

static void every_value_arrives(void **state)
{
	(void)state;
	struct policy *p = parsed(
		"\xef\xbb\xbf// comment\n{ \"name\": \"n\", \"description\": \"a // b /* c */\",\n"
		"\"mode\": \"rollback\", \"allowed_action_types\": [\"file_read\", \"api_call\"],\n"
		"\"blocked_resources\": [ \"~/x\", \"${WORKSPACE}/**\",\n"
		"  { \"name\": \"g\", \"patterns\": [\n \"${TMPDIR}\" ] } ],\n"
		"\"max_actions_per_minute\": { \"any\": 100, \"file_read\": 500 },\n"
		"\"max_risk_score\": 0.5, \"risk_threshold\": 1, \"rollback_limit\": 7,\n"
		"\"monitors\": { \"network\": false, \"cpu\": { \"percent\": 50, \"seconds\": 2.5 "
		"},\n"
		"  \"memory\": false }, \"filesystem\": { \"workspace\": \"read-only\",\n"
		"  \"hide\": [ \"/h\" ], \"read_only\": [ \"/r\" ], \"direct\": [ \"/d\" ], "
		"\"ambient\": [ \"/usr/**\" ] "
		"},\n"
		"\"network\": { \"mode\": \"host\", \"database_tls\": \"whole\", \"host_ports\": [ "
		"80, 80, 443 ], \"publish\": "
		"[ 1, \"8080:80\", \"1:1\" ], \"allow_unix\": [ \"/run/a.sock\" ],\n"
		"  \"handover\": [ \"a.example:443\" ] },\n"
		"\"limits\": { \"memory\": \"2G\", \"pids\": 10, \"cpu\": 1.5, \"open_files\": 9,\n"
		"  \"wall_seconds\": 60 }, \"on_exit\": \"ask\" /* the end */ }");
	assert_string_equal(p->description, "a // b /* c */");
	assert_int_equal(p->mode, MODE_ROLLBACK);
	assert_int_equal(p->allowed_types, 1U << ACTION_FILE_READ | 1U << ACTION_API_CALL);
	assert_int_equal(p->blocked.count, 3);
	assert_string_equal(p->blocked.items[0].pattern.text, "/home/u/x");
	assert_string_equal(p->blocked.items[1].pattern.text, "/home/u/p\\[1]/**");
	assert_true(pattern_matches(&p->blocked.items[1].pattern, "/home/u/p[1]/a"));
	assert_string_equal(p->blocked.items[2].pattern.text, "/var/tmpdir");
	assert_string_equal(p->blocked.items[2].name, "g");
	assert_int_equal(p->blocked.items[2].origin.line, 6);
	assert_string_equal(p->blocked.items[2].origin.file, "f.json");
	assert_int_equal(p->rate_general, 100);
	assert_int_equal(p->rate_per_minute[ACTION_FILE_READ], 500);
	assert_false(p->monitors.network);
	assert_true(p->monitors.cpu);
	assert_int_equal((int)p->monitors.cpu_percent, 50);
	assert_false(p->monitors.memory);
	assert_int_equal(p->workspace, WORKSPACE_READ_ONLY);
	assert_int_equal(p->net, NET_HOST);
	assert_int_equal(p->database_tls, DATABASE_TLS_WHOLE);
	assert_int_equal(p->host_port_count, 2);
	assert_int_equal(p->publish_count, 2);
	assert_int_equal(p->publish[0].inside, 1);
	assert_int_equal(p->publish[1].host, 8080);
	assert_int_equal(p->publish[1].inside, 80);
	assert_string_equal(p->allow_unix.items[0].pattern.text, "/run/a.sock");
	assert_int_equal(p->handover.count, 1);
	const struct action to_a = { .type = ACTION_NETWORK_REQUEST,
				     .op = OP_CONNECT,
				     .resource = "a.example:443",
				     .address = "192.0.2.1",
				     .port = 443 };
	struct action to_b = to_a;
	to_b.resource = "b.example:443";
	assert_true(policy_hands_over(p, &to_a));
	assert_false(policy_hands_over(p, &to_b));
	assert_int_equal(p->limits.memory_bytes, UINT64_C(2) << 30);
	assert_int_equal(p->limits.wall_seconds, 60);
	assert_int_equal(p->on_exit, ON_EXIT_ASK);
	policy_free(p);
}

/* A directory of policies of its own for each test that needs files. */
static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/vsandbox-policies.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	return system(command);
}

static void write_file(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int load(const char *name, struct policy **ret, struct err *err)
{
	const char *const dirs[] = { dir, NULL };
	struct policy_env e = env;
	e.dirs = dirs;
	return policy_load(name, &e, ret, err);
}

static void extends_appends_lists_and_overrides_scalars(void **state)
{
	(void)state;
	struct policy *p = NULL;
	struct err err = { "" };
	write_file("part.json", "{ \"blocked_resources\": [ \"*.shared\" ] }");
	write_file("base.json", "{ \"extends\": [ \"part.json\" ], \"mode\": \"pause\", "
				"\"blocked_resources\": [ \"*.key\" ], \"max_risk_score\": 0.5 }");
	write_file("mine.json",
		   "{\n\"blocked_resources\": [ \"*.mine\" ], \"max_risk_score\": 0.9,\n"
		   "\"extends\": [ \"part\", \"base\" ] }");
	if (load("mine", &p, &err))
		fail_msg("%s", err.text);
	assert_string_equal(p->name, "mine");
	assert_int_equal(p->mode, MODE_PAUSE);
	assert_int_equal((int)(p->max_risk * 10 + 0.5F), 9);
	assert_int_equal(p->blocked.count, 3); /* the shared part counts once */
	assert_string_equal(p->blocked.items[0].pattern.text, "*.shared");
	assert_string_equal(p->blocked.items[1].pattern.text, "*.key");
	assert_string_equal(p->blocked.items[2].pattern.text, "*.mine");
	assert_non_null(strstr(p->blocked.items[1].origin.file, "/base.json"));
	policy_free(p);
}

static void a_loop_is_refused(void **state)
{
	(void)state;
	struct policy *p = NULL;
	struct err err = { "" };
	char want[128];
	write_file("a.json", "{ \"extends\": [ \"b\" ] }");
	write_file("b.json", "{\n \"extends\": [ \"./a.json\" ] }");
	assert_int_equal(load("a", &p, &err), -ELOOP);
	snprintf(want, sizeof(want), "%s/b.json:2: /extends/0: \"./a.json\" extends itself", dir);
	assert_string_equal(err.text, want);
	assert_null(p);
}

static void an_unknown_policy_is_named_with_its_nearest(void **state)
{
	(void)state;
	struct policy *p = NULL;
	struct err err = { "" };
	write_file("strict.json", "{}");
	assert_int_equal(load("stirct", &p, &err), -ENOENT);
	assert_string_equal(
		err.text,
		"no policy \"stirct\"; did you mean \"strict\"? See \"vsandbox policy list\"");
	assert_int_equal(load("/nowhere/x.json", &p, &err), -ENOENT);
	assert_int_equal(load("", &p, &err), -ENOENT);
	char fifo[128];
	snprintf(fifo, sizeof(fifo), "%s/fifo.json", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(load("fifo", &p, &err), -EINVAL); /* and does not hang */
	assert_non_null(strstr(err.text, "not a regular file"));
}

static void an_inherited_block_stands_before_any_exception(void **state)
{
	(void)state;
	struct policy *p = NULL;
	struct err err = { "" };
	write_file("b.json",
		   "{ \"rules\": [ { \"name\": \"block\", \"resource_pattern\": \"/x/**\", "
		   "\"effect\": \"block\", \"priority\": 1 } ] }");
	write_file("c.json",
		   "{ \"extends\": [ \"b\" ], \"rules\": [ { \"name\": \"mine\", "
		   "\"resource_pattern\": \"/x/y\", \"effect\": \"allow\", \"priority\": 99 } ] }");
	if (load("c", &p, &err))
		fail_msg("%s", err.text);
	assert_string_equal(p->rules[0].name, "block");
	assert_string_equal(p->rules[1].name, "mine");
	policy_free(p);
}

static void flags_change_what_they_name(void **state)
{
	(void)state;
	struct policy *p = parsed("{ \"filesystem\": { \"ambient\": [ \"/usr/**\" ] } }");
	struct err err = { "" };
	static const struct {
		enum policy_flag flag;
		const char *value;
	} good[] = {
		{ POLICY_FLAG_ALLOW, "${WORKSPACE}/**" },
		{ POLICY_FLAG_BLOCK, "*.bad" },
		{ POLICY_FLAG_ALLOW_HOSTS, "a.com" },
		{ POLICY_FLAG_BLOCK_HOSTS, "10.0.0.0/8" },
		{ POLICY_FLAG_MAX_RISK, "0.25" },
		{ POLICY_FLAG_MODE, "observe" },
		{ POLICY_FLAG_NET, "none" },
		{ POLICY_FLAG_ON_EXIT, "discard" },
		{ POLICY_FLAG_WORKSPACE, "direct" },
		{ POLICY_FLAG_MEM, "512M" },
		{ POLICY_FLAG_CPU, "1.5" },
		{ POLICY_FLAG_PIDS, "64" },
		{ POLICY_FLAG_TIMEOUT, "30m" },
		{ POLICY_FLAG_SPAWN_ALLOWED, "/opt/a[1]" },
		{ POLICY_FLAG_HOST_PORT, "5432" },
		{ POLICY_FLAG_PUBLISH, "8080" },
	};
	for (size_t i = 0; i < COUNT(good); i++)
		if (policy_apply_flag(p, good[i].flag, good[i].value, &err))
			fail_msg("%s", err.text);
	assert_true(p->allowed.present);
	assert_string_equal(p->allowed.items[0].origin.file, "command line");
	assert_string_equal(p->allowed_read.items[0].pattern.text,
			    "/usr/**"); /* it must still load */
	assert_int_equal(p->mode, MODE_OBSERVE);
	assert_int_equal(p->net, NET_NONE);
	assert_int_equal(p->limits.memory_bytes, 512 << 20);
	assert_int_equal(p->limits.wall_seconds, 1800);
	assert_int_equal(p->limits.pids, 64);
	assert_true(pattern_matches(&p->spawn_allowed.items[0].pattern, "/opt/a[1]"));
	assert_int_equal(p->host_ports[0], 5432);
	assert_int_equal(p->publish[0].host, 8080);
	assert_int_equal(p->publish[0].inside, 8080);
	static const struct {
		enum policy_flag flag;
		const char *value, *why;
	} bad[] = {
		{ POLICY_FLAG_ALLOW, "/a/",
		  "--allow: \"/a/\" ends in '/': write /a, or /a/** for all "
		  "below" },
		{ POLICY_FLAG_MAX_RISK, "2", "--max-risk: \"2\" is no number from 0 to 1" },
		{ POLICY_FLAG_MODE, "stop",
		  "--mode: \"stop\" is no mode (alert, pause, rollback, "
		  "observe)" },
		{ POLICY_FLAG_MEM, "lots", "--mem: \"lots\" is no size, as in 512M or 2G" },
		{ POLICY_FLAG_TIMEOUT, "-1", "--timeout: \"-1\" is no time, as in 90s, 30m or 2h" },
		{ POLICY_FLAG_PUBLISH, "0", "--publish: \"0\" is no port from 1 to 65535" },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(policy_apply_flag(p, bad[i].flag, bad[i].value, &err), -EINVAL);
		assert_string_equal(err.text, bad[i].why);
	}
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_names_file_line_and_pointer),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(absent_keys_have_their_defaults),
		cmocka_unit_test(every_value_arrives),
		cmocka_unit_test_setup_teardown(extends_appends_lists_and_overrides_scalars,
						make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_loop_is_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(an_unknown_policy_is_named_with_its_nearest,
						make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(an_inherited_block_stands_before_any_exception,
						make_dir, remove_dir),
		cmocka_unit_test(flags_change_what_they_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
