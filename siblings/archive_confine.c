#include "siblings/archive_confine.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/kernel.h"
#include "base/scope.h"

static const rlim_t memory_bytes = (rlim_t)2 << 30;

static const uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t file_rights =
	LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;

static uint64_t handled_rights(int abi)
{
	uint64_t all = (1ULL << 13) - 1; /* ABI 1: EXECUTE .. MAKE_SYM */
	if (abi >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		all |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		all |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return all;
}

static int fence(const struct confine_place *places, unsigned count, bool *ret, struct err *err)
{
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	*ret = abi >= 1;
	if (abi < 1) /* switched off or not compiled in; the filter and the careful opens remain */
		return 0;
	struct kernel_landlock_ruleset_attr attr = { .handled_access_fs = handled_rights(abi) };
	size_t size = sizeof(attr.handled_access_fs);
	if (abi >= 6) {
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	cleanup_fd int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return err_sys(err, errno, "cannot make a Landlock ruleset");
	for (unsigned i = 0; i < count; i++) {
		struct stat st;
		if (places[i].fd < 0)
			continue;
		if (fstat(places[i].fd, &st) < 0)
			return err_sys(err, errno, "cannot examine descriptor %d", places[i].fd);
		uint64_t rights = places[i].write ? attr.handled_access_fs &
							    ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE
						  : read_rights;
		if (!S_ISDIR(st.st_mode))
			rights &= file_rights & attr.handled_access_fs;
		struct landlock_path_beneath_attr rule = { .allowed_access = rights,
							   .parent_fd = places[i].fd };
		if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) <
		    0)
			return err_sys(err, errno, "cannot make a Landlock rule");
	}
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(err, errno, "cannot put up the Landlock fence");
	return 0;
}

/* Root makes files of any owner; nothing else it can do is of use here. */
static int drop_capabilities(bool overlay_marks, struct err *err)
{
	static const unsigned kept[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
					 CAP_SETFCAP };
	capng_clear(CAPNG_SELECT_BOTH);
	bool root = geteuid() == 0;
	for (size_t i = 0; root && i < sizeof(kept) / sizeof(kept[0]); i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, kept[i]);
	/* trusted.* asks for it; what else it opens, the filter shuts */
	if (root && overlay_marks)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_SYS_ADMIN);
	if (root && capng_apply(CAPNG_SELECT_BOTH) < 0 && capng_apply(CAPNG_SELECT_CAPS) < 0)
		return err_set(err, EPERM, "cannot drop capabilities");
	return 0;
}

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

static int filter(struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = ctx ? 0 : -ENOMEM;
	for (size_t i = 0; rc == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		rc = allowed[i] < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	return rc < 0 ? err_sys(err, -rc, "cannot load the seccomp filter") : 0;
}

int confine(const struct confine_place *places, unsigned count, bool overlay_marks,
	    bool *ret_landlock, struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "cannot set no_new_privs");
#ifndef __SANITIZE_ADDRESS__ /* which maps terabytes */
	const struct rlimit memory = { memory_bytes, memory_bytes };
	if (setrlimit(RLIMIT_AS, &memory) < 0)
		return err_sys(err, errno, "cannot bound its memory");
#endif
	int rc = fence(places, count, ret_landlock, err);
	if (rc == 0)
		rc = drop_capabilities(overlay_marks, err);
	return rc == 0 ? filter(err) : rc;
}
