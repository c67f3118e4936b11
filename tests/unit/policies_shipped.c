/* Each shipped policy keeps the promise it opens with: action -> allowed or not, and why not. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "policies/policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const dirs[] = { "policies", NULL };
static const struct policy_env env = {
	.home = "/home/u", .workspace = "/home/u/proj", .tmpdir = "/tmp", .dirs = dirs
};

enum outcome { YES, TYPE, BLOCKED, OUTSIDE, SPAWN };

static const char *const outcome_names[] = { "allowed", "type", "blocked", "outside", "spawn" };

struct promise {
	enum action_type type;
	const char *resource;
	enum outcome outcome;
};

static enum outcome outcome_of(const struct policy *p, const struct action *a)
{
	struct policy_match m;
	policy_match(p, a, &m);
	if (!m.type_allowed)
		return TYPE;
	if (m.blocked)
		return BLOCKED;
	if (!m.resource_allowed)
		return OUTSIDE;
	return m.spawn_denied ? SPAWN : YES;
}

static struct policy *load(const char *name)
{
	struct policy *p = NULL;
	struct err err = { "" };
	if (policy_load(name, &env, &p, &err))
		fail_msg("%s", err.text);
	if (policy_apply_flag(p, POLICY_FLAG_SPAWN_ALLOWED, "/opt/agent/run", &err))
		fail_msg("%s", err.text);
	return p;
}

static void keeps(const char *name, const struct promise *promises, size_t count)
{
	struct policy *p = load(name);
	for (size_t i = 0; i < count; i++) {
		struct action a = { .type = promises[i].type,
				    .resource = promises[i].resource,
				    .program = "" };
		enum outcome got = outcome_of(p, &a);
		if (got != promises[i].outcome)
			fail_msg("%s: %s %s is %s, promised %s", name, action_type_name(a.type),
				 a.resource, outcome_names[got],
				 outcome_names[promises[i].outcome]);
	}
	policy_free(p);
}

#define READ   ACTION_FILE_READ
#define WRITE  ACTION_FILE_WRITE
#define DELETE ACTION_FILE_DELETE
#define EXEC   ACTION_CODE_EXECUTION
#define NET    ACTION_NETWORK_REQUEST
#define API    ACTION_API_CALL
#define QUERY  ACTION_DATABASE_QUERY

/* Never readable, whatever the policy; and what must stay readable for any program to live. */
static const struct promise common[] = {
	{ READ, "/home/u/.ssh/id_ed25519", BLOCKED },
	{ READ, "/home/u/.ssh", BLOCKED },
	{ READ, "/home/u/.aws/credentials", BLOCKED },
	{ READ, "/home/u/.netrc", BLOCKED },
	{ READ, "/home/u/.npmrc", BLOCKED },
	{ READ, "/home/u/.gnupg/private-keys-v1.d/x", BLOCKED },
	{ READ, "/home/u/proj/.env", BLOCKED },
	{ READ, "/home/u/proj/server.key", BLOCKED },
	{ READ, "/home/u/proj/cert.pem", BLOCKED },
	{ READ, "/home/u/proj/prod.yaml", BLOCKED },
	{ READ, "/etc/shadow", BLOCKED },
	{ READ, "/etc/shadow-", BLOCKED },
	{ READ, "/etc/ssl/private/x.crt", BLOCKED },
	{ READ, "/etc/ssh/ssh_host_rsa_key", BLOCKED },
	{ READ, "/run/secrets/token", BLOCKED },
	{ READ, "/etc/ssl/certs/ISRG_Root_X1.pem", YES },
	{ READ, "/etc/ssl/certs/ca-certificates.crt", YES },
	{ READ, "/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt", YES },
	{ READ, "/usr/lib/python3/dist-packages/certifi/cacert.pem", YES },
	{ READ, "/usr/lib/python3.11/test/keycert.pem", YES },
	{ READ, "/usr/lib/ssl/private/host.key", BLOCKED },
	{ READ, "/usr/lib/x86_64-linux-gnu/libc.so.6", YES },
	{ READ, "/etc/ld.so.cache", YES },
	{ READ, "/etc/passwd", YES },
	{ READ, "/etc/resolv.conf", YES },
	{ READ, "/proc/12/maps", YES },
	{ READ, "/dev/urandom", YES },
	{ EXEC, "/opt/agent/run", YES },
};

static const char *const names[] = { "data-pipeline",
				     "coding-agent",
				     "customer-support",
				     "research-agent",
				     "hipaa-agent",
				     "strict",
				     "dev",
				     "ci" };

static void all_block_secrets_and_let_programs_live(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++)
		keeps(names[i], common, COUNT(common));
}

static void data_pipeline(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ READ, "/data/readonly/a.csv", YES },
		{ READ, "/data/other/a.csv", OUTSIDE },
		{ READ, "/home/u/proj/agent.py", YES },
		{ READ, "/home/u/Documents/x", OUTSIDE },
		{ WRITE, "/tmp/x", YES },
		{ WRITE, "/home/u/proj/output/x", YES },
		{ WRITE, "/home/u/proj/agent.py", OUTSIDE },
		{ WRITE, "/data/readonly/a.csv", OUTSIDE },
		{ DELETE, "/tmp/x", TYPE },
		{ READ, "/etc/fstab", OUTSIDE },
		{ QUERY, "postgresql://db.internal/x", OUTSIDE },
		{ API, "https://api.openai.com/v1", OUTSIDE },
		{ NET, "example.com:443", TYPE },
		{ EXEC, "/usr/bin/curl", SPAWN },
		{ ACTION_DATABASE_WRITE, "orders", TYPE },
	};
	keeps("data-pipeline", promises, COUNT(promises));
}

static void coding_agent(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ READ, "/home/u/proj/src/main.c", YES },
		{ WRITE, "/home/u/proj/src/main.c", YES },
		{ DELETE, "/home/u/proj/src/main.c", YES },
		{ WRITE, "/tmp/cc1.s", YES },
		{ WRITE, "/tmp/tmpce2mu73tcacert.pem", YES }, /* python -m venv */
		{ WRITE, "/dev/null", YES },
		{ WRITE, "/dev/pts/3", YES },
		{ WRITE, "/home/u/.cache/pip/x", YES },
		{ WRITE, "/home/u/.bashrc", OUTSIDE },
		{ WRITE, "/home/u/.local/bin/x", OUTSIDE },
		{ WRITE, "/usr/bin/gcc", OUTSIDE },
		{ WRITE, "/etc/passwd", OUTSIDE },
		{ READ, "/home/u/Documents/x", OUTSIDE },
		{ READ, "/home/u/.gitconfig", YES },
		{ READ, "/home/u/.config/git/config", YES },
		{ READ, "/home/u/.config/rclone/rclone.conf", OUTSIDE },
		{ READ, "/home/u/.pyenv/versions/3.11/lib/python3.11/os.py", YES },
		{ READ, "/home/u/.vimrc", YES },
		{ READ, "/etc/apt/sources.list", YES },
		{ EXEC, "/usr/bin/gcc", YES },
		{ EXEC, "/usr/bin/git", YES },
		{ EXEC, "/home/u/.nvm/versions/node/v20/bin/node", YES },
		{ EXEC, "/home/u/proj/node_modules/.bin/tsc", YES },
		{ EXEC, "/tmp/conftest", YES },
		{ NET, "registry.npmjs.org:443", YES },
		{ NET, "github.com:22", YES },
		{ NET, "127.0.0.1:3000", YES },
		{ NET, "[::1]:3000", YES },
		{ NET, "/tmp/tmux-0/default", YES },
		{ NET, "example.com:443", OUTSIDE },
		{ NET, "203.0.113.5:443", OUTSIDE },
		{ NET, "prod.github.com:443", BLOCKED },
	};
	keeps("coding-agent", promises, COUNT(promises));
}

static void customer_support(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ READ, "/data/customers/1.json", YES },
		{ READ, "/data/payroll/1.json", OUTSIDE },
		{ WRITE, "/data/customers/1.json", TYPE },
		{ API, "https://api.openai.com/v1/chat", YES },
		{ API, "https://api.openai.com.evil.com/", OUTSIDE },
		{ API, "https://api.openai.com@evil.com/", OUTSIDE },
		{ API, "crm.internal", YES },
		{ QUERY, "postgresql://crm.internal:5432/crm", YES },
		{ QUERY, "postgresql://elsewhere:5432/crm", OUTSIDE },
		{ NET, "crm.internal:5432", YES },
		{ NET, "example.com:443", TYPE },
		{ EXEC, "/usr/bin/curl", SPAWN },
	};
	keeps("customer-support", promises, COUNT(promises));
}

static void research_agent(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ NET, "en.wikipedia.org:443", YES },
		{ NET, "8.8.8.8:443", YES },
		{ NET, "[2606:4700::1]:443", YES },
		{ NET, "169.254.169.254:80", BLOCKED },
		{ NET, "[::ffff:169.254.169.254]:80", BLOCKED },
		{ NET, "[64:ff9b::a9fe:a9fe]:80", BLOCKED },
		{ API, "http://2852039166/latest/meta-data", BLOCKED },
		{ API, "http://metadata.google.internal/", BLOCKED },
		{ API, "http://0x7f.1:8080/", BLOCKED },
		{ NET, "10.1.2.3:22", BLOCKED },
		{ NET, "172.20.0.1:22", BLOCKED },
		{ NET, "192.168.1.1:80", BLOCKED },
		{ NET, "[fd00::1]:80", BLOCKED },
		{ NET, "[fe80::1]:80", BLOCKED },
		{ NET, "localhost:5432", BLOCKED },
		{ WRITE, "/research/notes.md", YES },
		{ WRITE, "/tmp/x", YES },
		{ WRITE, "/home/u/proj/x", OUTSIDE },
		{ DELETE, "/research/notes.md", TYPE },
		{ EXEC, "/bin/sh", SPAWN },
	};
	keeps("research-agent", promises, COUNT(promises));
}

static void hipaa_agent(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ READ, "/data/deidentified/a.csv", YES },
		{ READ, "/reports/readonly/a.pdf", YES },
		{ READ, "/data/phi/a.csv", BLOCKED },
		{ READ, "/data/phi", BLOCKED },
		{ QUERY, "patients.identified.names", BLOCKED },
		{ QUERY, "postgresql://ehr.internal/ehr", YES },
		{ API, "https://api.internal/v1", YES },
		{ API, "https://api.openai.com/v1", OUTSIDE },
		{ WRITE, "/tmp/x", TYPE },
		{ EXEC, "/usr/bin/python3", SPAWN },
	};
	keeps("hipaa-agent", promises, COUNT(promises));
}

static void strict(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ READ, "/home/u/proj/x", YES }, /* though homes are closed */
		{ READ, "/home/u/.bashrc", OUTSIDE },
		{ READ, "/home/v/x", OUTSIDE },
		{ READ, "/root/x", OUTSIDE },
		{ READ, "/etc/fstab", OUTSIDE },
		{ READ, "/usr/include/stdio.h", YES },
		{ WRITE, "/tmp/x", YES },
		{ WRITE, "/home/u/proj/x", OUTSIDE },
		{ WRITE, "/usr/lib/x", OUTSIDE },
		{ DELETE, "/tmp/x", TYPE },
		{ EXEC, "/usr/bin/gcc", YES },
		{ EXEC, "/tmp/x", SPAWN },
		{ EXEC, "/home/u/proj/x", SPAWN },
		{ NET, "example.com:443", TYPE },
		{ API, "https://example.com/", TYPE },
	};
	keeps("strict", promises, COUNT(promises));
}

/* An interpreter of a closed home loads its own libraries and nothing else there. */
static void strict_runs_an_agent_from_a_home(void **state)
{
	(void)state;
	struct policy *p = load("strict");
	static const struct promise promises[] = {
		{ EXEC, "/home/u/.pyenv/versions/3.11/bin/python3.11", YES },
		{ READ, "/home/u/.pyenv/versions/3.11/bin/python3.11", YES },
		{ READ, "/home/u/.pyenv/versions/3.11/lib/python3.11/os.py", YES },
		{ READ, "/home/u/.pyenv/versions/3.11/etc/x", OUTSIDE },
		{ EXEC, "/home/u/.pyenv/versions/3.11/bin/pip", OUTSIDE },
		{ WRITE, "/home/u/.pyenv/versions/3.11/lib/x", OUTSIDE },
	};
	assert_int_equal(
		policy_apply_flag(p, POLICY_FLAG_SPAWN_ALLOWED, promises[0].resource, NULL), 0);
	for (size_t i = 0; i < COUNT(promises); i++) {
		struct action a = { .type = promises[i].type,
				    .resource = promises[i].resource,
				    .program = "" };
		assert_int_equal(outcome_of(p, &a), promises[i].outcome);
	}
	policy_free(p);
}

static void dev_and_ci(void **state)
{
	(void)state;
	static const struct promise promises[] = {
		{ READ, "/home/v/anything", YES },
		{ WRITE, "/etc/hosts", YES }, /* into the overlay */
		{ DELETE, "/home/u/proj/src", YES },
		{ EXEC, "/home/u/proj/build/a.out", YES },
		{ NET, "pypi.org:443", YES },
		{ NET, "example.com:443", OUTSIDE },
		{ NET, "10.0.0.1:22", OUTSIDE },
	};
	keeps("dev", promises, COUNT(promises));
	keeps("ci", promises, COUNT(promises));
	struct policy *p = load("ci");
	assert_int_equal(p->on_exit, ON_EXIT_DISCARD);
	assert_int_equal(p->mode, MODE_ALERT);
	assert_int_equal(p->workspace, WORKSPACE_OVERLAY);
	policy_free(p);
}

static void observe(void **state)
{
	(void)state;
	struct policy *p = load("observe");
	assert_int_equal(p->mode, MODE_OBSERVE);
	assert_int_equal(p->ambient.count, 0);
	static const struct promise promises[] = {
		{ READ, "/home/v/x", YES },
		{ WRITE, "/etc/hosts", YES },
		{ NET, "example.com:443", YES },
		{ READ, "/home/u/.ssh/id_rsa", BLOCKED }, /* which the mode turns into an alert */
	};
	keeps("observe", promises, COUNT(promises));
	policy_free(p);
}

static void ceilings_are_those_of_the_table(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int percent;
	} table[] = {
		{ "data-pipeline", 65 },  { "coding-agent", 75 }, { "customer-support", 60 },
		{ "research-agent", 70 }, { "hipaa-agent", 50 },  { "strict", 50 },
		{ "dev", 100 },           { "ci", 100 },          { "observe", 100 },
	};
	for (size_t i = 0; i < COUNT(table); i++) {
		struct policy *p = load(table[i].name);
		assert_string_equal(p->name, table[i].name);
		assert_int_equal((int)(p->max_risk * 100 + 0.5F), table[i].percent);
		assert_true(strlen(p->description) > 20);
		policy_free(p);
	}
}

static void a_denial_names_its_group_and_line(void **state)
{
	(void)state;
	struct policy *p = load("strict");
	struct action a = { .type = READ, .resource = "/home/u/.aws/credentials", .program = "" };
	struct policy_match m;
	policy_match(p, &a, &m);
	assert_non_null(m.blocked);
	assert_string_equal(m.blocked->name, "secrets.aws");
	assert_string_equal(m.blocked->origin.file, "policies/common/secrets.json");
	assert_true(m.blocked->origin.line > 1);
	policy_free(p);
}

/* The schema and the parser know the same keys: one table, checked from both sides. */
static struct json_object *schema_block(struct json_object *schema, const char *block)
{
	struct json_object *defs, *at;
	if (!*block)
		return json_object_object_get(schema, "properties");
	assert_true(json_object_object_get_ex(schema, "$defs", &defs));
	if (!json_object_object_get_ex(defs, block, &at))
		fail_msg("the schema has no $defs/%s", block);
	assert_false(json_object_get_boolean(json_object_object_get(at, "additionalProperties")));
	return json_object_object_get(at, "properties");
}

static void schema_and_parser_know_the_same_keys(void **state)
{
	(void)state;
	struct json_object *schema = json_object_from_file("policies/schema/policy.schema.json");
	assert_non_null(schema);
	const char *block, *name;
	unsigned keys = 0;
	for (; policy_key(keys, &block, &name); keys++)
		if (!json_object_object_get_ex(schema_block(schema, block), name, NULL))
			fail_msg("the schema lacks %s/%s", block, name);
	unsigned described = 0;
	static const char *const blocks[] = { "",       "rules",         "monitors",   "cpu",
					      "memory", "process_count", "filesystem", "network",
					      "limits", "pattern" };
	for (size_t i = 0; i < COUNT(blocks); i++)
		described += (unsigned)json_object_object_length(schema_block(schema, blocks[i]));
	assert_int_equal(described, keys);
	json_object_put(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_block_secrets_and_let_programs_live),
		cmocka_unit_test(data_pipeline),
		cmocka_unit_test(coding_agent),
		cmocka_unit_test(customer_support),
		cmocka_unit_test(research_agent),
		cmocka_unit_test(hipaa_agent),
		cmocka_unit_test(strict),
		cmocka_unit_test(strict_runs_an_agent_from_a_home),
		cmocka_unit_test(dev_and_ci),
		cmocka_unit_test(observe),
		cmocka_unit_test(ceilings_are_those_of_the_table),
		cmocka_unit_test(a_denial_names_its_group_and_line),
		cmocka_unit_test(schema_and_parser_know_the_same_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
