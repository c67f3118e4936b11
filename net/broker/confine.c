/*
 * The broker reads what the whole network sends it. Should somebody take it over, they
 * hold sockets of this session and nothing else: no file, no program, no other process.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/broker/private.h"

enum { NOBODY = 65534 };

/* Should come before the capabilities go. Root's broker is nobody: it owns no file and no process. */
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

static const int allowed[] = {
	SCMP_SYS(read),        SCMP_SYS(write),         SCMP_SYS(readv),
	SCMP_SYS(writev),      SCMP_SYS(close),         SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),     SCMP_SYS(accept4),
	SCMP_SYS(connect),     SCMP_SYS(sendto),        SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),    SCMP_SYS(recvmsg),       SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),  SCMP_SYS(setsockopt),    SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(splice),        SCMP_SYS(pipe2),
	SCMP_SYS(fcntl),       SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(brk),         SCMP_SYS(munmap),        SCMP_SYS(exit_group),
	SCMP_SYS(mremap),      SCMP_SYS(madvise),       SCMP_SYS(futex),
	SCMP_SYS(getrandom),   SCMP_SYS(rt_sigreturn),  SCMP_SYS(restart_syscall),
};

int confine_prepare(scmp_filter_ctx *ret)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	static const int families[] = { AF_INET, AF_INET6 };
	for (size_t i = 0; r == 0 && i < sizeof(families) / sizeof(families[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff,
					     (scmp_datum_t)families[i]));
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r < 0)
		seccomp_release(ctx);
	else
		*ret = ctx;
	return r;
}

int confine_broker(scmp_filter_ctx rules)
{
	int r = leave_root();
	if (r == 0)
		r = drop_capabilities();
	if (r == 0 &&
	    (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = -errno;
	/* Should be armed after the change of user, which disarms it. */
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = seccomp_load(rules);
	seccomp_release(rules);
	return r;
}
