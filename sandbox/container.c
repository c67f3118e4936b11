#include "sandbox/container.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/proc.h"

enum { MAP_SIZE = 16384 };

/* Is the namespace @name of @dir another one than ours? -errno. */
static int differs(const struct container_entry *e, int dir, const char *name, ino_t *ret)
{
	char own[32];
	struct stat ours, theirs;
	snprintf(own, sizeof(own), "self/%s", name);
	if (fstatat(e->proc_fd, own, &ours, 0) < 0 || fstatat(dir, name, &theirs, 0) < 0)
		return -errno;
	*ret = theirs.st_ino;
	return ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev;
}

/* Who is 0 in the map file @name of @dir, as we number it. -errno. */
static int64_t mapped_root(int dir, const char *name)
{
	char text[MAP_SIZE];
	ssize_t n = proc_read(dir, name, text, sizeof(text));
	if (n < 0)
		return n;
	for (const char *line = text; *line;) {
		long long inside, outside, count;
		if (sscanf(line, "%lld %lld %lld", &inside, &outside, &count) != 3)
			break;
		if (inside == 0 && count > 0)
			return outside;
		while (*line && *line++ != '\n')
			;
	}
	return -ENOENT;
}

/* A user's runtime may send us into no namespace but one that the user made. */
static int check_owner(const struct container_entry *e, int dir, bool own_users, struct err *err)
{
	uid_t owner;
	if (e->peer == 0 || e->peer == geteuid())
		return 0;
	cleanup_fd int ns = openat(dir, "ns/user", O_RDONLY | O_CLOEXEC);
	if (!own_users || ns < 0 || ioctl(ns, NS_GET_OWNER_UID, &owner) < 0 || owner != e->peer)
		return err_set(err, EPERM,
			       "process %d is in no user namespace of uid %u, who says that it is "
			       "a container's",
			       e->pid, e->peer);
	return 0;
}

/*
 * Files of the session are made by the monitor as it runs, and inside it is the container's root.
 * Nothing of the container leads to that directory; the one above is ours alone.
 */
static int give_session(const struct container_entry *e, int dir, struct err *err)
{
	int64_t uid = mapped_root(dir, "uid_map"), gid = mapped_root(dir, "gid_map");
	if (uid < 0 || gid < 0)
		return err_set(err, ENOTSUP, "the container's user namespace has no root");
	if (geteuid() != 0)
		return 0;
	if (fchown(e->session_dirfd, (uid_t)uid, (gid_t)gid) < 0 ||
	    fchownat(e->session_dirfd, "events.ring", (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) <
		    0)
		return err_sys(err, errno, "the session cannot be given to the container's root");
	return 0;
}

/* The root of that namespace need not be the container's: without pivot_root it is in a directory. */
static int enter_root(int root, struct err *err)
{
	if (fchdir(root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_sys(err, errno, "monitor: cannot enter the container's root");
	return 0;
}

int container_enter(const struct container_entry *e, ino_t *ret_mount_ns, struct err *err)
{
	char name[16];
	ino_t users;
	snprintf(name, sizeof(name), "%d", e->pid);
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, e->pid, 0);
	cleanup_fd int dir = openat(e->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pidfd < 0 || dir < 0)
		return err_set(err, ESRCH, "process %d of the container is gone", e->pid);
	int own_users = differs(e, dir, "ns/user", &users);
	int own_mounts = differs(e, dir, "ns/mnt", ret_mount_ns);
	if (own_users < 0 || own_mounts < 0)
		return err_sys(err, own_users < 0 ? -own_users : -own_mounts,
			       "the namespaces of process %d cannot be seen", e->pid);
	if (!own_mounts)
		return err_set(err, ENOTSUP,
			       "process %d has the host's mounts: it is in no container, or in one "
			       "without a mount namespace",
			       e->pid);
	/* Its runtime has changed its user and can no longer be read from inside, and outside we may do too much. */
	if (own_users && e->peer == 0)
		return err_set(
			err, ENOSYS,
			"a container of root's with a user namespace of its own is not decided "
			"on yet: let its user start it");
	int r = check_owner(e, dir, own_users, err);
	if (r == 0 && own_users)
		r = give_session(e, dir, err);
	if (r < 0)
		return r;
	/* From outside as long as we are root; a user has the power to look only inside. */
	cleanup_fd int seen = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (setns(pidfd, CLONE_NEWNS | (own_users ? CLONE_NEWUSER : 0)) < 0)
		return err_sys(err, errno, "monitor: cannot enter the container's namespaces");
	if (own_users && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return err_sys(err, errno, "monitor: cannot become the container's root");
	if (seen < 0)
		seen = openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (seen < 0)
		return err_sys(err, errno, "monitor: the container's root cannot be opened");
	return enter_root(seen, err);
}
