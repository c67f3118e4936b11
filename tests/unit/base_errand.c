/* Errands arrive as they were sent, and no bytes make the receiver trip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/errand.h"

struct pair {
	int from, to;
};

static struct pair pair_make(void)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){ fds[0], fds[1] };
}

static void pair_close(const struct pair *p)
{
	close(p->from);
	close(p->to);
}

static void close_fds(const struct errand *e)
{
	for (int i = 0; i < 3; i++)
		if (e->fds[i] >= 0)
			close(e->fds[i]);
}

static void round_trip(void **state)
{
	(void)state;
	char sh[] = "sh", empty[] = "", odd[] = "a\nb \xff", env[] = "K=v=w";
	char *argv[] = { sh, empty, odd, NULL }, *envp[] = { env, NULL };
	int pipe_fds[2];
	assert_int_equal(pipe(pipe_fds), 0);
	struct pair p = pair_make();
	const struct errand sent = { .cwd = "/some where",
				     .argv = argv,
				     .envp = envp,
				     .script = "echo \0x",
				     .script_len = 7,
				     .fds = { pipe_fds[0], pipe_fds[1], pipe_fds[1] } };
	struct errand got;
	void *text;
	assert_int_equal(errand_send(p.from, &sent, NULL), 0);
	assert_int_equal(errand_receive(p.to, &got, &text), 0);
	assert_string_equal(got.cwd, "/some where");
	for (int i = 0; i < 3; i++)
		assert_string_equal(got.argv[i], argv[i]);
	assert_null(got.argv[3]);
	assert_string_equal(got.envp[0], env);
	assert_null(got.envp[1]);
	assert_int_equal(got.script_len, 7);
	assert_memory_equal(got.script, "echo \0x", 7);
	char byte = 0;
	assert_int_equal(write(got.fds[2], "!", 1), 1);
	assert_int_equal(read(got.fds[0], &byte, 1), 1);
	assert_int_equal(byte, '!');
	assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
	close_fds(&got);
	free(text);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	pair_close(&p);
}

static void without_script_and_command(void **state)
{
	(void)state;
	char *none[] = { NULL };
	struct pair p = pair_make();
	const struct errand sent = { .cwd = "/", .argv = none, .envp = none, .fds = { 0, 1, 2 } };
	struct errand got;
	void *text;
	assert_int_equal(errand_send(p.from, &sent, NULL), 0);
	assert_int_equal(errand_receive(p.to, &got, &text), 0);
	assert_null(got.argv[0]);
	assert_null(got.script);
	close_fds(&got);
	free(text);
	pair_close(&p);
}

/* The bytes of a whole errand with its descriptors, cut and changed. */
static void damaged(void **state)
{
	(void)state;
	char word[] = "w", *argv[] = { word, NULL }, *none[] = { NULL };
	const struct errand sent = { .cwd = "/", .argv = argv, .envp = none, .fds = { 0, 1, 2 } };
	unsigned char bytes[256];
	struct pair p = pair_make();
	assert_int_equal(errand_send(p.from, &sent, NULL), 0);
	ssize_t len = recv(p.to, bytes, sizeof(bytes), 0);
	assert_true(len > 0);
	shutdown(p.from, SHUT_WR);
	len += recv(p.to, bytes + len, sizeof(bytes) - (size_t)len, MSG_WAITALL);
	pair_close(&p);
	for (ssize_t at = 0; at < len; at++) {
		struct errand got;
		void *text;
		int r;
		/* no descriptors come with these: never an errand, whatever the bytes */
		bytes[at] ^= 0xff;
		p = pair_make();
		assert_int_equal(send(p.from, bytes, (size_t)len, 0), len);
		shutdown(p.from, SHUT_WR);
		r = errand_receive(p.to, &got, &text);
		assert_true(r < 0);
		free(text);
		pair_close(&p);
		bytes[at] ^= 0xff;
	}
}

/* With descriptors: each byte of the header and strings changed is refused or understood, and ends. */
static void changed_with_descriptors(void **state)
{
	(void)state;
	unsigned char bytes[40] = { 0x31, 0x72, 0x72, 0x65, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4 };
	memcpy(bytes + 32, "/\0w\0", 4);
	unsigned understood = 0;
	for (size_t at = 0; at <= 36; at++) {
		union {
			struct cmsghdr header;
			char room[CMSG_SPACE(3 * sizeof(int))];
		} control = { 0 };
		const int fds[3] = { 0, 1, 2 };
		struct pair p = pair_make();
		unsigned char copy[36];
		memcpy(copy, bytes, sizeof(copy));
		if (at < 36)
			copy[at] ^= 0x81;
		struct iovec iov = { copy, sizeof(copy) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.room,
				      .msg_controllen = sizeof(control.room) };
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
		assert_int_equal(sendmsg(p.from, &msg, 0), sizeof(copy));
		shutdown(p.from, SHUT_WR);
		struct errand got;
		void *text;
		int r = errand_receive(p.to, &got, &text);
		if (at == 36)
			assert_int_equal(r, 0);
		understood += r == 0;
		close_fds(&got);
		free(text);
		pair_close(&p);
	}
	/* itself; another letter in cwd or word; a "has script" that is empty */
	assert_in_range(understood, 1, 8);
}

static void too_long(void **state)
{
	(void)state;
	char *none[] = { NULL };
	const struct errand sent = { .cwd = "/",
				     .argv = none,
				     .envp = none,
				     .script = "x",
				     .script_len = ERRAND_TEXT_MAX + 1,
				     .fds = { 0, 1, 2 } };
	struct pair p = pair_make();
	assert_int_equal(errand_send(p.from, &sent, NULL), -E2BIG);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(without_script_and_command),
		cmocka_unit_test(damaged),    cmocka_unit_test(changed_with_descriptors),
		cmocka_unit_test(too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
