#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/box_private.h"

static const uint64_t file_rights = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
				    LANDLOCK_ACCESS_FS_IOCTL_DEV;

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

static const uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

/* Rights that change something: all but reading, executing and ioctl. */
static uint64_t write_rights(uint64_t handled)
{
	return handled & ~(read_rights | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_IOCTL_DEV |
			   LANDLOCK_ACCESS_FS_REFER);
}

/* A rule for @path, if it is there; of a file only the rights a file can have. */
static int allow_path(int ruleset, const char *path, uint64_t rights)
{
	struct stat st;
	cleanup_fd int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	return allow_fd(ruleset, fd, S_ISDIR(st.st_mode) ? rights : rights & file_rights);
}

/* Every pattern is a subtree or a file: the list can be said in rules. */
static bool is_mountable(const struct policy_patterns *list)
{
	char path[PATH_MAX];
	for (unsigned i = 0; i < list->count; i++)
		if (!pattern_as_mount(&list->items[i].pattern, path, sizeof(path)))
			return false;
	return true;
}

static int allow_list(int ruleset, const struct policy_patterns *list, uint64_t rights)
{
	char path[PATH_MAX];
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < list->count; i++)
		if (pattern_as_mount(&list->items[i].pattern, path, sizeof(path)))
			rc = allow_path(ruleset, path, rights);
	return rc;
}

/*
 * The policy's lists as rules, where rules can say them. Mustn't be narrower than
 * the policy: its decisions are the monitor's, this is the fence behind them, for what
 * the filter lets through unseen. Returns the rights that no list has taken away.
 */
static int allow_policy(int ruleset, const struct policy *p, uint64_t handled, uint64_t *ret_rest)
{
	/* what any program's start needs, and what the box made itself */
	static const char *const launch[] = {
		"/usr",       "/bin",  "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
		"/nix/store", "/proc", "/sys",  "/dev", "/run",   "/etc",
	};
	static const char *const made[] = { "/dev", "/proc", "/run" };
	const struct policy_patterns *reads =
		p->allowed_read.present ? &p->allowed_read : &p->allowed;
	const struct policy_patterns *writes =
		p->allowed_write.present ? &p->allowed_write : &p->allowed;
	int rc = 0;
	*ret_rest = handled;
	if (reads->present && is_mountable(reads) && is_mountable(&p->ambient)) {
		*ret_rest &= ~read_rights;
		rc = allow_list(ruleset, reads, read_rights);
		if (rc == 0)
			rc = allow_list(ruleset, &p->ambient, read_rights);
		for (size_t i = 0; rc == 0 && i < sizeof(launch) / sizeof(launch[0]); i++)
			rc = allow_path(ruleset, launch[i], read_rights);
	}
	if (rc == 0 && writes->present && is_mountable(writes)) {
		*ret_rest &= ~write_rights(handled);
		rc = allow_list(ruleset, writes, write_rights(handled));
		for (size_t i = 0; rc == 0 && i < sizeof(made) / sizeof(made[0]); i++)
			rc = allow_path(ruleset, made[i], write_rights(handled));
	}
	return rc;
}

int landlock_fence(const struct box_plan *plan, uint32_t *degraded, struct err *err)
{
	uint64_t handled;
	/* With its scopes the tree's processes may signal each other; nobody outside, whatever else fails */
	cleanup_fd int ruleset = confine_ruleset(&handled);
	if (ruleset == -EOPNOTSUPP)
		return box_degrade(plan, LAYER_LANDLOCK, degraded, -ruleset, err,
				   "the kernel has none (needs CONFIG_SECURITY_LANDLOCK and "
				   "'landlock' in the lsm= boot parameter)");
	if (ruleset < 0)
		return box_degrade(plan, LAYER_LANDLOCK, degraded, -ruleset, err,
				   "cannot create a ruleset");
	uint64_t rest;
	int rc = allow_policy(ruleset, plan->policy, handled, &rest);
	if (rc == 0)
		rc = allow_path(ruleset, "/", rest);
	if (rc == 0)
		rc = allow_stdio(ruleset, handled);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = -errno;
	if (rc < 0)
		return box_degrade(plan, LAYER_LANDLOCK, degraded, -rc, err,
				   "cannot put the fence up");
	return 0;
}
