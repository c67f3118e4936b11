/* An upper made by hand against a lower made by hand: no mount, no privilege. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "rootfs/upper.h"

static char base[] = "/tmp/vsandbox-upper-XXXXXX";
static char seen[8192];

static int note(const struct change *c, void *arg)
{
	const char *prefix = arg;
	static const char letters[CHANGE_KIND_COUNT] = "AMD";
	size_t len = strlen(seen);
	assert_true(strncmp(c->path, prefix, strlen(prefix)) == 0);
	assert_int_equal(c->upper != NULL, c->kind != CHANGE_DELETED);
	assert_int_equal(c->lower != NULL, c->kind != CHANGE_ADDED);
	snprintf(seen + len, sizeof(seen) - len, "%c%s%s\n", letters[c->kind],
		 c->kind == CHANGE_MODIFIED && !c->content ? "m " : " ", c->path + strlen(prefix));
	return 0;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	/* one time for all, so that only what a test changes differs */
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){ { 1, 0 }, { 1, 0 } }, 0),
			 0);
}

static int setup(void **state)
{
	(void)state;
	umask(022);
	strcpy(base + strlen(base) - 6, "XXXXXX");
	if (!mkdtemp(base) || chdir(base) < 0)
		return -1;
	mkdir("lower", 0755);
	mkdir("layers", 0755);
	mkdir("layers/0", 0755);
	mkdir("layers/0/upper", 0755);
	seen[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", base, base);
	return system(command);
}

static void walk(const char *expected)
{
	static struct overlay o;
	char lower[64];
	snprintf(lower, sizeof(lower), "%s/lower", base);
	o = (struct overlay){ .count = 1, .rootful = geteuid() == 0, .detached_fd = -1 };
	o.layers[0].mount = strdup(lower);
	o.layers[0].lower = strdup(lower);
	o.layers[0].mount_fd = -1;
	o.layers[0].upper_fd = open("layers/0/upper", O_PATH | O_DIRECTORY);
	struct err err = { 0 };
	assert_int_equal(upper_walk(&o, note, lower, &err), 0);
	assert_string_equal(seen, expected);
	overlay_finish(&o);
}

static void mark(const char *path, const char *key, const char *value)
{
	if (setxattr(path, key, value, strlen(value), 0) < 0 && errno == ENOTSUP)
		skip(); /* no user xattrs in /tmp */
}

static void additions_and_contents(void **state)
{
	(void)state;
	put("lower/same", "x");
	put("lower/longer", "x");
	put("lower/other", "abc");
	put("lower/touched", "abc");
	put("lower/mode", "abc");
	put("layers/0/upper/same", "x");
	put("layers/0/upper/longer", "xx");
	put("layers/0/upper/other", "abd");
	put("layers/0/upper/touched", "abc");
	put("layers/0/upper/mode", "abc");
	put("layers/0/upper/new", "n");
	chmod("layers/0/upper/mode", 0600);
	utimensat(AT_FDCWD, "layers/0/upper/touched", (struct timespec[]){ { 2, 0 }, { 2, 0 } }, 0);
	mkdir("layers/0/upper/dir", 0755);
	put("layers/0/upper/dir/new", "n");
	walk("A /dir\nA /dir/new\nM /longer\nMm /mode\nA /new\nM /other\nMm /touched\n");
}

static void directories_copied_up_are_no_change(void **state)
{
	(void)state;
	mkdir("lower/d", 0755);
	mkdir("lower/e", 0755);
	put("lower/d/f", "1");
	mkdir("layers/0/upper/d", 0755);
	mkdir("layers/0/upper/e", 0700);
	put("layers/0/upper/d/f", "2");
	walk("M /d/f\nMm /e\n");
}

static void whiteouts_list_all_that_is_gone(void **state)
{
	(void)state;
	mkdir("lower/d", 0755);
	mkdir("lower/d/sub", 0755);
	put("lower/d/sub/f", "1");
	put("lower/d/z", "1");
	put("lower/f", "1");
	put("layers/0/upper/d", "");
	mark("layers/0/upper/d", "user.overlay.whiteout", "");
	put("layers/0/upper/f", "");
	mark("layers/0/upper/f", "user.overlay.whiteout", "");
	put("layers/0/upper/never-was", "");
	mark("layers/0/upper/never-was", "user.overlay.whiteout", "");
	walk("D /d\nD /d/sub\nD /d/sub/f\nD /d/z\nD /f\n");
}

static void device_whiteouts_are_known(void **state)
{
	(void)state;
	put("lower/f", "1");
	if (mknod("layers/0/upper/f", S_IFCHR, 0) < 0)
		skip(); /* not root, before Linux 5.8 */
	walk("D /f\n");
}

static void opaque_directories_hide_what_was_there(void **state)
{
	(void)state;
	mkdir("lower/d", 0755);
	put("lower/d/a", "1");
	put("lower/d/b", "1");
	put("lower/d/c", "1");
	mkdir("layers/0/upper/d", 0755);
	mark("layers/0/upper/d", "user.overlay.opaque", "y");
	put("layers/0/upper/d/b", "2");
	put("layers/0/upper/d/d", "2");
	walk("D /d/a\nM /d/b\nD /d/c\nA /d/d\n");
}

static void types_and_links(void **state)
{
	(void)state;
	mkdir("lower/was-dir", 0755);
	put("lower/was-dir/f", "1");
	put("lower/was-file", "1");
	assert_int_equal(symlink("one", "lower/link"), 0);
	put("layers/0/upper/was-dir", "1");
	mkdir("layers/0/upper/was-file", 0755);
	put("layers/0/upper/was-file/f", "1");
	assert_int_equal(symlink("two", "layers/0/upper/link"), 0);
	walk("M /link\nM /was-dir\nD /was-dir/f\nM /was-file\nA /was-file/f\n");
}

static void attributes_count(void **state)
{
	(void)state;
	put("lower/f", "1");
	put("lower/g", "1");
	put("layers/0/upper/f", "1");
	put("layers/0/upper/g", "1");
	mark("layers/0/upper/f", "user.note", "x");
	mark("layers/0/upper/g", "user.overlay.origin", "x");
	walk("Mm /f\n");
}

static void locked_directories_are_walked_and_left_locked(void **state)
{
	(void)state;
	struct stat st;
	mkdir("layers/0/upper/locked", 0755);
	put("layers/0/upper/locked/f", "1");
	chmod("layers/0/upper/locked", 0);
	walk("A /locked\nA /locked/f\n");
	assert_int_equal(stat("layers/0/upper/locked", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0);
}

static void the_plan_survives_a_file(void **state)
{
	(void)state;
	static struct overlay o, back;
	struct err err = { 0 };
	o = (struct overlay){ .count = 2, .rootful = true, .detached_fd = -1 };
	o.layers[0] = (struct overlay_layer){
		.mount = strdup("/"), .lower = strdup("/"), .upper_fd = -1, .mount_fd = -1
	};
	o.layers[1] = (struct overlay_layer){ .mount = strdup("/a \"b\"\n"),
					      .lower = strdup("/x"),
					      .upper_fd = -1,
					      .mount_fd = -1,
					      .index = 7 };
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	assert_int_equal(overlay_save(&o, dir, &err), 0);
	assert_int_equal(overlay_load(dir, &back, &err), 0);
	assert_true(back.rootful);
	assert_int_equal(back.count, 2);
	assert_string_equal(back.layers[1].mount, "/a \"b\"\n");
	assert_string_equal(back.layers[1].lower, "/x");
	assert_int_equal(back.layers[1].index, 7);
	assert_true(back.layers[0].upper_fd >= 0);
	assert_int_equal(back.layers[1].upper_fd, -1);
	overlay_finish(&o);
	overlay_finish(&back);
	put("layers.json", "{\"version\":1,\"rootful\":true,\"layers\":[{\"mount\":\"x\"}]}");
	assert_int_equal(overlay_load(dir, &back, &err), -EBADMSG);
	put("layers.json", "[");
	assert_int_equal(overlay_load(dir, &back, &err), -EBADMSG);
	close(dir);
}

static void discard_takes_locked_directories_along(void **state)
{
	(void)state;
	struct err err = { 0 };
	mkdir("layers/0/work", 0755);
	mkdir("layers/0/work/work", 0);
	mkdir("layers/0/upper/d", 0755);
	put("layers/0/upper/d/f", "1");
	chmod("layers/0/upper/d", 0500);
	assert_int_equal(symlink("/etc", "layers/0/upper/link"), 0);
	int dir = open(".", O_RDONLY | O_DIRECTORY);
	assert_int_equal(overlay_discard(dir, &err), 0);
	assert_int_equal(access("layers", F_OK), -1);
	assert_int_equal(overlay_discard(dir, &err), 0);
	close(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(additions_and_contents),
		TEST(directories_copied_up_are_no_change),
		TEST(whiteouts_list_all_that_is_gone),
		TEST(device_whiteouts_are_known),
		TEST(opaque_directories_hide_what_was_there),
		TEST(types_and_links),
		TEST(attributes_count),
		TEST(locked_directories_are_walked_and_left_locked),
		TEST(the_plan_survives_a_file),
		TEST(discard_takes_locked_directories_along),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
