/*
 * The broker reads what the whole network sends it. Should somebody take it over, they
 * hold sockets of this session and nothing else: no file, no program, no other process.
 */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "net/broker/private.h"

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

static const struct confine_bound bounds[] = {
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_INET },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_INET6 },
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
};

int confine_prepare(struct confine_rules **ret)
{
	static const struct confine_filter filter = { .otherwise = SCMP_ACT_ERRNO(EPERM),
						      CONFINE_ALLOWED(allowed),
						      CONFINE_BOUNDS(bounds) };
	return confine_compile(&filter, ret);
}

int confine_broker(struct confine_rules *rules)
{
	int r = confine_leave_root();
	if (r == 0)
		r = confine_powers();
	/* Should be armed after the change of user, which disarms it. */
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = -errno;
	return r == 0 ? confine_enter(rules) : r;
}
