/*
 * Acting with the caller's powers. Rootless there is one id and no capability,
 * so there is nothing to do. As root an agent may lower its own (setuid, capset);
 * those calls are notified, and from the first of them on every emulated call is
 * resolved and made with the ids, groups and file capabilities its caller has at that moment.
 * A walk with ours would lead it through directories that are closed to it.
 */
#include "sandbox/creds.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/watch.h"

static const uint64_t PTRACE_BIT = 1ull << CAP_SYS_PTRACE;

/* Raw capget/capset: they act on this thread alone, where libraries act on the process. */
static int caps_read(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

static int caps_effective(uint64_t wanted)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	int r = caps_read(data);
	if (r < 0)
		return r;
	data[0].effective = (uint32_t)wanted & data[0].permitted;
	data[1].effective = (uint32_t)(wanted >> 32) & data[1].permitted;
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* A user namespace may deny setgroups; the groups of all in it are then those they had, and ours. */
static int assume_groups(const struct tracee_creds *c)
{
	gid_t have[64];
	int count = getgroups(64, have);
	if (count == (int)c->group_count &&
	    memcmp(have, c->groups, c->group_count * sizeof(have[0])) == 0)
		return 0;
	return syscall(SYS_setgroups, c->group_count, c->groups) < 0 ? -errno : 0;
}

int creds_assume(const struct place_env *env, const struct tracee *task)
{
	if (!env->creds_vary)
		return 0;
	struct tracee_creds c;
	int r = tracee_creds(task, &c);
	if (r < 0)
		return r;
	/*
	 * Raw calls again: glibc would change every thread. The effective ids, with which those for files
	 * go: a UNIX server is told who connects by them (SO_PEERCRED). Order: a user that is not root drops powers.
	 */
	r = assume_groups(&c);
	if (r < 0)
		return r;
	if (syscall(SYS_setresgid, -1, c.fsgid, -1) < 0 ||
	    syscall(SYS_setresuid, -1, c.fsuid, -1) < 0)
		return -errno;
	return caps_effective(c.effective | PTRACE_BIT);
}

void creds_resume(const struct place_env *env)
{
	if (!env->creds_vary)
		return;
	syscall(SYS_setresuid, -1, getuid(), -1); /* the real ones are ours still */
	caps_effective(~0ull);
	syscall(SYS_setresgid, -1, getgid(), -1);
}

void creds_drop_ptrace(void)
{
	struct __user_cap_data_struct data[2];
	if (caps_read(data) == 0)
		caps_effective((data[0].effective | (uint64_t)data[1].effective << 32) &
			       ~PTRACE_BIT);
}

void creds_raise_ptrace(void)
{
	struct __user_cap_data_struct data[2];
	if (caps_read(data) == 0)
		caps_effective(data[0].effective | (uint64_t)data[1].effective << 32 | PTRACE_BIT);
}
