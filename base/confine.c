#include "base/confine.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/kernel.h"
#include "base/scope.h"

enum { NOBODY = 65534, CAPABILITIES = 64 };

static const uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t file_rights =
	LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;

int confine_leave_root(void)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	return 0;
}

int confine_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2];
	if (syscall(SYS_capget, &header, sets) < 0)
		return -errno;
	/* Who may not lower the bound gains nothing by it either: no_new_privs is asked for too. */
	for (unsigned cap = 0; cap < CAPABILITIES; cap++)
		if (!(kept >> cap & 1))
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	for (unsigned i = 0; i < 2; i++) {
		sets[i].permitted &= (uint32_t)(kept >> (32 * i));
		sets[i].effective = sets[i].permitted;
		sets[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int confine_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_memory(void)
{
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int confine_powers(void)
{
	int r = confine_capabilities(0);
	if (r == 0)
		r = confine_memory();
	return r == 0 ? confine_privileges() : r;
}

/* ---- the fence --------------------------------------------------------------------------- */

int confine_ruleset(uint64_t *ret_rights)
{
	/* ABI 1: EXECUTE .. MAKE_SYM */
	struct kernel_landlock_ruleset_attr attr = { .handled_access_fs = (1ULL << 13) - 1 };
	size_t size = sizeof(attr.handled_access_fs);
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1)
		return -EOPNOTSUPP;
	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= 6) {
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	*ret_rights = attr.handled_access_fs;
	return ruleset < 0 ? -errno : ruleset;
}

static int add_place(int ruleset, uint64_t handled, const struct confine_place *p, struct err *err)
{
	struct stat st;
	if (fstat(p->fd, &st) < 0)
		return err_sys(err, errno, "cannot examine descriptor %d", p->fd);
	uint64_t rights = p->write ? handled & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE : read_rights;
	if (!S_ISDIR(st.st_mode))
		rights &= file_rights & handled;
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = p->fd };
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_sys(err, errno, "cannot make a Landlock rule");
	return 0;
}

int confine_files(const struct confine_place *places, unsigned count, bool *ret_landlock,
		  struct err *err)
{
	uint64_t handled;
	cleanup_fd int ruleset = confine_ruleset(&handled);
	*ret_landlock = ruleset >= 0;
	if (ruleset == -EOPNOTSUPP) /* the filter and careful opens remain */
		return 0;
	if (ruleset < 0)
		return err_sys(err, -ruleset, "cannot make a Landlock ruleset");
	for (unsigned i = 0; i < count; i++) {
		int r = places[i].fd < 0 ? 0 : add_place(ruleset, handled, &places[i], err);
		if (r < 0)
			return r;
	}
	if (confine_privileges() < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(err, errno, "cannot put up the Landlock fence");
	return 0;
}
