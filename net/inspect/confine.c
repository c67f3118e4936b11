/* Parsers of foreign bytes run here: whoever takes one over finds nothing to do. */
#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>

#include "base/confine.h"
#include "net/inspect/inspect.h"

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

static const struct confine_bound bounds[] = {
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	/* The allocator wants to know of overcommitment, and does without. */
	{ SCMP_SYS(openat), .errnum = EACCES },
};

int confine_inspector(void)
{
	static const struct confine_filter filter = { .otherwise = SCMP_ACT_KILL_PROCESS,
						      CONFINE_ALLOWED(allowed),
						      CONFINE_BOUNDS(bounds) };
	bool landlock; /* without it the filter remains, which allows no open */
	int r = confine_leave_root();

	if (r == 0)
		r = confine_powers();
	if (r == 0)
		r = confine_files(NULL, 0, &landlock, NULL);
	return r == 0 ? confine_calls(&filter) : r;
}
