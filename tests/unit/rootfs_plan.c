/* mountinfo and the questions the plan asks of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/path.h"
#include "rootfs/overlay_plan.h"

static void mountinfo_is_parsed(void **state)
{
	(void)state;
	struct mount_table t = { 0 };
	const char *text =
		"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
		"31 27 8:1 /sub /mnt/a\\040b rw,nosuid shared:5 master:2 - xfs /dev/sdb rw\n"
		"32 27 7:1 / /snap/core ro,nodev - squashfs /dev/loop0 ro\n"
		"33 27 0:40 / /mnt/back\\134slash rw - tmpfs none ro,size=4k\n";
	assert_int_equal(mount_table_parse(text, &t), 0);
	assert_int_equal(t.count, 4);
	assert_string_equal(t.items[0].path, "/");
	assert_string_equal(t.items[0].fstype, "ext4");
	assert_false(t.items[0].read_only);
	assert_string_equal(t.items[1].path, "/mnt/a b");
	assert_string_equal(t.items[1].fstype, "xfs");
	assert_int_equal(t.items[1].id, 31);
	assert_true(t.items[2].read_only);
	assert_string_equal(t.items[3].path, "/mnt/back\\slash");
	assert_true(t.items[3].read_only);
	mount_table_finish(&t);
	assert_int_equal(t.count, 0);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"27\n",
		"27 1 254:0 / / rw,relatime ext4 /dev/vda rw\n", /* no dash */
		"x 1 254:0 / / rw - ext4 /dev/vda rw\n",
		"27 x 254:0 / / rw - ext4 /dev/vda rw\n",
		"27 1 254:0 / relative rw - ext4 /dev/vda rw\n",
		"27 1 254:0 / / rw -\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mount_table t = { 0 };
		assert_int_equal(mount_table_parse(bad[i], &t), -EBADMSG);
		assert_null(t.items);
	}
}

static void paths_are_compared_by_component(void **state)
{
	(void)state;
	assert_true(path_is_within("/a/b", "/a"));
	assert_true(path_is_within("/a", "/a"));
	assert_true(path_is_within("/a", "/"));
	assert_false(path_is_within("/ab", "/a"));
	assert_false(path_is_within("/", "/a"));
	assert_true(path_is_fresh("/run/user/1"));
	assert_true(path_is_fresh("/dev"));
	assert_false(path_is_fresh("/runner"));
	assert_false(path_is_fresh("/home/x/proc"));
}

static void kernel_file_systems_are_not_carried_over(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		bool pseudo;
	} expected[] = {
		{ "/", false },
		{ "/chroot/sys", true },
		{ "/chroot/sys/fs/cgroup",
		  true }, /* a tmpfs there: the directory does not come along */
		{ "/chroot/sys/fs/cgroup/disk", true },
		{ "/chroot/tmp", false },
		{ "/boot", true },
		{ "/boot", false }, /* what the automounter put over itself */
		{ "/home", true },
		{ "/home/me", false },
		{ "/circle", false },
	};
	struct mount_table t = { 0 };
	assert_int_equal(
		mount_table_parse("27 1 254:0 / / rw - ext4 /dev/vda rw\n"
				  "30 27 0:22 / /chroot/sys rw - sysfs sysfs rw\n"
				  "31 30 0:28 / /chroot/sys/fs/cgroup rw - tmpfs none rw\n"
				  "32 31 8:3 / /chroot/sys/fs/cgroup/disk rw - ext4 /dev/b rw\n"
				  "33 27 0:29 / /chroot/tmp rw - tmpfs none rw\n"
				  "34 27 0:30 / /boot rw - autofs none rw\n"
				  "35 34 8:1 / /boot rw - vfat /dev/a rw\n"
				  "36 27 0:31 / /home rw - autofs none rw\n"
				  "37 36 0:32 / /home/me rw - nfs server:/me rw\n"
				  "38 38 0:33 / /circle rw - tmpfs none rw\n",
				  &t),
		0);
	assert_int_equal(t.count, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < t.count; i++) {
		assert_string_equal(t.items[i].path, expected[i].path);
		assert_int_equal(mount_is_pseudo(&t, &t.items[i]), expected[i].pseudo);
	}
	mount_table_finish(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mountinfo_is_parsed),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(paths_are_compared_by_component),
		cmocka_unit_test(kernel_file_systems_are_not_carried_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
