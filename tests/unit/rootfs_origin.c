/* Ledgers that were torn, and what a session notes of the host's files before it changes them. */
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
#include <unistd.h>

#include <cmocka.h>

#include "rootfs/origin.h"

static char base[] = "/tmp/vsandbox-origin-XXXXXX";
static int dir = -1;

static int setup(void **state)
{
	(void)state;
	strcpy(base + strlen(base) - 6, "XXXXXX");
	if (!mkdtemp(base) || chdir(base) < 0)
		return -1;
	dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int teardown(void **state)
{
	(void)state;
	char command[64];
	close(dir);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

static void append(const char *text)
{
	struct ledger l;
	struct iovec part = { strdup(text), strlen(text) };
	assert_int_equal(ledger_open(dir, "l", &l, NULL), 0);
	assert_int_equal(ledger_append(&l, &part, 1), 0);
	ledger_close(&l);
	free(part.iov_base);
}

static int collect(const void *record, size_t len, void *arg)
{
	char *seen = arg;
	snprintf(seen + strlen(seen), 64, "%.*s|", (int)len, (const char *)record);
	return 0;
}

static void reads(const char *expected)
{
	char seen[256] = "";
	assert_int_equal(ledger_read(dir, "l", collect, seen), 0);
	assert_string_equal(seen, expected);
}

static void records_come_back_in_order(void **state)
{
	(void)state;
	append("one");
	append("");
	append("eight by");
	reads("one||eight by|");
	assert_int_equal(ledger_read(dir, "none", collect, NULL), -ENOENT);
}

static void any_torn_tail_is_cut(void **state)
{
	(void)state;
	struct stat whole, st;
	append("first");
	assert_int_equal(stat("l", &whole), 0);
	append("second");
	assert_int_equal(stat("l", &st), 0);
	for (off_t size = st.st_size - 1; size >= whole.st_size; size--) {
		assert_int_equal(truncate("l", size), 0);
		reads("first|");
	}
	/* what was torn is written over, and nothing of it shows behind a shorter record */
	append("second");
	assert_int_equal(truncate("l", st.st_size - 2), 0);
	append("3");
	reads("first|3|");
}

static void a_flipped_bit_ends_the_reading(void **state)
{
	(void)state;
	append("first");
	append("second");
	int fd = open("l", O_RDWR);
	assert_int_equal(pwrite(fd, "F", 1, 16), 1);
	close(fd);
	reads("");
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct overlay overlay;

static void open_origins(struct origins *s)
{
	mkdir("lower", 0755);
	mkdir("upper", 0755);
	overlay = (struct overlay){ .count = 1 };
	static char mount[] = "/srv";
	overlay.layers[0] = (struct overlay_layer){
		.mount = mount, .upper_fd = open("upper", O_PATH | O_DIRECTORY | O_CLOEXEC)
	};
	assert_int_equal(origins_open(&overlay, dir, s, NULL), 0);
}

static void close_origins(struct origins *s)
{
	close(overlay.layers[0].upper_fd);
	origins_close(s);
}

static void only_the_first_touch_is_noted(void **state)
{
	(void)state;
	static struct origins s;
	struct origin_table t;
	struct stat st, changed;
	open_origins(&s);
	put("lower/f", "abc");
	assert_int_equal(stat("lower/f", &st), 0);
	origins_note(&s, "/srv/f", &st);
	off_t once = s.ledger.end;
	assert_true(once > 0);
	origins_note(&s, "/srv/f", &st);
	assert_int_equal(s.ledger.end, once);
	/* copied up: what it is now is the session's business */
	put("upper/f", "abcd");
	assert_int_equal(stat("upper/f", &changed), 0);
	origins_note(&s, "/srv/f", &changed);
	origins_note(&s, "/srv", &changed);
	origins_note(&s, "/srvx/f", &changed);
	origins_note(&s, "/dev/f", &changed);
	assert_int_equal(s.ledger.end, once);
	assert_false(s.failed);
	close_origins(&s);
	assert_int_equal(origin_table_load(dir, &t, NULL), 0);
	assert_int_equal(t.count, 1);
	const struct origin *was = origin_find(&t, "/srv/f");
	assert_non_null(was);
	assert_null(origin_differs(was, &st));
	assert_null(origin_find(&t, "/srv/new"));
	origin_table_finish(&t);
}

static void the_last_record_of_a_path_counts(void **state)
{
	(void)state;
	static struct origins s;
	struct origin_table t;
	struct stat first, second;
	open_origins(&s);
	put("lower/f", "abc");
	stat("lower/f", &first);
	origins_note(&s, "/srv/f", &first);
	put("lower/f", "abcd");
	stat("lower/f", &second);
	origins_note(&s, "/srv/f", &second);
	close_origins(&s);
	assert_int_equal(origin_table_load(dir, &t, NULL), 0);
	assert_null(origin_differs(origin_find(&t, "/srv/f"), &second));
	assert_non_null(origin_differs(origin_find(&t, "/srv/f"), &first));
	origin_table_finish(&t);
}

static void nothing_is_noted_as_well(void **state)
{
	(void)state;
	static struct origins s;
	struct origin_table t;
	struct stat st;
	open_origins(&s);
	origins_note(&s, "/srv/new", NULL);
	close_origins(&s);
	put("lower/new", "abc");
	stat("lower/new", &st);
	assert_int_equal(origin_table_load(dir, &t, NULL), 0);
	assert_non_null(strstr(origin_differs(origin_find(&t, "/srv/new"), &st), "existence"));
	origin_table_finish(&t);
}

static void a_tree_that_moves_is_noted_whole(void **state)
{
	(void)state;
	static struct origins s;
	struct origin_table t;
	open_origins(&s);
	mkdir("lower/d", 0755);
	mkdir("lower/d/e", 0755);
	put("lower/d/e/f", "1");
	put("lower/d/g", "1");
	int lower = open("lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
	origins_note_tree(&s, lower, "d", "/srv/d");
	close(lower);
	close_origins(&s);
	assert_int_equal(origin_table_load(dir, &t, NULL), 0);
	assert_int_equal(t.count, 4);
	assert_non_null(origin_find(&t, "/srv/d/e/f"));
	origin_table_finish(&t);
}

static void every_kind_of_change_is_seen(void **state)
{
	(void)state;
	static struct origins s;
	struct origin_table t;
	struct stat st, now;
	open_origins(&s);
	put("lower/f", "abc");
	stat("lower/f", &st);
	origins_note(&s, "/srv/f", &st);
	close_origins(&s);
	assert_int_equal(origin_table_load(dir, &t, NULL), 0);
	const struct origin *was = origin_find(&t, "/srv/f");
	now = st, now.st_size++;
	assert_string_equal(origin_differs(was, &now), "its content");
	now = st, now.st_mtim.tv_nsec ^= 1;
	assert_string_equal(origin_differs(was, &now), "its content");
	now = st, now.st_mode ^= 0100;
	assert_string_equal(origin_differs(was, &now), "its mode");
	now = st, now.st_mode = S_IFDIR | 0755;
	assert_string_equal(origin_differs(was, &now), "its type");
	now = st, now.st_uid++;
	assert_string_equal(origin_differs(was, &now), "its owner");
	now = st, now.st_ino++;
	assert_non_null(strstr(origin_differs(was, &now), "identity"));
	now = st, now.st_ctim.tv_nsec ^= 1;
	assert_non_null(strstr(origin_differs(was, &now), "attributes"));
	origin_table_finish(&t);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(records_come_back_in_order),       TEST(any_torn_tail_is_cut),
		TEST(a_flipped_bit_ends_the_reading),   TEST(only_the_first_touch_is_noted),
		TEST(the_last_record_of_a_path_counts), TEST(nothing_is_noted_as_well),
		TEST(the_last_record_of_a_path_counts), TEST(a_tree_that_moves_is_noted_whole),
		TEST(every_kind_of_change_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
