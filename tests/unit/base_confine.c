/* What the steps of base/confine.h take, each tried by a process that took it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/confine.h"
#include "base/scope.h"

/* Runs @attempt in a child of its own; its exit code, or -signal. */
static int outcome(int (*attempt)(void))
{
	pid_t pid = fork();
	int status = 0;
	if (pid ==
	    0) /* not _exit: before what does not return a sanitizer makes calls of its own */
		syscall(SYS_exit_group, attempt());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

enum { REFUSED = 0, STEP_FAILED = 100 };

static const int some[] = { SCMP_SYS(write),      SCMP_SYS(munmap), SCMP_SYS(exit),
			    SCMP_SYS(exit_group), SCMP_SYS(close),  SCMP_SYS(_llseek) };
static const struct confine_bound bounds[] = {
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_UNIX },
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(openat), .errnum = EXDEV },
};

static int filtered(void)
{
	const struct confine_filter f = { .otherwise = SCMP_ACT_ERRNO(ENOTUNIQ),
					  CONFINE_ALLOWED(some),
					  CONFINE_BOUNDS(bounds) };
	if (confine_privileges() < 0 || confine_calls(&f) < 0)
		return STEP_FAILED;
	/* the kernel looks at 32 bits of a family */
	if (syscall(SYS_socket, AF_UNIX | 1L << 32, SOCK_STREAM, 0) < 0 ||
	    socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != ENOTUNIQ)
		return 1;
	if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ||
	    mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		return 2;
	if (open("/dev/null", O_RDONLY) >= 0 || errno != EXDEV)
		return 3;
	return syscall(SYS_getppid) < 0 && errno == ENOTUNIQ ? REFUSED : 4;
}

static int killed(void)
{
	const struct confine_filter f = { .otherwise = SCMP_ACT_KILL_PROCESS,
					  CONFINE_ALLOWED(some) };
	if (confine_privileges() < 0 || confine_calls(&f) < 0)
		return STEP_FAILED;
	getppid();
	return 1;
}

static void calls_outside_the_list_fail(void **state)
{
	(void)state;
	assert_int_equal(outcome(filtered), REFUSED);
	assert_int_equal(outcome(killed), -SIGSYS);
}

static int fenced(void)
{
	bool landlock = false;
	struct err err;
	cleanup_fd int dev = open("/dev", O_PATH | O_CLOEXEC);
	const struct confine_place places[] = { { dev, false }, { -1, true } };
	if (confine_files(places, 2, &landlock, &err) < 0)
		return STEP_FAILED;
	if (!landlock)
		return 77;
	if (open("/dev/null", O_RDONLY) < 0 || open("/dev/null", O_WRONLY) >= 0 || errno != EACCES)
		return 1;
	if (open("/proc/self/status", O_RDONLY) >= 0 || errno != EACCES)
		return 2;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? REFUSED : 3;
}

static void paths_outside_the_places_are_shut(void **state)
{
	(void)state;
	int got = outcome(fenced);
	if (got == 77) {
		print_message("# this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(got, REFUSED);
}

static int without_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct before[2], after[2];
	const uint64_t kept = 1ULL << CAP_CHOWN | 1ULL << CAP_BPF;
	if (syscall(SYS_capget, &header, before) < 0 || confine_capabilities(kept) < 0 ||
	    syscall(SYS_capget, &header, after) < 0)
		return STEP_FAILED;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t want = before[i].permitted & (uint32_t)(kept >> (32 * i));
		if (after[i].permitted != want || after[i].effective != want ||
		    after[i].inheritable != 0)
			return 1;
	}
	return prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) == 0 || geteuid() != 0 ? REFUSED : 2;
}

static int nobody(void)
{
	gid_t group;
	uid_t before = geteuid();
	if (confine_leave_root() < 0)
		return STEP_FAILED;
	if (before != 0)
		return geteuid() == before ? REFUSED : 1;
	if (getgroups(1, &group) != 0 || geteuid() != 65534 || getegid() != 65534)
		return 2;
	return setuid(0) < 0 && confine_memory() == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
		       ? REFUSED
		       : 3;
}

static void what_root_could_do_is_gone(void **state)
{
	(void)state;
	assert_int_equal(outcome(without_capabilities), REFUSED);
	assert_int_equal(outcome(nobody), REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_outside_the_list_fail),
		cmocka_unit_test(paths_outside_the_places_are_shut),
		cmocka_unit_test(what_root_could_do_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
