#include "control/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/confine.h"
#include "control/db.h"

enum { PLACES_MAX = 32 };

/* Files by which the C library finds a host's address and a user's name, and OpenSSL whom to trust. */
static const char *const lookups[] = {
	"/etc/hosts",     "/etc/resolv.conf", "/etc/nsswitch.conf",
	"/etc/host.conf", "/etc/gai.conf",    "/etc/services",
	"/etc/passwd",    "/etc/ssl",         "/usr/lib/ssl",
};

static const int allowed[] = {
	/* connections */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendfile),
	SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(sendmmsg), SCMP_SYS(socketpair),
	SCMP_SYS(ioctl), SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(fcntl), SCMP_SYS(close),
	/* the store's files */
	SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(stat),
	SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(fsync),
	SCMP_SYS(fdatasync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat), SCMP_SYS(fchmod), SCMP_SYS(fchown),
	/* memory and threads */
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(tgkill), /* abort() */
	/* who and when */
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage),
	SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time)
};

static const struct confine_bound bounds[] = {
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	/* Threads, no processes. The flags of clone3 lie in memory: glibc takes clone where there is none. */
	{ SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD },
	{ SCMP_SYS(clone3), .errnum = ENOSYS },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_UNIX },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_INET },
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_INET6 },
	/* By which the resolver learns what families there are. */
	{ SCMP_SYS(socket), 0, 0xffffffff, AF_NETLINK },
};

/* Put on top where nothing is to be connected to. */
static const struct confine_bound no_sockets[] = {
	{ SCMP_SYS(socket), .errnum = EACCES },
	{ SCMP_SYS(socketpair), .errnum = EACCES },
	{ SCMP_SYS(connect), .errnum = EACCES },
	{ SCMP_SYS(bind), .errnum = EACCES },
};

static unsigned open_lookups(struct confine_place *places, unsigned size)
{
	unsigned count = 0;
	for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]) && count < size; i++)
		places[count++] =
			(struct confine_place){ .fd = open(lookups[i], O_PATH | O_CLOEXEC) };
	return count;
}

static void close_places(struct confine_place *places, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (places[i].fd >= 0)
			close(places[i].fd);
}

int confine_server(const char *url, enum confine_reach reach, bool *ret_landlock, struct err *err)
{
	static const struct confine_filter filter = { .otherwise = SCMP_ACT_ERRNO(EPERM),
						      CONFINE_ALLOWED(allowed),
						      CONFINE_BOUNDS(bounds) };
	static const struct confine_filter quiet = { .otherwise = SCMP_ACT_ALLOW,
						     CONFINE_BOUNDS(no_sockets) };
	struct confine_place places[PLACES_MAX];
	bool connects = reach == CONFINE_CALLS_OUT || db_kind_of(url) == DB_POSTGRES;
	int n = db_places(url, places, PLACES_MAX, err);
	if (n < 0)
		return n;
	unsigned count = (unsigned)n;
	if (connects)
		count += open_lookups(places + count, PLACES_MAX - count);
	int r = confine_files(places, count, ret_landlock, err);
	close_places(places, count);
	if (r < 0)
		return r;
	r = confine_powers();
	if (r == 0 && !connects)
		r = confine_calls(&quiet);
	if (r == 0)
		r = confine_calls(&filter);
	return r < 0 ? err_sys(err, -r, "cannot confine the server") : 0;
}
