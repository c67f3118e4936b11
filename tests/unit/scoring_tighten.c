/* A project's policy narrows and never widens: over random policies and random actions. */
#include "tests/unit/scoring_actions.h"

#include <stdio.h>

#include "policies/policy.h"
#include "scoring/judge.h"

static uint32_t seed = 20261122;

static uint32_t random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

#define PICK(list) ((list)[random_u32() % (sizeof(list) / sizeof((list)[0]))])

static const char *const patterns[] = { "/w/**",  "/w/src/*", "/etc/**", "*.env",  "/h/me/.ssh/**",
					"prod.*", "/usr/**",  "**",      "/tmp/**" };
static const char *const paths[] = {
	"/w/a",         "/w/src/b.c",   "/etc/passwd", "/w/x.env", "/h/me/.ssh/id_rsa",
	"/w/prod.yaml", "/usr/bin/env", "/tmp/t",      "/opt/x"
};
static const char *const hosts[] = { "example.com", "*.example.com", "10.0.0.0/8", "*" };
static const char *const places[] = { "example.com:443", "a.example.com:80", "10.1.2.3:22" };

/* A policy text of random members, any of which may be missing. */
static void random_policy(char *text, size_t size)
{
	static const char *const modes[] = { "alert", "pause", "rollback", "observe" };
	static const char *const nets[] = { "none", "allowlist", "host" };
	static const char *const types[] = { "file_read", "file_write", "file_delete",
					     "code_execution", "network_request" };
	static const char *const effects[] = { "block", "pause", "allow" };
	static const char *const lists[] = { "allowed_resources", "allowed_read", "allowed_write",
					     "blocked_resources", "spawn_allowed" };
	size_t n = (size_t)snprintf(text, size, "{\"mode\":\"%s\"", PICK(modes));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (random_u32() % 3 == 0)
			n += (size_t)snprintf(text + n, size - n, ",\"%s\":[\"%s\",\"%s\"]",
					      lists[i], PICK(patterns), PICK(patterns));
	if (random_u32() % 3 == 0)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"allowed_action_types\":[\"%s\",\"%s\"]", PICK(types),
				      PICK(types));
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n, ",\"spawn\":false");
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n, ",\"max_risk_score\":0.%u",
				      1 + random_u32() % 9);
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n, ",\"risk_threshold\":0.%u",
				      1 + random_u32() % 9);
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"network\":{\"mode\":\"%s\",\"allow_hosts\":[\"%s\"],"
				      "\"block_hosts\":[\"%s\"]}",
				      PICK(nets), PICK(hosts), PICK(hosts));
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"filesystem\":{\"hide\":[\"%s\"],\"ambient\":[\"%s\"]}",
				      PICK(patterns), PICK(patterns));
	if (random_u32() % 2)
		n += (size_t)snprintf(text + n, size - n,
				      ",\"rules\":[{\"name\":\"r\",\"resource_pattern\":\"%s\","
				      "\"effect\":\"%s\",\"priority\":%u}]",
				      PICK(patterns), PICK(effects), random_u32() % 10);
	snprintf(text + n, size - n, "}");
}

static struct policy *parse(const char *text, bool neutral)
{
	const struct policy_env env = { .home = "/h/me", .workspace = "/w", .neutral = neutral };
	struct policy *p;
	struct err err = { "" };
	if (policy_parse(text, strlen(text), "p.json", &env, &p, &err) < 0)
		fail_msg("%s: %s", err.text, text);
	return p;
}

static struct action random_action(void)
{
	static const enum action_op ops[] = { OP_READ, OP_WRITE, OP_DELETE };
	static const enum provenance origins[] = { PROVENANCE_SYSTEM, PROVENANCE_EXISTING,
						   PROVENANCE_CREATED };
	switch (random_u32() % 3) {
	case 0:
		return action_net(PICK(places), random_u32() % 2);
	case 1:
		return action_exec(PICK(paths), PICK(origins), "x\0-rf");
	default:
		return action_file(PICK(ops), PICK(paths), PICK(origins));
	}
}

static void test_never_more_lenient(void **state)
{
	(void)state;
	unsigned stricter = 0, both = 0;
	struct history *h = history_new();
	assert_non_null(h);
	for (unsigned round = 0; round < 4000; round++) {
		char base_text[2048], project_text[2048];
		random_policy(base_text, sizeof(base_text));
		random_policy(project_text, sizeof(project_text));
		struct policy *base = parse(base_text, false);
		struct policy *project = parse(project_text, true);
		struct policy *tight = parse(base_text, false);
		struct policy *alone = parse(project_text, true);
		assert_int_equal(policy_tighten(tight, project, NULL), 0);
		for (unsigned i = 0; i < 20; i++) {
			struct action a = random_action();
			struct decision before, after, own;
			judge(base, AGENT_RUNNING, h, &a, &before);
			judge(tight, AGENT_RUNNING, h, &a, &after);
			judge(alone, AGENT_RUNNING, h, &a, &own);
			if (after.verdict < before.verdict || after.verdict < own.verdict)
				fail_msg("%s %s: %u, alone %u and %u\n%s\n%s",
					 action_type_name(a.type), a.resource, after.verdict,
					 before.verdict, own.verdict, base_text, project_text);
			/* nor stricter than both, but for what the box itself takes away */
			bool boxed = alone->hide.count || a.type == ACTION_NETWORK_REQUEST;
			if (!boxed)
				assert_true(after.verdict == before.verdict ||
					    after.verdict == own.verdict);
			if (after.verdict >= VERDICT_PAUSE)
				assert_true(after.deny_errno > 0);
			assert_true(!after.ambient || before.ambient);
			stricter += after.verdict > before.verdict;
			both += after.verdict == before.verdict;
		}
		policy_free(base);
		policy_free(tight);
		policy_free(alone);
	}
	/* the property would hold of nothing as well */
	assert_true(stricter > 1000 && both > 1000);
	history_free(h);
}

static void test_what_is_not_said_narrows_nothing(void **state)
{
	(void)state;
	struct history *h = history_new();
	for (unsigned round = 0; round < 500; round++) {
		char text[2048];
		random_policy(text, sizeof(text));
		struct policy *base = parse(text, false), *tight = parse(text, false);
		assert_int_equal(policy_tighten(tight, parse("{}", true), NULL), 0);
		for (unsigned i = 0; i < 20; i++) {
			struct action a = random_action();
			struct decision before, after;
			judge(base, AGENT_RUNNING, h, &a, &before);
			judge(tight, AGENT_RUNNING, h, &a, &after);
			assert_int_equal(before.verdict, after.verdict);
			assert_int_equal(before.reason, after.reason);
			assert_int_equal(before.ambient, after.ambient);
		}
		assert_int_equal(base->net, tight->net);
		assert_int_equal(base->workspace, tight->workspace);
		assert_int_equal(base->on_exit, tight->on_exit);
		assert_memory_equal(&base->limits, &tight->limits, sizeof(base->limits));
		assert_int_equal(base->monitors.cpu, tight->monitors.cpu);
		policy_free(base);
		policy_free(tight);
	}
	history_free(h);
}

static struct policy *tightened(const char *base, const char *project)
{
	struct policy *p = parse(base, false);
	assert_int_equal(policy_tighten(p, parse(project, true), NULL), 0);
	return p;
}

static void test_the_box_takes_the_stricter_value(void **state)
{
	(void)state;
	struct policy *p = tightened(
		"{\"network\":{\"mode\":\"host\"},\"filesystem\":{\"workspace\":\"direct\"},"
		"\"limits\":{\"memory\":\"1G\",\"pids\":10},\"on_exit\":\"commit\"}",
		"{\"network\":{\"allow_hosts\":[\"a.example\"]},\"filesystem\":{\"workspace\":"
		"\"read-only\"},\"limits\":{\"memory\":\"2G\",\"pids\":5,\"wall_seconds\":60},"
		"\"on_exit\":\"discard\",\"monitors\":{\"cpu\":{\"percent\":50}}}");
	assert_int_equal(p->net, NET_ALLOWLIST);
	assert_int_equal(p->workspace, WORKSPACE_READ_ONLY);
	assert_int_equal(p->limits.memory_bytes, UINT64_C(1) << 30);
	assert_int_equal(p->limits.pids, 5);
	assert_int_equal(p->limits.wall_seconds, 60);
	assert_int_equal(p->on_exit,
			 ON_EXIT_KEEP); /* not even a project drops a person's changes */
	policy_free(p);
	p = tightened("{\"network\":{\"mode\":\"none\"},\"on_exit\":\"keep\"}",
		      "{\"network\":{\"mode\":\"host\"},\"on_exit\":\"commit\","
		      "\"filesystem\":{\"workspace\":\"direct\"}}");
	assert_int_equal(p->net, NET_NONE);
	assert_int_equal(p->on_exit, ON_EXIT_KEEP);
	assert_int_equal(p->workspace, WORKSPACE_OVERLAY);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_more_lenient),
		cmocka_unit_test(test_what_is_not_said_narrows_nothing),
		cmocka_unit_test(test_the_box_takes_the_stricter_value),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
