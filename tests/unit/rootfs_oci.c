/* Image JSON, tag and platform choice, and names of tar entries: no archive is read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rootfs/oci.h"
#include "rootfs/unpack.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct oci_index ix;

static int index_of(const char *text, struct err *err)
{
	return oci_index_parse(text, strlen(text), &ix, err);
}

static void digests(void **state)
{
	(void)state;
	assert_true(oci_digest_valid("sha256:" A64));
	assert_false(oci_digest_valid("sha256:" A64 "a"));
	assert_false(oci_digest_valid("sha256:../../../../../../../../../../etc/passwd"));
	assert_false(oci_digest_valid("sha512:" A64));
	assert_false(oci_digest_valid(""));
}

static void an_index_chooses_by_tag_then_platform(void **state)
{
	struct err err = { "" };
	(void)state;
	assert_int_equal(
		index_of("{\"manifests\":["
			 "{\"digest\":\"sha256:" A64 "\",\"size\":1,\"platform\":{\"os\":\"linux\","
			 "\"architecture\":\"amd64\"},\"annotations\":"
			 "{\"org.opencontainers.image.ref.name\":\"v1\"}},"
			 "{\"digest\":\"sha256:" B64 "\",\"size\":2,\"platform\":{\"os\":\"linux\","
			 "\"architecture\":\"arm64\"}}]}",
			 &err),
		0);
	assert_int_equal(ix.count, 2);
	const struct oci_reference *r = oci_index_choose(&ix, "v1", &err);
	assert_non_null(r);
	assert_string_equal(r->descriptor.digest, "sha256:" A64);
	assert_non_null(oci_index_choose(&ix, NULL, &err)); /* one of them is for this machine */
	assert_null(oci_index_choose(&ix, "v2", &err));
	assert_string_equal(err.text, "the image index has no 'v2'; it has: v1, (unnamed)");
}

static void damaged_json_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"manifests\":{}}",
		"{\"manifests\":[1]}",
		"{\"manifests\":[{\"digest\":\"sha256:" A64 "\"}]}",
		"{\"manifests\":[{\"digest\":\"sha256:" A64 "\",\"size\":-1}]}",
		"{\"manifests\":[{\"digest\":\"" A64 "\",\"size\":1}]}",
		"{\"manifests\":[]} x",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { "" };
		assert_int_equal(index_of(bad[i], &err), -EBADMSG);
		assert_string_not_equal(err.text, "");
	}
}

static void a_config_gives_command_and_environment(void **state)
{
	static const char text[] =
		"{\"config\":{\"Env\":[\"A=b\"],\"Cmd\":[\"x\",\"y\"],\"Entrypoint\":null,"
		"\"WorkingDir\":\"/w\",\"User\":\"7\"},\"rootfs\":{\"diff_ids\":[\"sha256:" A64
		"\"]}}";
	struct oci_config c;
	struct err err = { "" };
	(void)state;
	assert_int_equal(oci_config_parse(text, strlen(text), &c, &err), 0);
	assert_string_equal(c.env[0], "A=b");
	assert_null(c.env[1]);
	assert_null(c.entrypoint);
	assert_string_equal(c.cmd[1], "y");
	assert_string_equal(c.working_dir, "/w");
	assert_string_equal(c.user, "7");
	assert_string_equal(c.diff_ids[0], "sha256:" A64);
	oci_config_finish(&c);
	static const char *const bad[] = {
		"{\"rootfs\":{\"diff_ids\":[\"none\"]}}",
		"{\"config\":{\"Env\":[\"A\\u0000B=c\"]},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"Cmd\":[1]},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{\"WorkingDir\":\"relative\"},\"rootfs\":{\"diff_ids\":[]}}",
		"{\"config\":{}}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(oci_config_parse(bad[i], strlen(bad[i]), &c, &err), -EBADMSG);
}

static void a_docker_tag_is_what_people_say(void **state)
{
	static const char text[] =
		"[{\"Config\":\"c.json\",\"RepoTags\":[\"docker.io/library/t:1\"],"
		"\"Layers\":[\"l.tar\"]},{\"Config\":\"d.json\",\"Layers\":[]}]";
	struct oci_docker d;
	struct err err = { "" };
	(void)state;
	assert_int_equal(oci_docker_parse(text, strlen(text), "t:1", &d, &err), 0);
	assert_string_equal(d.config, "c.json");
	assert_string_equal(d.layers[0], "l.tar");
	oci_docker_finish(&d);
	assert_int_equal(oci_docker_parse(text, strlen(text), "rary/t:1", &d, &err), -ENOENT);
	assert_int_equal(oci_docker_parse(text, strlen(text), NULL, &d, &err), -EINVAL);
}

static const struct unpack_limits limits = { .path_len = 40, .depth = 4 };

static void names_are_cleaned_or_refused(void **state)
{
	static const char *const good[][2] = {
		{ "./a//b/./c/", "a/b/c" },
		{ "./", "" },
		{ "a...", "a..." },
		{ "..a/b..", "..a/b.." },
	};
	static const char *const bad[] = {
		"/a",   "..",        "a/../b",
		"a/..", "1/2/3/4/5", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	};
	char out[64];
	struct err err;
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(unpack_name_clean(good[i][0], &limits, out, sizeof(out), &err), 0);
		assert_string_equal(out, good[i][1]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(unpack_name_clean(bad[i], &limits, out, sizeof(out), &err),
				 -EBADMSG);
}

static void marks_are_told_from_names(void **state)
{
	static const struct {
		enum unpack_kind kind;
		const char *in, *out; /* out NULL: refused */
		enum unpack_name name;
	} cases[] = {
		{ UNPACK_IMAGE, "a/.wh.b", "a/b", UNPACK_NAME_WHITEOUT },
		{ UNPACK_IMAGE, "a/.wh..wh..opq", "a/.wh..opq", UNPACK_NAME_OPAQUE },
		{ UNPACK_IMAGE, "a/.wh...", NULL, 0 },
		{ UNPACK_IMAGE, ".wh..", NULL, 0 },
		{ UNPACK_IMAGE, ".wh.", NULL, 0 },
		{ UNPACK_IMAGE, ".wh..wh.aufs", NULL, 0 },
		{ UNPACK_IMAGE, UNPACK_NAME_ESCAPE "x", UNPACK_NAME_ESCAPE "x", UNPACK_NAME_PLAIN },
		{ UNPACK_UPPER, "a/" UNPACK_NAME_ESCAPE ".wh.b", "a/.wh.b", UNPACK_NAME_PLAIN },
		{ UNPACK_UPPER, UNPACK_NAME_ESCAPE ".wh.d/x", ".wh.d/x", UNPACK_NAME_PLAIN },
		{ UNPACK_UPPER, UNPACK_NAME_ESCAPE UNPACK_NAME_ESCAPE "x", UNPACK_NAME_ESCAPE "x",
		  UNPACK_NAME_PLAIN },
		{ UNPACK_UPPER, ".wh.d/x", NULL, 0 },
		{ UNPACK_UPPER, "a/" UNPACK_NAME_ESCAPE, NULL, 0 },
		{ UNPACK_UPPER, "a/" UNPACK_NAME_ESCAPE ".", NULL, 0 },
		{ UNPACK_UPPER, UNPACK_NAME_ESCAPE "../x", NULL, 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[128];
		enum unpack_name name = UNPACK_NAME_PLAIN;
		struct err err;
		snprintf(path, sizeof(path), "%s", cases[i].in);
		int rc = unpack_name_real(cases[i].kind, path, &name, &err);
		assert_int_equal(rc, cases[i].out ? 0 : -EBADMSG);
		if (!cases[i].out)
			continue;
		assert_int_equal(name, cases[i].name);
		assert_string_equal(path, cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests),
		cmocka_unit_test(an_index_chooses_by_tag_then_platform),
		cmocka_unit_test(damaged_json_is_refused),
		cmocka_unit_test(a_config_gives_command_and_environment),
		cmocka_unit_test(a_docker_tag_is_what_people_say),
		cmocka_unit_test(names_are_cleaned_or_refused),
		cmocka_unit_test(marks_are_told_from_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
