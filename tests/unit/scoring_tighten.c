/* A project's policy narrows and never widens: over random policies and random actions. */
#include "tests/unit/scoring_policies.h"

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
		"\"pause\":\"tree\",\"on_exit\":\"discard\",\"monitors\":{\"cpu\":{\"percent\":50}}"
		"}");
	assert_int_equal(p->net, NET_ALLOWLIST);
	assert_int_equal(p->pause, PAUSE_TREE);
	assert_int_equal(p->workspace, WORKSPACE_READ_ONLY);
	assert_int_equal(p->limits.memory_bytes, UINT64_C(1) << 30);
	assert_int_equal(p->limits.pids, 5);
	assert_int_equal(p->limits.wall_seconds, 60);
	assert_int_equal(p->on_exit,
			 ON_EXIT_KEEP); /* not even a project drops a person's changes */
	policy_free(p);
	p = tightened("{\"network\":{\"mode\":\"none\"},\"pause\":\"tree\",\"on_exit\":\"keep\"}",
		      "{\"network\":{\"mode\":\"host\"},\"on_exit\":\"commit\","
		      "\"filesystem\":{\"workspace\":\"direct\"}}");
	assert_int_equal(p->net, NET_NONE);
	assert_int_equal(p->pause, PAUSE_TREE);
	assert_int_equal(p->on_exit, ON_EXIT_KEEP);
	assert_int_equal(p->workspace, WORKSPACE_OVERLAY);
	policy_free(p);
}

static enum verdict judged(const struct policy *p, enum action_type type, enum action_op op,
			   const char *resource)
{
	struct history *h = history_new();
	struct decision d;
	struct action a = { .type = type, .op = op, .resource = resource, .program = "" };
	judge(p, AGENT_RUNNING, h, &a, &d);
	history_free(h);
	return d.verdict;
}

static void test_a_profile_beside_a_running_session(void **state)
{
	(void)state;
	struct policy *base = parse("{\"filesystem\":{\"ambient\":[\"/usr/**\"]},\"network\":{"
				    "\"allow_hosts\":[\"api.example\"]}}",
				    false);
	struct policy *p = parse("{\"allowed_resources\":[\"/tmp/*\"],\"blocked_resources\":"
				 "[\"/usr/secret\"]}",
				 true);
	assert_int_equal(judged(p, ACTION_FILE_READ, OP_READ, "/usr/lib/libc.so"), VERDICT_BLOCK);
	policy_stand_beside(p, base);
	assert_int_equal(judged(p, ACTION_FILE_READ, OP_READ, "/usr/lib/libc.so"), VERDICT_ALLOW);
	assert_int_equal(judged(p, ACTION_FILE_READ, OP_READ, "/usr/secret"), VERDICT_BLOCK);
	assert_int_equal(judged(p, ACTION_FILE_WRITE, OP_WRITE, "/usr/lib/x"), VERDICT_BLOCK);
	assert_int_equal(judged(p, ACTION_FILE_READ, OP_READ, "/etc/passwd"), VERDICT_BLOCK);
	assert_int_equal(judged(p, ACTION_FILE_WRITE, OP_WRITE, "/tmp/x"), VERDICT_ALLOW);
	policy_free(p);
	/* an API call begins with a connection, to where the session's own policy lets it go */
	p = parse("{\"allowed_action_types\":[\"api_call\"]}", true);
	policy_stand_beside(p, base);
	assert_int_equal(judged(p, ACTION_NETWORK_REQUEST, OP_CONNECT, "api.example:443"),
			 VERDICT_ALLOW);
	assert_int_equal(judged(p, ACTION_NETWORK_REQUEST, OP_CONNECT, "other.example:443"),
			 VERDICT_BLOCK);
	assert_int_equal(judged(p, ACTION_FILE_READ, OP_READ, "/usr/lib/libc.so"), VERDICT_BLOCK);
	policy_free(p);
	policy_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_more_lenient),
		cmocka_unit_test(test_what_is_not_said_narrows_nothing),
		cmocka_unit_test(test_the_box_takes_the_stricter_value),
		cmocka_unit_test(test_a_profile_beside_a_running_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
