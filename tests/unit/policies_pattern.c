/* Path patterns: the examples of the contract, and every compiled kind against fnmatch(3). */
#include <errno.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policies/glob.h"
#include "policies/pattern.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void examples_of_the_contract_hold(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *path;
		bool hit;
	} cases[] = {
		{ "*.env", "/a/.env", true },
		{ "*.env", "/a/x.env", true },
		{ "*.env", "/a/x.environment", false },
		{ "prod.*", "/w/prod.yaml", true },
		{ "prod.*", "/w/products/x", false },
		{ "prod.*", "/w/prod.d/x/y", true },
		{ "prod.*", "prod.db.internal:5432", true },
		{ "prod.*", "https://prod.example.com/x", true },
		{ "prod.*", "/w/nonprod.yaml", false },
		{ "/dir/**", "/dir", true },
		{ "/dir/**", "/dir/a/b", true },
		{ "/dir/**", "/directory", false },
		{ "/dir/*", "/dir", false },
		{ "/dir/*", "/dir/a/b", true },
		{ ".git/hooks/**", "/w/.git/hooks", true },
		{ ".git/hooks/**", "/w/.git/hooks/pre-commit", true },
		{ ".git/hooks/**", "/w/x.git/hooks/pre-commit", false },
		{ "id_rsa", "/home/u/.ssh/id_rsa", true },
		{ "id_rsa", "/home/u/.ssh/id_rsa.pub", false },
		{ "id_rsa", "/home/u/id_rsa/x", false },
		{ "/**", "/", true },
		{ "*", "", true },
		{ "/home/*/.ssh/**", "/home/u/.ssh", true },
		{ "/home/*/.ssh/**", "/home/u/.ssh/x", true },
		{ "/w/a\\[1\\]/**", "/w/a[1]", true },
		{ "/w/a\\[1\\]/**", "/w/a[1]/x", true },
		{ "/w/a\\[1\\]/**", "/w/a1/x", false },
		{ "/x/\xff\xfe?", "/x/\xff\xfe\x80", true },
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pattern p;
		assert_int_equal(pattern_compile_path(cases[i].pattern, &p, NULL), 0);
		if (pattern_matches(&p, cases[i].path) != cases[i].hit)
			fail_msg("\"%s\" on \"%s\" should be %d", cases[i].pattern, cases[i].path,
				 cases[i].hit);
	}
}

/* The definition, spelled with fnmatch: what every compiled kind must equal. */
static bool reference(const char *pattern, const char *path)
{
	char directory[64];
	size_t len = strlen(pattern);
	bool self = len > 3 && strcmp(pattern + len - 3, "/**") == 0;
	if (self) {
		size_t slashes = 0;
		while (slashes < len - 3 && pattern[len - 4 - slashes] == '\\')
			slashes++;
		self = slashes % 2 == 0;
	}
	snprintf(directory, sizeof(directory), "%.*s", (int)(self ? len - 3 : len), pattern);
	for (const char *rest = path;;) {
		if (fnmatch(pattern, rest, 0) == 0 || (self && fnmatch(directory, rest, 0) == 0))
			return true;
		const char *slash = strchr(rest, '/');
		if (pattern[0] == '/' || !slash)
			return false;
		rest = slash + 1;
	}
}

static void random_pattern(char *out, size_t size, unsigned count)
{
	static const char *const pieces[] = { "a",   "b",     "/",    ".",    "*",    "**",
					      "/**", "/*",    "?",    "[ab]", "[!a]", "\\*",
					      "ab",  "[a-c]", "[]a]", "x.",   "/a/",  "\\\\" };
	out[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		const char *piece = pieces[(size_t)rand() % COUNT(pieces)];
		if (strlen(out) + strlen(piece) < size)
			strcat(out, piece);
	}
}

static void random_path(char *out, size_t size, unsigned count)
{
	static const char bytes[] = "aab/b/.cx*[\\";
	size_t i = 0;
	for (; i < count && i + 1 < size; i++)
		out[i] = bytes[(size_t)rand() % (sizeof(bytes) - 1)];
	out[i] = '\0';
}

static void every_kind_equals_fnmatch(void **state)
{
	(void)state;
	unsigned seen[PATTERN_HOST + 1] = { 0 }, matched[PATTERN_HOST + 1] = { 0 };
	srand(20240611);
	for (unsigned round = 0; round < 300000; round++) {
		char text[48], path[32];
		struct pattern p;
		random_pattern(text, sizeof(text), 1 + (unsigned)rand() % 5);
		if (pattern_compile_path(text, &p, NULL))
			continue;
		for (unsigned i = 0; i < 4; i++) {
			random_path(path, sizeof(path), (unsigned)rand() % 12);
			bool want = reference(text, path);
			if (pattern_matches(&p, path) != want)
				fail_msg("kind %d \"%s\" on \"%s\": fnmatch says %d", (int)p.kind,
					 text, path, want);
			seen[p.kind]++;
			matched[p.kind] += want;
		}
	}
	/* A property that was never exercised proves nothing. */
	for (int kind = PATTERN_ANY; kind < PATTERN_HOST; kind++) {
		assert_true(seen[kind] > 1000);
		assert_true(matched[kind] > 100);
	}
}

static void brackets_equal_fnmatch_on_every_byte(void **state)
{
	(void)state;
	static const char *const globs[] = {
		"[[:alpha:]]", "[[:digit:]]",   "[[:alnum:]]",     "[[:upper:]]", "[[:lower:]]",
		"[[:space:]]", "[[:blank:]]",   "[[:punct:]]",     "[[:print:]]", "[[:graph:]]",
		"[[:cntrl:]]", "[[:xdigit:]]",  "[^[:alpha:]x-z]", "[a\\]]",      "[a-]",
		"[!]-a]",      "[[:digit:]-z]", "[\\a-c]",         "[%--]",
	};
	for (size_t i = 0; i < COUNT(globs); i++) {
		const char *end = globs[i] + strlen(globs[i]);
		assert_null(glob_check(globs[i], end));
		for (int c = 1; c < 256; c++) {
			char text[2] = { (char)c, '\0' };
			bool want = fnmatch(globs[i], text, 0) == 0;
			if ((glob_match(globs[i], end, text) == GLOB_MATCH) != want)
				fail_msg("%s on byte %#x: fnmatch says %d", globs[i], (unsigned)c,
					 want);
		}
	}
}

static void usual_shapes_are_compiled(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum pattern_kind kind;
	} shapes[] = {
		{ "*", PATTERN_ANY },
		{ "**", PATTERN_ANY },
		{ "/etc/shadow", PATTERN_EXACT },
		{ "/usr/**", PATTERN_SUBTREE },
		{ "/**", PATTERN_SUBTREE },
		{ "x/**", PATTERN_SUBTREE },
		{ "id_rsa", PATTERN_NAME },
		{ ".ssh/id_rsa", PATTERN_NAME },
		{ "*.env", PATTERN_SUFFIX },
		{ "**/.env", PATTERN_SUFFIX },
		{ "prod.*", PATTERN_PREFIX },
		{ "/etc/ssh*", PATTERN_PREFIX },
		{ "/etc/ssh/*_key", PATTERN_GLOB },
	};
	for (size_t i = 0; i < COUNT(shapes); i++) {
		struct pattern p;
		assert_int_equal(pattern_compile_path(shapes[i].text, &p, NULL), 0);
		assert_int_equal(p.kind, shapes[i].kind);
	}
}

static void what_can_never_match_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "a pattern is empty" },
		{ "/a/[b", "\"/a/[b\": a '[' has no ']'" },
		{ "[]", "\"[]\": a '[' has no ']'" },
		{ "x\\", "\"x\\\": it ends in a backslash that escapes nothing" },
		{ "[[:foo:]]", "\"[[:foo:]]\": unknown character class in a '['" },
		{ "[[.a.]]", "\"[[.a.]]\": collating elements such as [.a.] are not supported" },
		{ "[z-a]", "\"[z-a]\": a range is the wrong way round" },
		{ "/data/", "\"/data/\" ends in '/': write /data, or /data/** for all below" },
		{ "/a/../b", "\"/a/../b\": paths are canonical and hold no .." },
		{ "./a", "\"./a\": paths are canonical and hold no ." },
		{ "/a//b", "\"/a//b\": paths are canonical and hold no //" },
		{ "~bob/x", "\"~bob/x\": ~ stands only for the own home, as ~/" },
	};
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct pattern p;
		struct err err = { "" };
		assert_int_equal(pattern_compile_path(bad[i].text, &p, &err), -EINVAL);
		assert_string_equal(err.text, bad[i].why);
	}
}

static void hostile_texts_take_bounded_time(void **state)
{
	(void)state;
	char path[4096];
	struct pattern p;
	for (size_t i = 0; i + 1 < sizeof(path); i++)
		path[i] = i % 2 ? 'a' : '/';
	path[sizeof(path) - 2] = '\0';
	assert_int_equal(pattern_compile_path("a*a*a*a*a*a*b", &p, NULL), 0);
	assert_false(pattern_matches(&p, path));
	assert_int_equal(pattern_compile_path("a*a?a*[a]*b/**", &p, NULL), 0);
	assert_false(pattern_matches(&p, path));
	assert_int_equal(pattern_compile_path("a*a*a*a*a*a", &p, NULL), 0);
	assert_true(pattern_matches(&p, path));
}

static void mounts_come_from_fixed_paths_only(void **state)
{
	(void)state;
	static const struct {
		const char *text, *path;
	} mounts[] = {
		{ "/a/b", "/a/b" },
		{ "/a/**", "/a" },
		{ "/a/*", "/a" },
		{ "/**", "/" },
		{ "/a\\[1\\]/**", "/a[1]" },
		{ "/a/\\*", "/a/*" },
		{ "/a*", NULL },
		{ "*.env", NULL },
		{ "a/**", NULL },
		{ "/home/*/.ssh/**", NULL },
		{ "/0123456789012345678901234567890123", NULL },
	};
	for (size_t i = 0; i < COUNT(mounts); i++) {
		struct pattern p;
		char path[32];
		assert_int_equal(pattern_compile_path(mounts[i].text, &p, NULL), 0);
		assert_int_equal(pattern_as_mount(&p, path, sizeof(path)), mounts[i].path != NULL);
		if (mounts[i].path)
			assert_string_equal(path, mounts[i].path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_contract_hold),
		cmocka_unit_test(every_kind_equals_fnmatch),
		cmocka_unit_test(brackets_equal_fnmatch_on_every_byte),
		cmocka_unit_test(usual_shapes_are_compiled),
		cmocka_unit_test(what_can_never_match_is_refused),
		cmocka_unit_test(hostile_texts_take_bounded_time),
		cmocka_unit_test(mounts_come_from_fixed_paths_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
