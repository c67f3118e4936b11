#include "siblings/archive_confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

/* All that reading, unpacking and writing take. Everything else fails with EPERM. */
static const int allowed[] = {
	SCMP_SYS(read),          SCMP_SYS(write),        SCMP_SYS(readv),
	SCMP_SYS(writev),        SCMP_SYS(pread64),      SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),         SCMP_SYS(close),        SCMP_SYS(dup),
	SCMP_SYS(fcntl),         SCMP_SYS(flock),        SCMP_SYS(openat),
	SCMP_SYS(openat2),       SCMP_SYS(fstat),        SCMP_SYS(newfstatat),
	SCMP_SYS(statx),         SCMP_SYS(getdents64),   SCMP_SYS(readlinkat),
	SCMP_SYS(faccessat),     SCMP_SYS(faccessat2),   SCMP_SYS(mkdirat),
	SCMP_SYS(mknodat),       SCMP_SYS(symlinkat),    SCMP_SYS(linkat),
	SCMP_SYS(unlinkat),      SCMP_SYS(renameat),     SCMP_SYS(renameat2),
	SCMP_SYS(fchmod),        SCMP_SYS(fchmodat),     SCMP_SYS(chmod),
	SCMP_SYS(chown),         SCMP_SYS(fchown),       SCMP_SYS(fchownat),
	SCMP_SYS(utimensat),     SCMP_SYS(ftruncate),    SCMP_SYS(fsync),
	SCMP_SYS(syncfs),        SCMP_SYS(getxattr),     SCMP_SYS(lgetxattr),
	SCMP_SYS(listxattr),     SCMP_SYS(llistxattr),   SCMP_SYS(setxattr),
	SCMP_SYS(lsetxattr),     SCMP_SYS(mmap),         SCMP_SYS(munmap),
	SCMP_SYS(mremap),        SCMP_SYS(mprotect),     SCMP_SYS(madvise),
	SCMP_SYS(brk),           SCMP_SYS(futex),        SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(getpid),        SCMP_SYS(gettid),       SCMP_SYS(geteuid),
	SCMP_SYS(getuid),        SCMP_SYS(getegid),      SCMP_SYS(getgid),
	SCMP_SYS(umask),         SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),  SCMP_SYS(tgkill), /* abort() */
	SCMP_SYS(exit),          SCMP_SYS(exit_group),
};

/* Root makes files of any owner; nothing else it can do is of use here. */
static int drop_capabilities(bool overlay_marks)
{
	uint64_t kept = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER |
			1ULL << CAP_FSETID | 1ULL << CAP_SETFCAP;
	/* trusted.* asks for it; what else it opens, the filter shuts */
	if (overlay_marks)
		kept |= 1ULL << CAP_SYS_ADMIN;
	return geteuid() == 0 ? confine_capabilities(kept) : 0;
}

int archive_confine(const struct confine_place *places, unsigned count, bool overlay_marks,
		    bool *ret_landlock, struct err *err)
{
	static const struct confine_filter filter = { .otherwise = SCMP_ACT_ERRNO(EPERM),
						      CONFINE_ALLOWED(allowed) };
	int rc = confine_privileges();
	if (rc < 0)
		return err_sys(err, -rc, "cannot set no_new_privs");
#ifndef __SANITIZE_ADDRESS__ /* which maps terabytes */
	const rlim_t bytes = (rlim_t)2 << 30;
	const struct rlimit memory = { bytes, bytes };
	if (setrlimit(RLIMIT_AS, &memory) < 0)
		return err_sys(err, errno, "cannot bound its memory");
#endif
	rc = confine_files(places, count, ret_landlock, err);
	if (rc < 0)
		return rc;
	rc = drop_capabilities(overlay_marks);
	if (rc < 0)
		return err_sys(err, -rc, "cannot drop capabilities");
	rc = confine_calls(&filter);
	return rc < 0 ? err_sys(err, -rc, "cannot load the seccomp filter") : 0;
}
