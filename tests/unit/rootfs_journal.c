#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rootfs/journal_format.h"

static const struct journal_options plenty = { .bytes = UINT64_C(1) << 30 };

struct dir {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));
	strcpy(d->path, "/tmp/journal.XXXXXX");
	if (!mkdtemp(d->path))
		return -1;
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = d;
	return d->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct dir *d = *state;
	int r = journal_discard(d->fd, NULL);
	unlinkat(d->fd, "upper", 0);
	close(d->fd);
	r |= rmdir(d->path);
	free(d);
	return r;
}

static struct journal *open_journal(const struct dir *d, const struct journal_options *options)
{
	struct journal *j = NULL;
	assert_int_equal(journal_open(d->fd, options, &j, NULL), 0);
	return j;
}

/* A record of a deletion with everything a record can have. */
static uint64_t add(struct journal *j, const char *path, size_t content)
{
	struct journal_record *r;
	assert_int_equal(journal_begin(j, &r), 0);
	r->undo = UNDO_UNLINK;
	r->op = OP_DELETE;
	r->seq = 7;
	r->content = JOURNAL_CONTENT_INLINE;
	r->before = (struct journal_stat){ .ino = 5, .mode = S_IFREG | 0644, .size = content };
	journal_put_path(j, path);
	assert_int_equal(journal_put_xattr(j, "user.a", "value", 5), 0);
	memset(journal_put_content(j, content), 'c', content);
	assert_int_equal(journal_commit(j), 0);
	return r->number;
}

static struct journal_reader *read_journal(const struct dir *d, enum journal_access access)
{
	struct journal_reader *r = NULL;
	assert_int_equal(journal_reader_open(d->fd, access, &r, NULL), 0);
	return r;
}

static void a_record_reads_as_it_was_written(void **state)
{
	struct dir *d = *state;
	struct journal *j = open_journal(d, &plenty);
	struct stat st = { .st_ino = 9, .st_mode = S_IFREG | 0600, .st_size = 3 };
	assert_int_equal(add(j, "/w/a", 100), 1);
	journal_done(j, &st);
	assert_int_equal(add(j, "/w/b", 0), 2);
	journal_failed(j);
	assert_int_equal(add(j, "/w/c", JOURNAL_INLINE_MAX), 3);

	struct journal_reader *r = read_journal(d, JOURNAL_READ);
	struct journal_view v;
	assert_int_equal(journal_reader_count(r), 3);
	assert_false(journal_reader_torn(r));
	journal_reader_at(r, 0, &v);
	assert_string_equal(v.path, "/w/a");
	assert_null(v.path2);
	assert_int_equal(v.record->seq, 7);
	assert_int_equal(v.record->content_len, 100);
	assert_int_equal(v.content[99], 'c');
	assert_true(journal_has_after(v.record));
	assert_int_equal(v.record->after.ino, 9);
	assert_true(journal_undoable(&v));
	const char *name;
	const unsigned char *value;
	size_t at = 0, len;
	assert_int_equal(journal_xattr(&v, &at, &name, &value, &len), 1);
	assert_string_equal(name, "user.a");
	assert_memory_equal(value, "value", 5);
	assert_int_equal(journal_xattr(&v, &at, &name, &value, &len), 0);
	journal_reader_at(r, 1, &v);
	assert_false(journal_undoable(&v)); /* it failed */
	journal_reader_at(r, 2, &v);
	assert_true(journal_undoable(&v)); /* its writer may have died after the call */
	assert_false(journal_has_after(v.record));
	journal_reader_close(r);
	journal_close(j);
}

static void a_record_survives_kill_9_of_its_writer(void **state)
{
	struct dir *d = *state;
	pid_t pid = fork();
	if (pid == 0) {
		struct journal *j = open_journal(d, &plenty);
		struct journal_record *r;
		add(j, "/w/a", 10);
		journal_done(j, NULL);
		journal_begin(j, &r); /* and one that was never committed */
		journal_put_path(j, "/w/never");
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	struct journal_reader *r = read_journal(d, JOURNAL_READ);
	struct journal_view v;
	assert_int_equal(journal_reader_count(r), 1);
	assert_false(journal_reader_torn(r));
	journal_reader_at(r, 0, &v);
	assert_int_equal(v.record->state, JOURNAL_DONE);
	journal_reader_close(r);
}

static unsigned char *map_first(const struct dir *d)
{
	int fd = openat(d->fd, "journal/1.seg", O_RDWR);
	unsigned char *map = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	assert_ptr_not_equal(map, MAP_FAILED);
	return map;
}

static void each_damaged_byte_of_the_last_record_cuts_it(void **state)
{
	struct dir *d = *state;
	struct journal *j = open_journal(d, &plenty);
	add(j, "/w/a", 10);
	add(j, "/w/b", 10);
	journal_close(j);
	unsigned char *map = map_first(d);
	const struct journal_record *first = (const void *)(map + SEGMENT_HEADER_SIZE);
	size_t at = SEGMENT_HEADER_SIZE + first->size;
	size_t size = ((const struct journal_record *)(const void *)(map + at))->size;
	for (size_t i = 0; i < size; i++) {
		/* the mutable words are not covered: state, and after with a check of its own */
		if (i >= offsetof(struct journal_record, state) &&
		    i < offsetof(struct journal_record, check))
			continue;
		map[at + i] ^= 0x40;
		struct journal_reader *r = read_journal(d, JOURNAL_READ);
		assert_int_equal(journal_reader_count(r), 1);
		assert_true(journal_reader_torn(r));
		journal_reader_close(r);
		map[at + i] ^= 0x40;
	}
	/* and the writer goes on over it, so that nothing of it is met again */
	map[at + size - 1] ^= 1;
	j = open_journal(d, &plenty);
	assert_int_equal(add(j, "/w/c", 0), 2);
	journal_close(j);
	struct journal_reader *r = read_journal(d, JOURNAL_READ);
	struct journal_view v;
	assert_int_equal(journal_reader_count(r), 2);
	journal_reader_at(r, 1, &v);
	assert_string_equal(v.path, "/w/c");
	journal_reader_close(r);
	munmap(map, SEGMENT_SIZE);
}

static void content_cannot_pass_for_a_record(void **state)
{
	struct dir *d = *state;
	struct journal *j = open_journal(d, &plenty);
	struct journal_record *r;
	add(j, "/w/a", 10);
	unsigned char *map = map_first(d);
	const struct journal_record *whole = (const void *)(map + SEGMENT_HEADER_SIZE);
	/* a record begun, given a whole record's bytes as content, and dropped: as after a failed read */
	assert_int_equal(journal_begin(j, &r), 0);
	journal_put_path(j, "/w/b");
	memcpy(journal_put_content(j, whole->size), whole, whole->size);
	assert_int_equal(add(j, "/", 0), 2); /* shorter: ends before those bytes do */
	struct journal_reader *reader = read_journal(d, JOURNAL_READ);
	assert_int_equal(journal_reader_count(reader), 2); /* not the one made of content */
	journal_reader_close(reader);
	munmap(map, SEGMENT_SIZE);
	journal_close(j);
}

static off_t first_size(const struct dir *d)
{
	struct stat st;
	assert_int_equal(fstatat(d->fd, "journal/1.seg", &st, 0), 0);
	return st.st_size;
}

static void a_segment_grows_and_keeps_room_for_marks(void **state)
{
	struct dir *d = *state;
	struct journal *j = open_journal(d, &plenty);
	struct journal_record *r;
	assert_true(first_size(d) < SEGMENT_SIZE / 8);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(add(j, "/w/a", JOURNAL_INLINE_MAX), i + 1);
	journal_close(j);
	j = open_journal(d, &plenty); /* in the middle of it */
	assert_int_equal(add(j, "/w/b", JOURNAL_INLINE_MAX), 21);
	assert_true(first_size(d) > 21 * JOURNAL_INLINE_MAX && first_size(d) < SEGMENT_SIZE);

	/* No file may become longer now, as on a full disk. */
	const struct rlimit full = { (rlim_t)first_size(d), RLIM_INFINITY };
	struct rlimit before;
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	unsigned more = 0;
	while (journal_begin(j, &r) == 0 && more < 64) {
		journal_put_path(j, "/w/c");
		memset(journal_put_content(j, JOURNAL_INLINE_MAX), 'x', JOURNAL_INLINE_MAX);
		assert_int_equal(journal_commit(j), 0);
		more++;
	}
	assert_true(more < 64);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(journal_begin_mark(j, JOURNAL_ROLLBACK, &r), 0);
		assert_int_equal(journal_commit(j), 0);
	}
	setrlimit(RLIMIT_FSIZE, &before);
	journal_close(j);
	struct journal_reader *reader = read_journal(d, JOURNAL_READ);
	assert_int_equal(journal_reader_count(reader), 121 + more);
	assert_false(journal_reader_torn(reader));
	journal_reader_close(reader);
}

static void marks_are_seen_by_everybody(void **state)
{
	struct dir *d = *state;
	struct journal *j = open_journal(d, &plenty);
	add(j, "/w/a", 10);
	journal_done(j, NULL);
	struct journal_reader *marks = read_journal(d, JOURNAL_MARK);
	struct journal_reader *r = read_journal(d, JOURNAL_READ);
	journal_mark(marks, 0, JOURNAL_UNDONE);
	struct journal_view v;
	journal_reader_at(r, 0, &v);
	assert_int_equal(v.record->state, JOURNAL_UNDONE);
	assert_false(journal_undoable(&v));
	journal_reader_close(marks);
	journal_reader_close(r);
	journal_close(j);
}

static void the_oldest_go_when_the_budget_is_used_up(void **state)
{
	struct dir *d = *state;
	struct journal_options small = { .bytes = 4 * SEGMENT_SIZE };
	struct journal *j = open_journal(d, &small);
	uint64_t last = 0, evicted = 0;
	for (unsigned i = 0; i < 400; i++) {
		last = add(j, "/w/a", JOURNAL_INLINE_MAX);
		uint64_t e = journal_take_evicted(j);
		evicted = e ? e : evicted;
	}
	assert_int_equal(last, 400);
	assert_true(evicted > 100);
	struct journal_reader *r = read_journal(d, JOURNAL_READ);
	struct journal_view v;
	journal_reader_at(r, 0, &v);
	assert_int_equal(v.record->number, evicted + 1);
	journal_reader_at(r, journal_reader_count(r) - 1, &v);
	assert_int_equal(v.record->number, 400);
	journal_reader_close(r);
	uint64_t stash;
	assert_int_equal(journal_stash_new(j, 5 * (uint64_t)SEGMENT_SIZE, &stash), -EFBIG);
	journal_close(j);
}

static void a_stash_lives_as_long_as_a_segment_needs_it(void **state)
{
	struct dir *d = *state;
	struct journal_options small = { .bytes = 4 * SEGMENT_SIZE };
	struct journal *j = open_journal(d, &small);
	uint64_t stash, again;
	int fd = journal_stash_new(j, 5, &stash);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "bytes", 5), 5);
	close(fd);
	assert_int_equal(journal_stash_again(j, stash, &again), 0);
	assert_int_equal(again, stash);
	while (journal_take_evicted(j) == 0) { /* its first segment goes */
		assert_int_equal(journal_stash_again(j, stash, &again), 0);
		add(j, "/w/a", JOURNAL_INLINE_MAX);
		stash = again;
	}
	struct journal_reader *r = read_journal(d, JOURNAL_READ);
	char bytes[5];
	fd = journal_reader_stash(r, again);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, 5), 5);
	assert_memory_equal(bytes, "bytes", 5);
	close(fd);
	journal_reader_close(r);
	journal_close(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_record_reads_as_it_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_survives_kill_9_of_its_writer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(each_damaged_byte_of_the_last_record_cuts_it, setup,
						teardown),
		cmocka_unit_test_setup_teardown(content_cannot_pass_for_a_record, setup, teardown),
		cmocka_unit_test_setup_teardown(a_segment_grows_and_keeps_room_for_marks, setup,
						teardown),
		cmocka_unit_test_setup_teardown(marks_are_seen_by_everybody, setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_go_when_the_budget_is_used_up, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_stash_lives_as_long_as_a_segment_needs_it, setup,
						teardown),
	};
	return cmocka_run_group_tests_name("rootfs/journal", tests, NULL, NULL);
}
