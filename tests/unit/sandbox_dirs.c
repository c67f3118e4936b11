/* Where relative names begin: remembered, found again, forgotten; what is lent stays open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs/remove.h"
#include "sandbox/dirs.h"

/* This process is the caller, and the mount of its temporary directory an overlay of the session's. */
struct fixture {
	char path[64];
	int fd, self_fd;
	struct tracee self;
	struct undo_layer layer;
	struct undo_layers layers;
	struct dirs dirs;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct statx sx;
	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/dirs.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->self_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->self.dir_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0 && f->self_fd >= 0 && f->self.dir_fd >= 0);
	assert_int_equal(statx(f->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx), 0);
	f->layer = (struct undo_layer){ .mnt_id = sx.stx_mnt_id, .upper_fd = -1, .lower_fd = -1 };
	f->layers = (struct undo_layers){ .items = &f->layer, .count = 1 };
	dirs_init(&f->dirs, &f->layers);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	dirs_finish(&f->dirs);
	close(f->fd);
	close(f->self_fd);
	close(f->self.dir_fd);
	assert_int_equal(remove_tree(AT_FDCWD, f->path), 0);
	free(f);
	return 0;
}

/* A new directory @name, open. */
static int make(const struct fixture *f, const char *name)
{
	assert_int_equal(mkdirat(f->fd, name, 0700), 0);
	int fd = openat(f->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* As the first name of a call. */
static void find(struct fixture *f, int dirfd, struct dir *ret)
{
	dirs_next(&f->dirs);
	assert_int_equal(dirs_find(&f->dirs, f->self_fd, &f->self, dirfd, ret), 0);
}

static void assert_path(const struct fixture *f, const struct dir *dir, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	assert_string_equal(dir->path, path);
}

static void assert_same(int a, int b)
{
	struct stat x, y;
	assert_int_equal(fstat(a, &x), 0);
	assert_int_equal(fstat(b, &y), 0);
	assert_true(x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static void a_base_is_found_again(void **state)
{
	struct fixture *f = *state;
	struct dir first, again;
	int a = make(f, "a"), other = make(f, "other");
	find(f, a, &first);
	assert_true(first.lent && first.seen);
	assert_path(f, &first, "a");
	assert_same(first.fd, a);
	find(f, other, &again);
	find(f, a, &again);
	assert_true(again.lent && again.seen);
	assert_int_equal(again.fd, first.fd);
	assert_path(f, &again, "a");
	/* by who it is, not by the number that it is asked for by */
	int number = fcntl(a, F_DUPFD_CLOEXEC, 100);
	find(f, number, &again);
	assert_int_equal(again.fd, first.fd);
	close(number);
	close(a);
	close(other);
}

static void a_number_that_is_none_has_no_base(void **state)
{
	struct fixture *f = *state;
	struct dir dir;
	assert_int_equal(dirs_find(&f->dirs, f->self_fd, &f->self, 9999, &dir), -EBADF);
}

static void what_is_told_to_move_is_looked_up_anew(void **state)
{
	struct fixture *f = *state;
	struct dir moved, below, beside, dir;
	char path[128];
	int a = make(f, "a"), sub = make(f, "a/sub"), ab = make(f, "ab");
	find(f, a, &moved);
	find(f, sub, &below);
	find(f, ab, &beside);
	snprintf(path, sizeof(path), "%s/a", f->path);
	dirs_forget_below(&f->dirs, path);
	assert_int_equal(renameat(f->fd, "a", f->fd, "b"), 0);
	/* lent to a call that is under way */
	assert_same(moved.fd, a);
	find(f, a, &dir);
	assert_path(f, &dir, "b");
	assert_int_not_equal(dir.fd, moved.fd);
	find(f, sub, &dir);
	assert_path(f, &dir, "b/sub");
	assert_int_not_equal(dir.fd, below.fd);
	find(f, ab, &dir);
	assert_int_equal(dir.fd, beside.fd);
	close(a);
	close(sub);
	close(ab);
}

static void all_are_forgotten(void **state)
{
	struct fixture *f = *state;
	struct dir dir;
	int a = make(f, "a"), b = make(f, "b");
	find(f, a, &dir);
	find(f, b, &dir);
	dirs_forget(&f->dirs);
	assert_int_equal(renameat(f->fd, "a", f->fd, "a2"), 0);
	assert_int_equal(renameat(f->fd, "b", f->fd, "b2"), 0);
	find(f, b, &dir);
	assert_path(f, &dir, "b2");
	find(f, a, &dir);
	assert_path(f, &dir, "a2");
	close(a);
	close(b);
}

/*
 * A rename's first directory is lent when another thread says that all may have moved, and its second is looked up.
 * Closed, the first's number would be the second's: the rename would begin elsewhere than was judged.
 */
static void what_is_lent_outlives_the_forgetting_of_all(void **state)
{
	struct fixture *f = *state;
	struct dir first, second;
	int from = make(f, "from"), to = make(f, "to");
	find(f, from, &first);
	assert_true(first.lent);
	dirs_forget(&f->dirs);
	find(f, to, &second);
	assert_int_not_equal(first.fd, second.fd);
	assert_same(first.fd, from);
	assert_same(second.fd, to);
	assert_path(f, &first, "from");
	close(from);
	close(to);
}

/* More than there is room for: the oldest go, the last two are always there. */
static void the_last_two_are_valid(void **state)
{
	struct fixture *f = *state;
	struct dir before = { 0 }, dir;
	int fds[3 * DIRS_MAX];
	for (unsigned i = 0; i < 3 * DIRS_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%u", i);
		fds[i] = make(f, name);
		find(f, fds[i], &dir);
		assert_true(dir.lent);
		assert_path(f, &dir, name);
		if (i)
			assert_same(before.fd, fds[i - 1]);
		/* also where the memory was emptied while it was full */
		if (i == 2 * DIRS_MAX)
			dirs_forget(&f->dirs);
		before = dir;
	}
	unsigned kept = 0;
	for (unsigned i = 0; i < DIRS_MAX; i++)
		kept += f->dirs.entries[i].path != NULL;
	assert_int_equal(kept, DIRS_MAX);
	for (unsigned i = 0; i < 3 * DIRS_MAX; i++)
		close(fds[i]);
}

static void who_is_gone_is_not_remembered(void **state)
{
	struct fixture *f = *state;
	struct dir dir;
	int a = make(f, "a");
	assert_int_equal(unlinkat(f->fd, "a", AT_REMOVEDIR), 0);
	find(f, a, &dir);
	assert_false(dir.lent);
	assert_true(dirs_is_gone(dir.path));
	assert_same(dir.fd, a);
	close(dir.fd); /* the caller's */
	close(a);
}

/* Where others move directories too. */
static void other_mounts_are_not_remembered(void **state)
{
	struct fixture *f = *state;
	struct dir dir;
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), a = make(f, "a");
	find(f, proc, &dir);
	assert_false(dir.lent);
	assert_string_equal(dir.path, "/proc");
	close(dir.fd);
	f->layer.real = true;
	find(f, a, &dir);
	assert_false(dir.lent);
	assert_path(f, &dir, "a");
	close(dir.fd);
	dirs_init(&f->dirs, NULL);
	find(f, a, &dir);
	assert_false(dir.lent || dir.seen);
	close(dir.fd);
	close(proc);
	close(a);
}

static void the_mark_of_what_is_gone(void **state)
{
	(void)state;
	assert_true(dirs_is_gone("/a/b (deleted)"));
	assert_true(dirs_is_gone("(unreachable)/a"));
	assert_false(dirs_is_gone("/a/b"));
	assert_false(dirs_is_gone("/"));
	assert_false(dirs_is_gone("/a (deleted)/b"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_base_is_found_again),
		TEST(a_number_that_is_none_has_no_base),
		TEST(what_is_told_to_move_is_looked_up_anew),
		TEST(all_are_forgotten),
		TEST(what_is_lent_outlives_the_forgetting_of_all),
		TEST(the_last_two_are_valid),
		TEST(who_is_gone_is_not_remembered),
		TEST(other_mounts_are_not_remembered),
		cmocka_unit_test(the_mark_of_what_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
