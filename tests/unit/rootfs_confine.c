/* What vsandbox-archive takes from itself, tried by a process that did. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Of no floor: its program's own. */
#include "base/scope.h"
#include "siblings/archive_confine.c"

static char dir[] = "/tmp/vsandbox-confine-XXXXXX";

enum outcome {
	WENT_WELL,
	NOT_CONFINED,
	OPENED,
	WROTE_SOURCE,
	WORK_REFUSED,
	TALKED,
	RAN,
	MOUNTED,
	TRACED,
	FORKED
};

static bool refused(long result)
{
	return result < 0 && (errno == EPERM || errno == EACCES);
}

/* The confined process; its exit code is what it could do that it should not. */
static enum outcome attempt(int source, int target)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL };
	bool landlock;
	const struct confine_place places[] = { { source, false }, { target, true } };
	if (archive_confine(places, 2, false, &landlock, NULL) < 0)
		return NOT_CONFINED;
	if (landlock && !refused(open("/etc/passwd", O_RDONLY)))
		return OPENED;
	if (landlock && !refused(openat(source, "new", O_WRONLY | O_CREAT, 0600)))
		return WROTE_SOURCE;
	cleanup_fd int made = openat(target, "new", O_WRONLY | O_CREAT, 0600);
	if (made < 0 || write(made, "x", 1) != 1 || mkdirat(target, "d", 0700) < 0 ||
	    renameat(target, "new", target, "d/new") < 0 || openat(source, "file", O_RDONLY) < 0)
		return WORK_REFUSED;
	if (!refused(socket(AF_UNIX, SOCK_STREAM, 0)))
		return TALKED;
	if (!refused(execve("/bin/true", argv, NULL)))
		return RAN;
	if (!refused(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) ||
	    !refused(unshare(CLONE_NEWUSER)))
		return MOUNTED;
	if (!refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
		return TRACED;
	if (!refused(fork()))
		return FORKED;
	return WENT_WELL;
}

static void nothing_is_left_but_the_work(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root, "s", 0700) | mkdirat(root, "t", 0700), 0);
	int source = openat(root, "s", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int target = openat(root, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(openat(source, "file", O_WRONLY | O_CREAT, 0600));
	pid_t pid = fork();
	if (pid ==
	    0) /* not _exit: before what does not return a sanitizer makes calls of its own */
		syscall(SYS_exit_group, (int)attempt(source, target));
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), WENT_WELL);
	char command[64];
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_is_left_but_the_work) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
