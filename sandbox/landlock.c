#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/box_private.h"

static const uint64_t file_rights = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
				    LANDLOCK_ACCESS_FS_IOCTL_DEV;

static uint64_t rights_of_abi(int abi)
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

static int allow_fd(int ruleset, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

/*
 * /dev/stdin, /dev/stdout and /dev/stderr are opened by path too, and what they
 * lead to may lie in the host's tree, which is beneath no rule.
 */
static int allow_stdio(int ruleset, uint64_t handled)
{
	for (int fd = 0; fd <= 2; fd++) {
		struct stat st;
		if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
			continue;
		int rc = allow_fd(ruleset, fd, file_rights & handled & ~LANDLOCK_ACCESS_FS_EXECUTE);
		if (rc < 0 && rc != -EBADFD && rc != -EBADF) /* pipes and sockets need no rule */
			return rc;
	}
	return 0;
}

int landlock_fence(const struct box_plan *plan, uint32_t *degraded, struct err *err)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1)
		return box_degrade(plan, LAYER_LANDLOCK, degraded, errno, err,
				   "the kernel has none (needs CONFIG_SECURITY_LANDLOCK and "
				   "'landlock' in the lsm= boot parameter)");
	struct kernel_landlock_ruleset_attr attr = { .handled_access_fs = rights_of_abi(abi) };
	size_t size = sizeof(attr.handled_access_fs);
	if (abi >= 6) {
		/* the tree's processes may signal each other; nobody outside, whatever else fails */
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	cleanup_fd int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return box_degrade(plan, LAYER_LANDLOCK, degraded, errno, err,
				   "cannot create a ruleset");
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = root < 0 ? -errno : allow_fd(ruleset, root, attr.handled_access_fs);
	if (rc == 0)
		rc = allow_stdio(ruleset, attr.handled_access_fs);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = -errno;
	if (rc < 0)
		return box_degrade(plan, LAYER_LANDLOCK, degraded, -rc, err,
				   "cannot put the fence up");
	return 0;
}
