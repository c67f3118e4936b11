/* What is kept for a channel without room: nothing is lost, in order, with its descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/broker_queue.h"

enum { MANY = 2000 }; /* more than a channel holds */

struct ends {
	struct broker_queue queue;
	int ours, theirs;
};

static struct ends connected(void)
{
	int pair[2];
	struct ends e;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	e = (struct ends){ .ours = pair[0], .theirs = pair[1] };
	return e;
}

static void send_numbered(struct broker_queue *q, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++) {
		struct broker_message m = { .type = BROKER_CLOSED, .id = i };
		char text[32];
		int n = snprintf(text, sizeof(text), "number %u", (unsigned)i);
		assert_int_equal(broker_queue_send(q, &m, text, (size_t)n, NULL, 0), 0);
	}
}

/* Reads what is there. Returns the number that comes next. */
static uint64_t read_numbered(int fd, uint64_t next)
{
	static struct broker_packet p;
	int r;
	while ((r = broker_receive(fd, MSG_DONTWAIT, &p)) > 0) {
		char text[32];
		snprintf(text, sizeof(text), "number %u", (unsigned)next);
		assert_int_equal(p.m.id, next);
		assert_string_equal(p.text, text);
		next++;
	}
	assert_int_equal(r, -EAGAIN);
	return next;
}

static void all_arrive_in_order(void **state)
{
	(void)state;
	struct ends e = connected();
	broker_queue_init(&e.queue, e.ours);
	send_numbered(&e.queue, 0, MANY);
	assert_false(broker_queue_empty(&e.queue));
	uint64_t next = read_numbered(e.theirs, 0);
	assert_true(next < MANY);
	/* What is said later does not overtake. */
	send_numbered(&e.queue, MANY, MANY + 1);
	while (!broker_queue_empty(&e.queue)) {
		assert_int_equal(broker_queue_flush(&e.queue), 0);
		next = read_numbered(e.theirs, next);
	}
	assert_int_equal(read_numbered(e.theirs, next), MANY + 1);
	close(e.ours);
	close(e.theirs);
}

static void descriptors_are_kept(void **state)
{
	(void)state;
	static struct broker_packet p;
	struct ends e = connected();
	struct stat given, got = { 0 };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	broker_queue_init(&e.queue, e.ours);
	assert_int_equal(fstat(fd, &given), 0);
	struct broker_message m = { .type = BROKER_OPEN };
	assert_int_equal(broker_queue_keep(&e.queue, &m, NULL, 0, &fd, 1), 0);
	close(fd); /* the caller's to close */
	assert_int_equal(broker_receive(e.theirs, MSG_DONTWAIT, &p), -EAGAIN);
	assert_int_equal(broker_queue_flush(&e.queue), 0);
	assert_true(broker_queue_empty(&e.queue));
	assert_int_equal(broker_receive(e.theirs, MSG_DONTWAIT, &p), 1);
	assert_int_equal(p.fd_count, 1);
	assert_int_equal(p.m.text_len, 0);
	assert_int_equal(fstat(p.fds[0], &got), 0);
	assert_true(got.st_rdev == given.st_rdev);
	broker_packet_finish(&p);
	close(e.ours);
	close(e.theirs);
}

static void a_channel_that_ended_is_told(void **state)
{
	(void)state;
	struct ends e = connected();
	struct broker_message m = { .type = BROKER_CLOSED };
	broker_queue_init(&e.queue, e.ours);
	close(e.theirs);
	assert_int_equal(broker_queue_send(&e.queue, &m, NULL, 0, NULL, 0), -EPIPE);
	assert_int_equal(broker_queue_keep(&e.queue, &m, NULL, 0, NULL, 0), 0);
	assert_int_equal(broker_queue_flush(&e.queue), -EPIPE);
	assert_int_equal(broker_queue_keep(&e.queue, &m, "", BROKER_TEXT_MAX, NULL, 0), -EMSGSIZE);
	free(e.queue.first); /* a queue lives as long as its process: it has no end of its own */
	close(e.ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_arrive_in_order),
		cmocka_unit_test(descriptors_are_kept),
		cmocka_unit_test(a_channel_that_ended_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
