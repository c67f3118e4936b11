/* The loops around the calls: pieces, interruptions, and a kernel that asks to be asked again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

enum { OPENS = 20000 };

static void what_comes_in_pieces_is_read_whole(void **state)
{
	(void)state;
	char text[8] = "";
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (int i = 0; i < 5; i++)
			if (write(ends[1], "ab", 2) != 2 || usleep(1000) < 0)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(fd_read_all(ends[0], text, sizeof(text) - 1), 7);
	assert_string_equal(text, "abababa");
	assert_int_equal(fd_read_all(ends[0], text, sizeof(text)), 3);
	close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(fd_read_all(ends[0], text, sizeof(text)), -EBADF);
}

/* Renames anywhere make the kernel give a walk over ".." up. */
static void dotdot_is_walked_while_somebody_renames(void **state)
{
	(void)state;
	char dir[] = "/tmp/vsandbox-fd-XXXXXX";
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	assert_non_null(mkdtemp(dir));
	int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	assert_int_equal(mkdirat(root, "d", 0700), 0);
	assert_int_equal(mkdirat(root, "one", 0700), 0);
	pid_t parent = getpid(), pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent && renameat(root, "one", root, "two") == 0 &&
		       renameat(root, "two", root, "one") == 0)
			;
		_exit(0);
	}
	int failed = 0;
	for (int i = 0; i < OPENS && !failed; i++) {
		int fd = fd_openat2(root, "d/../d/../d/../d/../d", &how);
		if (fd < 0)
			failed = -fd;
		else
			close(fd);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	unlinkat(root, "one", AT_REMOVEDIR);
	unlinkat(root, "two", AT_REMOVEDIR);
	unlinkat(root, "d", AT_REMOVEDIR);
	close(root);
	rmdir(dir);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_in_pieces_is_read_whole),
		cmocka_unit_test(dotdot_is_walked_while_somebody_renames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
