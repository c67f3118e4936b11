/* Parsers of foreign bytes run here: whoever takes one over finds nothing to do. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/inspect/inspect.h"

enum { NOBODY = 65534 };

static const int allowed[] = {
	SCMP_SYS(read),          SCMP_SYS(write),          SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),       SCMP_SYS(sendto),         SCMP_SYS(sendmsg),
	SCMP_SYS(epoll_wait),    SCMP_SYS(epoll_pwait),    SCMP_SYS(epoll_ctl),
	SCMP_SYS(close),         SCMP_SYS(shutdown),       SCMP_SYS(brk),
	SCMP_SYS(munmap),        SCMP_SYS(mremap),         SCMP_SYS(madvise),
	SCMP_SYS(futex),         SCMP_SYS(exit),           SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime), /* where the vDSO has no clock */
};

static int leave_root(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* No path leads anywhere. A kernel without Landlock leaves it to the filter, which allows no open. */
static int no_files(void)
{
	const struct landlock_ruleset_attr all = { .handled_access_fs =
							   (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	cleanup_fd int fd = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

	if (fd < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
}

static int filter(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!ctx)
		return -ENOMEM;
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	const int memory[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	for (size_t i = 0; r == 0 && i < sizeof(memory) / sizeof(memory[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, memory[i], 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* The allocator wants to know of overcommitment, and does without. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int confine_inspector(void)
{
	int r = leave_root();

	if (r == 0)
		r = drop_capabilities();
	if (r == 0 &&
	    (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = -errno;
	if (r == 0)
		r = no_files();
	return r == 0 ? filter() : r;
}
