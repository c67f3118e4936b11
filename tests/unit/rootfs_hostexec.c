/* What the host would run by itself, by name, by content and by where a link leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rootfs/hostexec.h"

static void names_that_are_run(void **state)
{
	(void)state;
	static const char *const run[] = {
		"/w/.git/hooks/pre-commit",
		"/w/sub/.git/hooks/post-checkout",
		"/w/.github/workflows/ci.yml",
		"/w/.gitlab-ci.yml",
		"/w/Jenkinsfile",
		"/w/.envrc",
		"/w/deep/er/.envrc",
		"/w/.vscode/tasks.json",
		"/w/.claude/settings.json",
		"/w/.claude/commands/a/b.md",
		"/w/AGENTS.md",
		"/w/tests/conftest.py",
		"/w/.npmrc",
		"/home/u/.bashrc",
		"/home/u/.config/autostart/x.desktop",
		"/home/u/.ssh/authorized_keys",
		"/home/u/.local/bin/ls",
		"/home/u/bin/ls",
		"/etc/cron.d/x",
		"/var/spool/cron/crontabs/root",
		"/usr/local/bin/x",
		"/w/venv/lib/python3.11/site-packages/x.pth",
	};
	static const char *const not_run[] = {
		"/w/src/main.c",
		"/w/Makefile",
		"/w/README.md",
		"/w/git/hooks/x",
		"/w/envrc",
		"/w/x.envrc",
		"/w/.github/CODEOWNERS",
		"/w/agents.md",
		"/w/my-conftest.py.txt",
		"/home/u/project/bin/x",
		"/w/.gitignore",
		"/w/notes/Jenkinsfile.txt",
		"/w/.git/objects/ab/cdef",
		"/w/vscode/tasks.json",
	};
	for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
		if (!hostexec_path(run[i], "/home/u"))
			fail_msg("%s is not listed", run[i]);
	for (size_t i = 0; i < sizeof(not_run) / sizeof(not_run[0]); i++)
		if (hostexec_path(not_run[i], "/home/u"))
			fail_msg("%s is listed", not_run[i]);
}

static bool runs(const char *path, const char *text, const char *before)
{
	char key[64];
	return hostexec_content(path, text, before, key, sizeof(key));
}

static void keys_of_git_that_run_programs(void **state)
{
	(void)state;
	static const char path[] = "/w/.git/config";
	assert_true(hostexec_by_content(path));
	assert_true(hostexec_by_content("/w/.git/modules/x/config"));
	assert_false(hostexec_by_content("/w/config"));
	assert_false(runs(path, "[user]\n\tname = x\n", ""));
	assert_true(runs(path, "[core]\n\tfsmonitor = ./x\n", ""));
	assert_true(runs(path, "[core]\n\tHooksPath=h\n", ""));
	assert_true(runs(path, "[core] sshCommand = x\n", ""));
	assert_true(runs(path, "[alias]\n\tst = !sh\n", ""));
	assert_false(runs(path, "[alias]\n\tst = status\n", ""));
	assert_true(runs(path, "[include]\n\tpath = x\n", ""));
	assert_true(runs(path, "[filter \"lfs\"]\n\tsmudge = x\n", ""));
	assert_true(runs(path, "[diff \"x\"]\n\ttextconv = x\n", ""));
	/* what was there before is the person's own */
	assert_false(runs(path, "[core]\n\tpager = less\n[user]\n\tname = y\n",
			  "[core]\n\tpager = less\n"));
	assert_true(runs(path, "[core]\n\tpager = evil\n", "[core]\n\tpager = less\n"));
	assert_false(runs(path, "# core.pager = x\n", ""));
}

static void scripts_of_packages(void **state)
{
	(void)state;
	static const char path[] = "/w/package.json";
	assert_true(hostexec_by_content(path));
	assert_false(runs(path, "{\n \"name\": \"x\"\n}\n", ""));
	assert_true(runs(path, "{\n \"scripts\": {\n  \"test\": \"x\"\n }\n}\n", ""));
	assert_true(runs(path, "{\n \"scripts\": {\n  \"test\": \"evil\"\n }\n}\n",
			 "{\n \"scripts\": {\n  \"test\": \"x\"\n }\n}\n"));
	assert_false(runs(path,
			  "{\n \"version\": \"2\",\n \"scripts\": {\n  \"test\": \"x\"\n }\n}\n",
			  "{\n \"version\": \"1\",\n \"scripts\": {\n  \"test\": \"x\"\n }\n}\n"));
}

static void links_that_lead_out(void **state)
{
	(void)state;
	assert_non_null(hostexec_link("/w/l", "/etc/passwd", "/w"));
	assert_non_null(hostexec_link("/w/l", "../x", "/w"));
	assert_non_null(hostexec_link("/w/a/l", "../../x", "/w"));
	assert_non_null(hostexec_link("/w/a/l", "b/../../../x", "/w"));
	assert_null(hostexec_link("/w/a/l", "../x", "/w"));
	assert_null(hostexec_link("/w/l", "a/../x", "/w"));
	assert_null(hostexec_link("/w/node_modules/.bin/x", "../x/cli.js", "/w"));
	assert_null(hostexec_link("/elsewhere/l", "../x", "/w"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_are_run),
		cmocka_unit_test(keys_of_git_that_run_programs),
		cmocka_unit_test(scripts_of_packages),
		cmocka_unit_test(links_that_lead_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
