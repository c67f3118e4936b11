/* From touched files to patterns: what each rule makes, and that every pattern covers its paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policies/collapse.h"
#include "policies/policy.h"

static const struct collapse_env env = { .workspace = "/w/proj",
					 .tmpdir = "/tmp",
					 .home = "/h/me" };

enum { FOUND, MADE, PASSING };

static struct collapse_path path(const char *text, int life)
{
	return (struct collapse_path){ text, true, life != FOUND, life == PASSING };
}

/* Collapses one path and compares. */
static void expect(const char *text, int life, const char *pattern)
{
	struct collapse_path p = path(text, life);
	struct collapse_pattern *out;
	int n = collapse(&p, 1, &env, &out);
	assert_int_equal(n, 1);
	assert_string_equal(out[0].text, pattern);
	collapse_free(out, n);
}

static void test_plain_names_stay(void **state)
{
	(void)state;
	expect("/etc/fstab", FOUND, "/etc/fstab");
	expect("/w/proj/src/a.c", FOUND, "${WORKSPACE}/src/a.c");
	expect("/w/proj", FOUND, "${WORKSPACE}");
	expect("/w/project/x", FOUND, "/w/project/x");
	expect("/h/me/.profile", FOUND, "~/.profile");
	expect("/w/proj/COMMIT_EDITMSG", MADE, "${WORKSPACE}/COMMIT_EDITMSG");
	expect("/w/proj/config.lock", PASSING, "${WORKSPACE}/config.lock");
	expect("/w/proj/MERGE_HEAD", PASSING, "${WORKSPACE}/MERGE_HEAD");
	/* found, not made: the same the next time, whatever it looks like */
	expect("/w/proj/98ab76cd54ef", FOUND, "${WORKSPACE}/98ab76cd54ef");
}

static void test_drawn_names_are_cut(void **state)
{
	(void)state;
	expect("/tmp/ccAbC123.s", PASSING, "${TMPDIR}/cc??????.s");
	expect("/tmp/ccabcdef.s", PASSING, "${TMPDIR}/cc??????.s");
	expect("/tmp/tmpab_defgh", PASSING, "${TMPDIR}/tmp????????");
	expect("/w/proj/tmp_obj_Jf9O0M", PASSING, "${WORKSPACE}/tmp_obj_??????");
	expect("/w/proj/tN8bAo3", PASSING, "${WORKSPACE}/t??????");
	expect("/w/proj/log.31337", MADE, "${WORKSPACE}/log.*");
	expect("/w/proj/_logs/2026-11-22T10_debug-0.log", MADE, "${WORKSPACE}/_logs/*");
	expect("/w/proj/.git/objects/78/981922613b2afb6025042ff6bd878ac1994e85", MADE,
	       "${WORKSPACE}/.git/objects/78/*");
}

static void test_hash_directories_are_cut_where_they_were_made(void **state)
{
	(void)state;
	struct collapse_path p[] = {
		path("/w/proj/o/78", MADE),
		path("/w/proj/o/78/981922613b2afb6025042ff6bd878ac1994e85", MADE),
		path("/w/proj/o/c1/ab12cd34ab12cd34ab12cd34ab12cd34ab12cd", MADE),
		path("/w/proj/o/c1", MADE),
	};
	struct collapse_pattern *out;
	p[0].listed = p[3].listed = false;
	int n = collapse(p, 4, &env, &out);
	assert_int_equal(n, 1);
	assert_string_equal(out[0].text, "${WORKSPACE}/o/*");
	assert_int_equal(out[0].covered, 2);
	collapse_free(out, n);
}

static void test_versions_outside_the_workspace(void **state)
{
	(void)state;
	expect("/usr/bin/python3.11", FOUND, "/usr/bin/python*");
	expect("/opt/libx.so.1.2.3", FOUND, "/opt/libx.so.*");
	expect("/usr/lib/gcc/12/cc1", FOUND, "/usr/lib/gcc/12/cc1");
	expect("/w/proj/v1.2/x", FOUND, "${WORKSPACE}/v1.2/x");
}

static void test_special_bytes(void **state)
{
	(void)state;
	expect("/etc/a*b[c", FOUND, "/etc/a\\*b\\[c");
	expect("/etc/${HOME}", FOUND, "/etc/?{HOME}");
	expect("/etc/x\xef\xbf\xbdy", FOUND, "/etc/x*y");
}

static void many(const char *before, const char *after, int count, const char *pattern,
		 int expected)
{
	struct collapse_path p[64];
	char text[64][64];
	struct collapse_pattern *out;
	for (int i = 0; i < count; i++) {
		snprintf(text[i], sizeof(text[i]), "%s%d%s", before, i, after);
		p[i] = path(text[i], FOUND);
	}
	int n = collapse(p, (size_t)count, &env, &out);
	assert_int_equal(n, expected);
	assert_string_equal(out[0].text, pattern);
	collapse_free(out, n);
}

static void test_many_of_one_directory(void **state)
{
	(void)state;
	many("/w/proj/src/f", "", COLLAPSE_LINES + 1, "${WORKSPACE}/src/**", 1);
	many("/w/proj/src/f", "", COLLAPSE_LINES, "${WORKSPACE}/src/f0", COLLAPSE_LINES);
	many("/w/proj/d", "/f", COLLAPSE_LINES + 1, "${WORKSPACE}/**", 1);
	many("/opt/tool/d", "/f", COLLAPSE_LINES + 1, "/opt/tool/**", 1);
}

/* However many: what is not the job's own is never opened as a whole. */
static void test_spared_directories(void **state)
{
	(void)state;
	many("/h/me/f", "", 40, "~/f0", 40);
	many("/h/u", "/f", 40, "/h/u0/f", 40);
	many("/etc/f", "", 40, "/etc/f0", 40);
	many("/tmp/f", "", 40, "${TMPDIR}/f0", 40);
	many("/w/other", "", 40, "/w/other0", 40);
	many("/d", "/f", 40, "/d0/f", 40);
}

static uint32_t seed = 4711;

static uint32_t random_u32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static void random_path(char *text, size_t size)
{
	static const char *const parts[] = { "w",    "proj", "src", "tmp",          "a*",
					     "[x",   "h",    "me",  "etc",          "usr",
					     "bin",  "ab",   "78",  "x.o",          "tmp_aB3dE9",
					     "v1.2", "?",    "\\",  "981922613b2a", "${X}" };
	unsigned depth = 1 + random_u32() % 5;
	size_t at = 0;
	text[0] = '\0';
	for (unsigned i = 0; i < depth; i++)
		at += (size_t)snprintf(text + at, size - at, "/%s",
				       parts[random_u32() % (sizeof(parts) / sizeof(parts[0]))]);
}

/* The law: a policy of these patterns allows every listed path. */
static void test_every_path_is_covered(void **state)
{
	(void)state;
	const struct policy_env loading = { .home = "/h/me", .workspace = "/w/proj" };
	for (unsigned round = 0; round < 300; round++) {
		struct collapse_path p[40];
		char text[40][128], policy[16384] = "{\"allowed_read\":[", again[40][128];
		bool listed[40];
		size_t count = 1 + random_u32() % 40;
		for (size_t i = 0; i < count; i++) {
			random_path(text[i], sizeof(text[i]));
			memcpy(again[i], text[i], sizeof(again[i]));
			p[i] = path(text[i], (int)(random_u32() % 3));
			listed[i] = p[i].listed = random_u32() % 4 != 0;
		}
		struct collapse_pattern *out;
		int n = collapse(p, count, &env, &out);
		assert_true(n >= 0);
		size_t at = strlen(policy);
		for (int i = 0; i < n; i++) {
			policy[at++] = i ? ',' : ' ';
			policy[at++] = '"';
			for (const char *c = out[i].text; *c; c++) {
				if (*c == '\\')
					policy[at++] = '\\';
				policy[at++] = *c;
			}
			policy[at++] = '"';
		}
		memcpy(policy + at, "]}", 3);
		struct policy *loaded;
		struct err err = { "" };
		if (policy_parse(policy, strlen(policy), "p", &loading, &loaded, &err) < 0)
			fail_msg("%s: %s", err.text, policy);
		for (size_t i = 0; i < count; i++) {
			struct action a = { .type = ACTION_FILE_READ, .resource = again[i] };
			struct policy_match m;
			policy_match(loaded, &a, &m);
			if (listed[i] && !m.resource_allowed)
				fail_msg("%s is not covered by %s", again[i], policy);
		}
		policy_free(loaded);
		collapse_free(out, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_names_stay),
		cmocka_unit_test(test_drawn_names_are_cut),
		cmocka_unit_test(test_hash_directories_are_cut_where_they_were_made),
		cmocka_unit_test(test_versions_outside_the_workspace),
		cmocka_unit_test(test_special_bytes),
		cmocka_unit_test(test_many_of_one_directory),
		cmocka_unit_test(test_spared_directories),
		cmocka_unit_test(test_every_path_is_covered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
