#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/eventlog.h"

struct dir {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));
	if (!d)
		return -1;
	strcpy(d->path, "/tmp/eventlog.XXXXXX");
	if (!mkdtemp(d->path))
		return -1;
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = d;
	return d->fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct dir *d = *state;
	unlinkat(d->fd, "events.ring", 0);
	unlinkat(d->fd, "events.jsonl", 0);
	close(d->fd);
	int r = rmdir(d->path);
	free(d);
	return r;
}

static struct event action_event(const char *resource)
{
	return (struct event){
		.kind = EVENT_ACTION,
		.result = EVENT_RESULT_PENDING,
		.wall_ns = UINT64_C(1700000000000000000),
		.syscall = "openat",
		.action = { .type = ACTION_FILE_WRITE,
			    .op = OP_WRITE,
			    .resource = resource,
			    .program = "/bin/sh",
			    .pid = 2,
			    .tid = 2 },
	};
}

static struct eventlog_writer open_writer(const struct dir *d, int wake_fd)
{
	struct eventlog_writer w;
	struct err err = { "" };
	if (eventlog_writer_open(d->fd, wake_fd, &w, &err) != 0)
		fail_msg("%s", err.text);
	return w;
}

static struct eventlog_reader *open_reader(const struct dir *d)
{
	struct eventlog_reader *r = NULL;
	struct err err = { "" };
	if (eventlog_reader_open(d->fd, "s", &r, &err) != 0)
		fail_msg("%s", err.text);
	return r;
}

static void put(struct eventlog_writer *w, const char *resource)
{
	struct event e = action_event(resource);
	unsigned char *packed = eventlog_begin(w, &e);
	assert_non_null(packed);
	event_set_result(packed, 0);
	eventlog_publish(w);
}

static uint64_t verified(const struct dir *d)
{
	uint64_t events = 0;
	struct err err = { "" };
	if (eventlog_verify(d->fd, &events, &err) != 0)
		fail_msg("%s", err.text);
	return events;
}

struct seen {
	uint64_t last_seq;
	unsigned count, notices, pending;
};

static void count_seen(const struct event *e, void *arg)
{
	struct seen *seen = arg;
	seen->count++;
	seen->notices += e->kind == EVENT_NOTICE;
	seen->pending += e->result == EVENT_RESULT_PENDING;
	assert_int_equal(e->seq, seen->last_seq + 1);
	seen->last_seq = e->seq;
}

static void published_events_become_a_chain(void **state)
{
	struct dir *d = *state;
	struct seen seen = { 0 };
	struct stat st;

	assert_int_equal(eventlog_create(d->fd, NULL), 0);
	assert_int_equal(eventlog_create(d->fd, NULL), -EEXIST);
	struct eventlog_writer w = open_writer(d, -1);
	struct eventlog_reader *r = open_reader(d);
	put(&w, "/a");
	put(&w, "/b\xff\n");
	assert_int_equal(eventlog_drain(r, count_seen, &seen), 2);
	assert_int_equal(eventlog_drain(r, count_seen, &seen), 0);
	struct event end = { .kind = EVENT_SESSION_END, .action.resource = "" };
	assert_int_equal(eventlog_append(r, &end), 0);
	assert_int_equal(end.seq, 3);
	put(&w, "/c");
	assert_int_equal(w.seq, 4);
	assert_int_equal(eventlog_drain(r, NULL, NULL), 1);
	assert_int_equal(seen.count, 2);
	assert_int_equal(verified(d), 4);
	assert_int_equal(fstatat(d->fd, "events.jsonl", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(d->fd, "events.ring", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
}

static void an_unpublished_event_is_not_drained(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	struct eventlog_reader *r = open_reader(d);
	struct event e = action_event("/open");
	assert_non_null(eventlog_begin(&w, &e));
	assert_int_equal(eventlog_drain(r, NULL, NULL), 0);
	eventlog_publish(&w);
	assert_int_equal(eventlog_drain(r, NULL, NULL), 1);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
}

static void killed_writers_record_is_recovered_as_pending(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct eventlog_writer w;
		if (eventlog_writer_open(d->fd, -1, &w, NULL) != 0)
			_exit(1);
		for (int i = 0; i < 3; i++) {
			struct event e = action_event("/done");
			event_set_result(eventlog_begin(&w, &e), 0);
			eventlog_publish(&w);
		}
		struct event e = action_event("/under-way");
		eventlog_begin(&w, &e);
		kill(getpid(), SIGKILL);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));

	struct seen seen = { 0 };
	struct eventlog_reader *r = open_reader(d);
	assert_int_equal(eventlog_recover(r, count_seen, &seen), 4);
	assert_int_equal(seen.pending, 1);
	assert_int_equal(eventlog_recover(r, count_seen, &seen), 0);
	eventlog_reader_close(r);
	assert_int_equal(verified(d), 4);
}

/* At a random moment: what was published is there, in order, and the chain holds. */
static void a_writer_killed_at_random_loses_nothing(void **state)
{
	struct dir *d = *state;
	for (int round = 0; round < 20; round++) {
		unlinkat(d->fd, "events.ring", 0);
		unlinkat(d->fd, "events.jsonl", 0);
		assert_int_equal(eventlog_create(d->fd, NULL), 0);
		uint64_t *published =
			mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(published != MAP_FAILED);
		pid_t pid = fork();
		if (pid == 0) {
			struct eventlog_writer w;
			/* A failed check above it must not leave it running. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (eventlog_writer_open(d->fd, -1, &w, NULL) != 0)
				_exit(1);
			for (;;) {
				struct event e = action_event("/x");
				if (eventlog_begin(&w, &e)) {
					eventlog_publish(&w);
					__atomic_store_n(published, w.seq, __ATOMIC_SEQ_CST);
				}
			}
		}
		struct seen seen = { 0 };
		struct eventlog_reader *r = open_reader(d);
		for (int i = 0; i < 5 + round; i++)
			assert_true(eventlog_drain(r, count_seen, &seen) >= 0);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_true(eventlog_recover(r, count_seen, &seen) >= 0);
		assert_true(seen.last_seq >= *published && seen.last_seq <= *published + 1);
		assert_int_equal(seen.notices, 0);
		eventlog_reader_close(r);
		assert_int_equal(verified(d), seen.last_seq);
		munmap(published, 4096);
	}
}

static void a_full_segment_refuses_and_counts(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	struct eventlog_reader *r = open_reader(d);
	struct event e = action_event("/x");
	int n = 0;

	while (eventlog_begin(&w, &e)) {
		eventlog_publish(&w);
		n++;
	}
	assert_true(n > 100);
	assert_null(eventlog_begin(&w, &e));
	assert_int_equal(eventlog_take_refused(&w), 2);
	assert_int_equal(eventlog_take_refused(&w), 0);
	assert_int_equal(eventlog_drain(r, NULL, NULL), n);
	put(&w, "/again");
	assert_int_equal(eventlog_drain(r, NULL, NULL), 1);
	assert_int_equal(w.seq, n + 1);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
	assert_int_equal(verified(d), n + 1);
}

static void records_go_around_the_end(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	struct eventlog_reader *r = open_reader(d);
	struct seen seen = { 0 };
	char path[3000];

	for (unsigned i = 0; i < 3000; i++) {
		memset(path, 'p', sizeof(path));
		path[i % sizeof(path)] = '\0';
		put(&w, path);
		if (i % 7 == 0)
			assert_true(eventlog_drain(r, count_seen, &seen) > 0);
	}
	eventlog_drain(r, count_seen, &seen);
	assert_int_equal(seen.count, 3000);
	assert_int_equal(seen.notices, 0);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
	assert_int_equal(verified(d), 3000);
}

static void the_wake_descriptor_is_written_only_for_a_sleeper(void **state)
{
	struct dir *d = *state;
	uint64_t count = 0;
	int wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, wake);
	struct eventlog_reader *r = open_reader(d);

	put(&w, "/a");
	assert_int_equal(read(wake, &count, sizeof(count)), -1);
	assert_false(eventlog_reader_sleep(r));
	eventlog_drain(r, NULL, NULL);
	assert_true(eventlog_reader_sleep(r));
	put(&w, "/b");
	put(&w, "/c");
	assert_int_equal(read(wake, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	close(wake);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
}

static void only_one_reads(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	struct eventlog_reader *r = open_reader(d), *second = NULL;
	struct err err;
	assert_int_equal(eventlog_reader_open(d->fd, "s", &second, &err), -EBUSY);
	eventlog_reader_close(r);
	r = open_reader(d);
	eventlog_reader_close(r);
	eventlog_reader_close(NULL);
}

static void fill(const struct dir *d, int n)
{
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	struct eventlog_reader *r = open_reader(d);
	for (int i = 0; i < n; i++)
		put(&w, "/file");
	assert_int_equal(eventlog_drain(r, NULL, NULL), n);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
}

static void every_flipped_byte_is_found(void **state)
{
	struct dir *d = *state;
	fill(d, 3);
	int fd = openat(d->fd, "events.jsonl", O_RDWR | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	uint64_t events;
	struct err err;

	for (off_t i = 0; i < size; i++) {
		char c, bad;
		assert_int_equal(pread(fd, &c, 1, i), 1);
		bad = (char)(c ^ 1);
		assert_int_equal(pwrite(fd, &bad, 1, i), 1);
		if (eventlog_verify(d->fd, &events, &err) != -EBADMSG)
			fail_msg("byte %lld may be flipped", (long long)i);
		assert_int_equal(pwrite(fd, &c, 1, i), 1);
	}
	assert_int_equal(verified(d), 3);
	close(fd);
}

static void a_removed_line_is_found_and_named(void **state)
{
	struct dir *d = *state;
	fill(d, 3);
	char text[8192];
	int fd = openat(d->fd, "events.jsonl", O_RDWR | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text));
	assert_true(n > 0 && n < (ssize_t)sizeof(text));
	char *second = memchr(text, '\n', (size_t)n);
	assert_non_null(second);
	char *third = memchr(second + 1, '\n', (size_t)(text + n - second - 1));
	assert_non_null(third);
	assert_int_equal(ftruncate(fd, second + 1 - text), 0);
	assert_int_equal(pwrite(fd, third + 1, (size_t)(text + n - third - 1), second + 1 - text),
			 text + n - third - 1);
	close(fd);
	uint64_t events = 99;
	struct err err;
	assert_int_equal(eventlog_verify(d->fd, &events, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "line 2"));
	assert_int_equal(events, 99);
}

static void a_torn_last_line_is_cut(void **state)
{
	struct dir *d = *state;
	fill(d, 3);
	int fd = openat(d->fd, "events.jsonl", O_RDWR | O_APPEND | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);
	assert_int_equal(write(fd, "{\"v\":1,\"se", 10), 10);
	uint64_t events;
	assert_int_equal(eventlog_verify(d->fd, &events, NULL), -EBADMSG);

	struct eventlog_reader *r = open_reader(d);
	assert_int_equal(lseek(fd, 0, SEEK_END), size);
	struct event end = { .kind = EVENT_SESSION_END };
	assert_int_equal(eventlog_append(r, &end), 0);
	assert_int_equal(end.seq, 4);
	eventlog_reader_close(r);
	assert_int_equal(verified(d), 4);
	close(fd);
}

/* The reader died after the line and before it moved tail: simulated by moving tail back. */
static void a_line_already_written_is_not_repeated(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	put(&w, "/a");
	put(&w, "/b");

	int fd = openat(d->fd, "events.ring", O_RDWR | O_CLOEXEC);
	char before[4096];
	assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
	struct eventlog_reader *r = open_reader(d);
	assert_int_equal(eventlog_drain(r, NULL, NULL), 2);
	eventlog_reader_close(r);
	/* Back to both records unread, and the log to its first line. */
	assert_int_equal(pwrite(fd, before, sizeof(before), 0), sizeof(before));
	close(fd);
	fd = openat(d->fd, "events.jsonl", O_RDWR | O_CLOEXEC);
	char text[4096];
	ssize_t n = read(fd, text, sizeof(text));
	char *newline = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	assert_non_null(newline);
	assert_int_equal(ftruncate(fd, newline + 1 - text), 0);
	close(fd);

	r = open_reader(d);
	assert_int_equal(eventlog_drain(r, NULL, NULL), 1);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
	assert_int_equal(verified(d), 2);
}

static void a_full_disk_leaves_whole_lines_and_loses_nothing(void **state)
{
	struct dir *d = *state;
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	struct eventlog_reader *r = open_reader(d);
	for (int i = 0; i < 20; i++)
		put(&w, "/file");

	struct rlimit old, low;
	getrlimit(RLIMIT_FSIZE, &old);
	low = old;
	low.rlim_cur = 2000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	assert_int_equal(eventlog_drain(r, NULL, NULL), -EFBIG);
	uint64_t partial = verified(d);
	assert_true(partial > 0 && partial < 20);
	assert_int_equal(eventlog_drain(r, NULL, NULL), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);

	assert_int_equal(eventlog_drain(r, NULL, NULL), 20 - (int)partial);
	assert_int_equal(verified(d), 20);
	eventlog_reader_close(r);
	eventlog_writer_close(&w);
}

static void numbers_go_on_behind_another_log(void **state)
{
	struct dir *d = *state;
	struct err err;
	assert_int_equal(mkdirat(d->fd, "next", 0700), 0);
	int next = openat(d->fd, "next", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(next >= 0);
	eventlog_create(d->fd, NULL);
	struct eventlog_writer w = open_writer(d, -1);
	for (int i = 0; i < 5; i++)
		put(&w, "/file");
	eventlog_writer_close(&w);

	assert_int_equal(eventlog_number_after(next, d->fd, &err), -ENOENT);
	eventlog_create(next, NULL);
	assert_int_equal(eventlog_number_after(next, d->fd, &err), 0);
	assert_int_equal(eventlog_writer_open(next, -1, &w, &err), 0);
	struct event e = action_event("/x");
	assert_non_null(eventlog_begin(&w, &e));
	assert_int_equal(e.seq, 6);
	eventlog_writer_close(&w);
	unlinkat(next, "events.ring", 0);
	close(next);
	unlinkat(d->fd, "next", AT_REMOVEDIR);
}

/* Any bytes in the segment: never a crash, never a hang, and the chain still holds. */
static void a_hostile_segment_is_survived(void **state)
{
	struct dir *d = *state;
	unsigned seed = 1;

	for (int round = 0; round < 300; round++) {
		unlinkat(d->fd, "events.ring", 0);
		unlinkat(d->fd, "events.jsonl", 0);
		eventlog_create(d->fd, NULL);
		struct eventlog_writer w = open_writer(d, -1);
		for (int i = 0; i < 5; i++)
			put(&w, "/file");
		int fd = openat(d->fd, "events.ring", O_RDWR | O_CLOEXEC);
		for (int i = 0; i < 4; i++) {
			unsigned char c = (unsigned char)rand_r(&seed);
			/* The magic stays; counters, frames and events do not. */
			off_t at = 64 + (off_t)((unsigned)rand_r(&seed) % (round % 2 ? 200 : 6000));
			assert_int_equal(pwrite(fd, &c, 1, at), 1);
		}
		close(fd);
		struct eventlog_reader *r = open_reader(d);
		assert_true(eventlog_drain(r, NULL, NULL) >= 0);
		assert_true(eventlog_recover(r, NULL, NULL) >= 0);
		struct event e = action_event("/x");
		if (eventlog_begin(&w, &e))
			eventlog_publish(&w);
		assert_true(eventlog_drain(r, NULL, NULL) >= 0);
		eventlog_reader_close(r);
		eventlog_writer_close(&w);
		verified(d);
	}
}

static void another_version_is_refused(void **state)
{
	struct dir *d = *state;
	struct eventlog_writer w;
	struct eventlog_reader *r = NULL;
	struct err err;

	assert_int_equal(eventlog_writer_open(d->fd, -1, &w, &err), -ENOENT);
	eventlog_create(d->fd, NULL);
	int fd = openat(d->fd, "events.ring", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "?", 1, 0), 1);
	assert_int_equal(eventlog_writer_open(d->fd, -1, &w, &err), -EBADMSG);
	assert_int_equal(eventlog_reader_open(d->fd, "s", &r, &err), -EBADMSG);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(eventlog_writer_open(d->fd, -1, &w, &err), -EBADMSG);
	close(fd);
}

#define LOG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(published_events_become_a_chain),
		LOG_TEST(numbers_go_on_behind_another_log),
		LOG_TEST(an_unpublished_event_is_not_drained),
		LOG_TEST(killed_writers_record_is_recovered_as_pending),
		LOG_TEST(a_writer_killed_at_random_loses_nothing),
		LOG_TEST(a_full_segment_refuses_and_counts),
		LOG_TEST(records_go_around_the_end),
		LOG_TEST(the_wake_descriptor_is_written_only_for_a_sleeper),
		LOG_TEST(only_one_reads),
		LOG_TEST(every_flipped_byte_is_found),
		LOG_TEST(a_removed_line_is_found_and_named),
		LOG_TEST(a_torn_last_line_is_cut),
		LOG_TEST(a_line_already_written_is_not_repeated),
		LOG_TEST(a_full_disk_leaves_whole_lines_and_loses_nothing),
		LOG_TEST(a_hostile_segment_is_survived),
		LOG_TEST(another_version_is_refused),
	};
	return cmocka_run_group_tests_name("eventlog", tests, NULL, NULL);
}
