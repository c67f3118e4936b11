#include "base/confine.h"

#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
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

/* ---- the fence --------------------------------------------------------------------------- */

static uint64_t landlock_rights(int abi)
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

int confine_ruleset(int abi, uint64_t *ret_rights)
{
	struct kernel_landlock_ruleset_attr attr = { .handled_access_fs = landlock_rights(abi) };
	size_t size = sizeof(attr.handled_access_fs);
	if (abi >= 6) {
		attr.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	*ret_rights = attr.handled_access_fs;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	return fd < 0 ? -errno : fd;
}

int confine_files(const struct confine_place *places, unsigned count, bool *ret_landlock,
		  struct err *err)
{
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	*ret_landlock = abi >= 1;
	if (abi < 1) /* switched off or not compiled in; the filter and careful opens remain */
		return 0;
	uint64_t rights;
	cleanup_fd int ruleset = confine_ruleset(abi, &rights);
	if (ruleset < 0)
		return err_sys(err, -ruleset, "cannot make a Landlock ruleset");
	for (unsigned i = 0; i < count; i++) {
		int r = places[i].fd < 0 ? 0 : add_place(ruleset, rights, &places[i], err);
		if (r < 0)
			return r;
	}
	if (confine_privileges() < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_sys(err, errno, "cannot put up the Landlock fence");
	return 0;
}

/* ---- the filter --------------------------------------------------------------------------- */

static int add_bound(scmp_filter_ctx ctx, const struct confine_bound *b)
{
	if (b->errnum)
		return seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)b->errnum), b->call, 0);
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, b->call, 1,
				SCMP_CMP64(b->argument, SCMP_CMP_MASKED_EQ, b->mask, b->value));
}

struct confine_rules {
	scmp_filter_ctx ctx; /* owned */
};

int confine_compile(const struct confine_filter *f, struct confine_rules **ret)
{
	cleanup_free struct confine_rules *rules = malloc(sizeof(*rules));
	scmp_filter_ctx ctx = seccomp_init(f->otherwise);
	int r = rules && ctx ? 0 : -ENOMEM;
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (unsigned i = 0; r == 0 && i < f->allowed_count; i++)
		r = f->allowed[i] < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, f->allowed[i], 0);
	for (unsigned i = 0; r == 0 && i < f->bound_count; i++)
		r = add_bound(ctx, &f->bounds[i]);
	if (r < 0) {
		if (ctx)
			seccomp_release(ctx);
		return r;
	}
	rules->ctx = ctx;
	*ret = take_ptr(rules);
	return 0;
}

int confine_enter(struct confine_rules *rules)
{
	int r = seccomp_load(rules->ctx);
	seccomp_release(rules->ctx);
	free(rules);
	return r;
}

int confine_calls(const struct confine_filter *f)
{
	struct confine_rules *rules;
	int r = confine_compile(f, &rules);
	return r == 0 ? confine_enter(rules) : r;
}
