/*
 * Worlds of one's own: namespaces to be root in, mounts that show the filesystem otherwise. As in
 * forbidden.c "reached" is told from "refused" by the errno.
 */
#include "attack.h"

#include <linux/sched.h>
#include <sys/mount.h>

/* namespaces */
static int flags;

static int unshare_body(void)
{
	return verdict(unshare(flags) == 0);
}

static int try_unshare(int f)
{
	flags = f;
	return in_child(unshare_body);
}

static int unshare_user(void)
{
	return try_unshare(CLONE_NEWUSER);
}

static int unshare_mount(void)
{
	return try_unshare(CLONE_NEWNS);
}

static int unshare_net(void)
{
	return try_unshare(CLONE_NEWNET);
}

static int unshare_pid(void)
{
	return try_unshare(CLONE_NEWPID);
}

static int unshare_user_all(void)
{
	return try_unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID |
			   CLONE_NEWIPC | CLONE_NEWUTS);
}

static int clone_user(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return verdict(pid > 0);
}

static int clone3_user(void)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return verdict(pid > 0);
}

static int setns_self_body(void)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY);

	return verdict(fd >= 0 && setns(fd, CLONE_NEWUTS) == 0);
}

static int setns_self(void)
{
	return in_child(setns_self_body);
}

static int setns_init_body(void)
{
	int fd = open("/proc/1/ns/mnt", O_RDONLY);

	return verdict(fd >= 0 && setns(fd, CLONE_NEWNS) == 0);
}

static int setns_init(void)
{
	return in_child(setns_init_body);
}

static int setns_pidfd_body(void)
{
	int fd = (int)syscall(SYS_pidfd_open, 1, 0);

	return verdict(fd >= 0 && setns(fd, CLONE_NEWUTS) == 0);
}

static int setns_pidfd(void)
{
	return in_child(setns_pidfd_body);
}

/* mounts: where a namespace of our own can be had, the machine's is not touched */
static void own_mounts(void)
{
	if (unshare(CLONE_NEWNS) == 0)
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int mount_tmpfs_body(void)
{
	own_mounts();
	return verdict(mount("x", "open", "tmpfs", 0, NULL) == 0);
}

static int mount_tmpfs(void)
{
	return in_child(mount_tmpfs_body);
}

static int mount_proc_body(void)
{
	own_mounts();
	return verdict(mount("x", "open", "proc", 0, NULL) == 0);
}

static int mount_proc(void)
{
	return in_child(mount_proc_body);
}

static int mount_bind_body(void)
{
	own_mounts();
	return verdict(mount("/", "open", NULL, MS_BIND | MS_REC, NULL) == 0);
}

static int mount_bind(void)
{
	return in_child(mount_bind_body);
}

static int umount_proc_body(void)
{
	own_mounts();
	return verdict(umount2("/proc", MNT_DETACH) == 0);
}

static int umount_proc(void)
{
	return in_child(umount_proc_body);
}

static int remount_rw_body(void)
{
	own_mounts();
	return verdict(mount(NULL, "/proc", NULL, MS_REMOUNT, NULL) == 0);
}

static int remount_rw(void)
{
	return in_child(remount_rw_body);
}

static int pivot_body(void)
{
	own_mounts();
	if (mount("open", "open", NULL, MS_BIND, NULL) != 0 || chdir("open") != 0)
		return verdict(false);
	return verdict(syscall(SYS_pivot_root, ".", ".") == 0);
}

static int pivot(void)
{
	return in_child(pivot_body);
}

static int chroot_body(void)
{
	return verdict(chroot("open") == 0);
}

static int change_root(void)
{
	return in_child(chroot_body);
}

static int new_mount_api(void)
{
	int fd = (int)syscall(SYS_fsopen, "tmpfs", 0);

	return verdict(fd >= 0);
}

static int open_tree_clone(void)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */);

	return verdict(fd >= 0);
}

static int move_mount_reach(void)
{
	return reached(syscall(SYS_move_mount, -1, "", -1, "", 0x4 | 0x40));
}

static int mount_setattr_reach(void)
{
	uint64_t attr[4] = { 0 };

	return reached(syscall(SYS_mount_setattr, -1, "", 0x1000, attr, sizeof(attr)));
}

const struct attack attacks[] = {
	MUST(unshare_user),       ROOT(unshare_mount),
	ROOT(unshare_net),        ROOT(unshare_pid),
	MUST(unshare_user_all),   MUST(clone_user),
	MUST(clone3_user),        ROOT(setns_self),
	MAY(setns_init),          MAY(setns_pidfd),
	ROOT(mount_tmpfs),        ROOT(mount_proc),
	ROOT(mount_bind),         ROOT(umount_proc),
	ROOT(remount_rw),         ROOT(pivot),
	ROOT(change_root),        ROOT(new_mount_api),
	ROOT(open_tree_clone),    MAY(move_mount_reach),
	MAY(mount_setattr_reach), { 0 },
};
