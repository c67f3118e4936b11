/* The new root: the layers, fresh kernel file systems, and covers over what must not be seen. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/box_private.h"
#include "sandbox/fence.h"

static const uint64_t inert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

struct builder {
	struct box_setup *s;
	struct err *err;
	char root[PATH_MAX];       /* the new root, as seen before the pivot */
	int root_fd;               /* O_PATH of it once it is mounted */
	int empty_dir, empty_file; /* O_PATH: what covers */
	int resolv_file;           /* O_PATH of /etc/resolv.conf inside; -1: the host's */
};

/*
 * O_PATH of @path in the new root. Links in it are followed as the agent will
 * follow them, never out of it: the layers show names that others have chosen.
 */
static int open_inside(const struct builder *b, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags, .resolve = RESOLVE_IN_ROOT };
	return fd_openat2(b->root_fd, path, &how);
}

/* A detached mount of a fresh file system; @options is "key=value" or a flag, NULL-terminated. */
static int make_fs(const char *type, const char *const *options, uint64_t attr)
{
	cleanup_fd int fsfd = fsopen(type, FSOPEN_CLOEXEC);
	if (fsfd < 0)
		return -errno;
	fsconfig(fsfd, FSCONFIG_SET_STRING, "source", "vsandbox", 0);
	for (; options && *options; options++) {
		char key[32];
		const char *value = strchr(*options, '=');
		int rc;
		if (value) {
			snprintf(key, sizeof(key), "%.*s", (int)(value - *options), *options);
			rc = fsconfig(fsfd, FSCONFIG_SET_STRING, key, value + 1, 0);
		} else {
			rc = fsconfig(fsfd, FSCONFIG_SET_FLAG, *options, NULL, 0);
		}
		if (rc < 0)
			return -errno;
	}
	if (fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int mnt = fsmount(fsfd, FSMOUNT_CLOEXEC, (unsigned)attr);
	return mnt < 0 ? -errno : mnt;
}

static int move_to(int mount_fd, int target_fd)
{
	return move_mount(mount_fd, "", target_fd, "",
			  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
		       ? -errno
		       : 0;
}

/* Mounts a fresh file system on a directory of the new root. -ENOENT when that is not there. */
static int mount_fs(const struct builder *b, const char *type, const char *const *options,
		    uint64_t attr, const char *path)
{
	cleanup_fd int target = open_inside(b, path, O_DIRECTORY);
	if (target < 0)
		return target;
	cleanup_fd int mnt = make_fs(type, options, attr);
	if (mnt < 0)
		return mnt;
	return move_to(mnt, target);
}

/* Binds what @source_fd names onto @path of the new root, with attributes added. */
static int bind_fd(const struct builder *b, int source_fd, unsigned recursive, uint64_t attr,
		   const char *path)
{
	cleanup_fd int target = open_inside(b, path, 0);
	if (target < 0)
		return target;
	cleanup_fd int mnt =
		(int)syscall(SYS_open_tree, source_fd, "",
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive);
	if (mnt < 0)
		return -errno;
	struct mount_attr set = { .attr_set = attr };
	if (mount_setattr(mnt, "", AT_EMPTY_PATH | recursive, &set, sizeof(set)) < 0)
		return -errno;
	return move_to(mnt, target);
}

/* Hides what is at @path, if there is anything: nothing to read, nothing to change. */
static int cover(const struct builder *b, const char *path)
{
	cleanup_fd int target = open_inside(b, path, 0);
	if (target < 0)
		return target == -ENOENT || target == -ENOTDIR || target == -EACCES ||
				       target == -ELOOP
			       ? 0
			       : target;
	struct stat st;
	if (fstat(target, &st) < 0)
		return -errno;
	cleanup_fd int mnt =
		(int)syscall(SYS_open_tree, S_ISDIR(st.st_mode) ? b->empty_dir : b->empty_file, "",
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (mnt < 0)
		return -errno;
	struct mount_attr set = { .attr_set = inert | MOUNT_ATTR_RDONLY };
	if (mount_setattr(mnt, "", AT_EMPTY_PATH, &set, sizeof(set)) < 0)
		return -errno;
	return move_to(mnt, target);
}

static int freeze_path(const struct builder *b, const char *path)
{
	cleanup_fd int fd = open_inside(b, path, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return bind_fd(b, fd, AT_RECURSIVE, inert | MOUNT_ATTR_RDONLY, path);
}

/* A tmpfs over an empty directory of the session: everything is put together on it. */
static int make_stage(struct builder *b)
{
	const char *stage = b->s->stage;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(b->err, errno, "mounts: cannot make the copy private");
	static const char *const options[] = { "mode=0755", "size=8m", NULL };
	cleanup_fd int mnt = make_fs("tmpfs", options, inert);
	if (mnt < 0)
		return err_sys(b->err, -mnt, "mounts: cannot make a tmpfs");
	if (move_mount(mnt, "", AT_FDCWD, stage, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(b->err, errno, "mounts: cannot mount a tmpfs on %s", stage);
	if (mkdirat(mnt, "root", 0755) < 0 || mkdirat(mnt, "empty", 0555) < 0 ||
	    mknodat(mnt, "nothing", S_IFREG, 0) < 0)
		return err_sys(b->err, errno, "mounts: cannot fill the stage");
	b->empty_dir = openat(mnt, "empty", O_PATH | O_CLOEXEC);
	b->empty_file = openat(mnt, "nothing", O_PATH | O_CLOEXEC);
	if (b->empty_dir < 0 || b->empty_file < 0)
		return err_sys(b->err, errno, "mounts: cannot fill the stage");
	const char *text = b->s->plan->resolv_conf;
	if (!text)
		return 0;
	cleanup_fd int out = openat(mnt, "resolv.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (out < 0 || write(out, text, strlen(text)) != (ssize_t)strlen(text))
		return err_sys(b->err, errno, "mounts: cannot fill the stage");
	b->resolv_file = openat(mnt, "resolv.conf", O_PATH | O_CLOEXEC);
	return b->resolv_file < 0 ? err_sys(b->err, errno, "mounts: cannot fill the stage") : 0;
}

/* /proc: numbers of this pid namespace only. Root inside mustn't reach the host's kernel through it. */
static int mount_proc(struct builder *b)
{
	int rc = mount_fs(b, "proc", NULL, inert, "/proc");
	if (rc < 0) {
		cleanup_fd int old = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
		int denied = box_degrade(b->s->plan, LAYER_PROC, &b->s->degraded, -rc, b->err,
					 "a /proc of its own cannot be mounted (a container that "
					 "masks parts of /proc forbids it: run it with unmasked "
					 "paths)");
		if (denied < 0)
			return denied;
		rc = old < 0 ? -errno
			     : bind_fd(b, old, AT_RECURSIVE, inert | MOUNT_ATTR_RDONLY, "/proc");
		return rc < 0 ? err_sys(b->err, -rc, "mounts: cannot show the host's /proc") : 0;
	}
	/* Mustn't nest user namespaces, by count as well as by the filter. */
	cleanup_fd int max =
		openat(b->root_fd, "proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
	if (max >= 0 && write(max, "0", 1) != 1)
		return err_sys(b->err, errno, "mounts: cannot forbid further user namespaces");
	static const char *const frozen[] = { "/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs" };
	static const char *const masked[] = {
		"/proc/kcore",       "/proc/keys", "/proc/sysrq-trigger", "/proc/timer_list",
		"/proc/timer_stats", "/proc/acpi", "/proc/sched_debug",   "/proc/scsi",
		"/proc/asound",      "/proc/kmsg", "/proc/latency_stats", "/proc/vmcore",
	};
	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++) {
		rc = freeze_path(b, frozen[i]);
		if (rc < 0)
			return err_sys(b->err, -rc, "mounts: cannot make %s read-only", frozen[i]);
	}
	for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++) {
		rc = cover(b, masked[i]);
		if (rc < 0)
			return err_sys(b->err, -rc, "mounts: cannot cover %s", masked[i]);
	}
	return 0;
}

static int mount_sys(struct builder *b)
{
	int rc = -EPERM;
	/* only the owner of the network namespace may mount a sysfs */
	if (b->s->plan->net != NET_HOST)
		rc = mount_fs(b, "sysfs", NULL, inert | MOUNT_ATTR_RDONLY, "/sys");
	if (rc == -EPERM) {
		cleanup_fd int old = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
		rc = old < 0 ? -errno
			     : bind_fd(b, old, AT_RECURSIVE, inert | MOUNT_ATTR_RDONLY, "/sys");
	}
	if (rc == 0)
		rc = cover(b, "/sys/firmware");
	if (rc == 0)
		rc = cover(b, "/sys/devices/virtual/powercap");
	return rc == 0 || rc == -ENOENT ? 0 : err_sys(b->err, -rc, "mounts: cannot show /sys");
}

static int bind_device(const struct builder *b, int dev_fd, const char *name, int source)
{
	char path[64];
	if (mknodat(dev_fd, name, S_IFREG | 0644, 0) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/dev/%s", name);
	/* read-only is the node: its mode and owner are the host's. The device takes writes all the same. */
	return bind_fd(b, source, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
		       path);
}

/*
 * The terminal outside, so that it has a name inside too, for ttyname(3). By its path:
 * the descriptor belongs to a mount of the caller's namespace, which cannot be bound here.
 */
static int open_terminal(int fd)
{
	char path[PATH_MAX];
	struct stat was, is;
	if (!isatty(fd) || ttyname_r(fd, path, sizeof(path)) != 0 || fstat(fd, &was) < 0)
		return -1;
	cleanup_fd int tty = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (tty < 0 || fstat(tty, &is) < 0 || is.st_rdev != was.st_rdev || is.st_ino != was.st_ino)
		return -1;
	return take_fd(&tty);
}

static int bind_nodes(const struct builder *b, int dev_fd)
{
	static const char *const nodes[] = { "null", "zero", "full", "random", "urandom", "tty" };
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		char path[64];
		snprintf(path, sizeof(path), "/dev/%s", nodes[i]);
		cleanup_fd int node = open(path, O_PATH | O_CLOEXEC);
		int rc = node < 0 ? -errno : bind_device(b, dev_fd, nodes[i], node);
		if (rc < 0)
			return rc;
	}
	for (int fd = 0; fd <= 2; fd++) {
		cleanup_fd int tty = open_terminal(fd);
		if (tty >= 0)
			return bind_device(b, dev_fd, "console", tty);
	}
	return 0;
}

static int fill_dev(const struct builder *b, int dev_fd)
{
	int rc = bind_nodes(b, dev_fd);
	if (rc < 0)
		return rc;
	static const char *const links[][2] = {
		{ "/proc/self/fd", "fd" },       { "/proc/self/fd/0", "stdin" },
		{ "/proc/self/fd/1", "stdout" }, { "/proc/self/fd/2", "stderr" },
		{ "pts/ptmx", "ptmx" },
	};
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlinkat(links[i][0], dev_fd, links[i][1]) < 0)
			return -errno;
	if (mkdirat(dev_fd, "pts", 0755) < 0 || mkdirat(dev_fd, "shm", 0755) < 0 ||
	    mkdirat(dev_fd, "mqueue", 0755) < 0)
		return -errno;
	/* gid 5 (tty) is mapped for root only */
	static const char *const root_pts[] = { "newinstance", "ptmxmode=0666", "mode=620", "gid=5",
						NULL };
	static const char *const user_pts[] = { "newinstance", "ptmxmode=0666", "mode=620", NULL };
	static const char *const shm[] = { "mode=1777", NULL };
	rc = mount_fs(b, "devpts", b->s->box->overlay.rootful ? root_pts : user_pts,
		      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "/dev/pts");
	if (rc == 0)
		rc = mount_fs(b, "tmpfs", shm, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, "/dev/shm");
	if (rc == 0)
		rc = mount_fs(b, "mqueue", NULL, inert, "/dev/mqueue");
	return rc == -ENODEV ? 0 : rc; /* a kernel without POSIX queues */
}

static int mount_dev(struct builder *b)
{
	static const char *const options[] = { "mode=0755", "size=64k", NULL };
	int rc = mount_fs(b, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "/dev");
	cleanup_fd int dev_fd = rc < 0 ? -1 : open_inside(b, "/dev", O_DIRECTORY);
	if (rc == 0)
		rc = dev_fd < 0 ? dev_fd : fill_dev(b, dev_fd);
	struct mount_attr set = { .attr_set = MOUNT_ATTR_RDONLY };
	if (rc == 0 && mount_setattr(dev_fd, "", AT_EMPTY_PATH, &set, sizeof(set)) < 0)
		rc = -errno;
	return rc < 0 ? err_sys(b->err, -rc, "mounts: cannot make /dev") : 0;
}

/* mkdir -p of the parents of @path (relative), below a directory of ours. */
static int make_parents(int dirfd, const char *path)
{
	char part[PATH_MAX];
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(dirfd, part, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/* /etc/resolv.conf often leads into /run, which is not carried over: its text is. */
static void copy_resolv_conf(int run_fd)
{
	char real[PATH_MAX], text[16384];
	if (!realpath("/etc/resolv.conf", real) || strncmp(real, "/run/", 5) != 0)
		return;
	cleanup_fd int in = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = in < 0 ? -1 : read(in, text, sizeof(text));
	if (n < 0 || make_parents(run_fd, real + 5) < 0)
		return;
	cleanup_fd int out =
		openat(run_fd, real + 5, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out >= 0 && write(out, text, (size_t)n) != n)
		unlinkat(run_fd, real + 5, 0);
}

/* Some distributions find their programs through links in /run. */
static void copy_run_links(int run_fd)
{
	cleanup_dir DIR *d = opendir("/run");
	const struct dirent *e;
	while (d && (e = readdir(d))) {
		char target[PATH_MAX];
		if (e->d_type != DT_LNK)
			continue;
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (symlinkat(target, run_fd, e->d_name) < 0)
			return;
	}
}

/* Mustn't show the host's /run: its sockets lead to daemons with powers of their own. */
static int mount_run(struct builder *b)
{
	static const char *const options[] = { "mode=0755", "size=64m", NULL };
	int rc = mount_fs(b, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, "/run");
	if (rc == -ENOENT)
		return 0;
	cleanup_fd int run_fd = rc < 0 ? -1 : open_inside(b, "/run", O_DIRECTORY);
	if (rc == 0 && run_fd < 0)
		rc = run_fd;
	char user[32];
	snprintf(user, sizeof(user), "user/%u", b->s->uid);
	if (rc == 0 &&
	    (mkdirat(run_fd, "lock", 01777) < 0 || fchmodat(run_fd, "lock", 01777, 0) < 0 ||
	     mkdirat(run_fd, "user", 0755) < 0 || mkdirat(run_fd, user, 0700) < 0))
		rc = -errno;
	if (rc < 0)
		return err_sys(b->err, -rc, "mounts: cannot make /run");
	copy_resolv_conf(run_fd);
	copy_run_links(run_fd);
	return 0;
}

/* Programs are told of the resolver where they look: on the loopback device. */
static int mount_resolv_conf(struct builder *b)
{
	if (b->resolv_file < 0)
		return 0;
	int rc = bind_fd(b, b->resolv_file, 0, inert | MOUNT_ATTR_RDONLY, "/etc/resolv.conf");
	/* without the file it is what the C library takes for granted */
	return rc < 0 && rc != -ENOENT ? err_sys(b->err, -rc, "mounts: /etc/resolv.conf") : 0;
}

/* A place for a socket below /run, which is new and empty. */
static int make_run_place(const struct builder *b, const char *path)
{
	cleanup_fd int run_fd = open_inside(b, "/run", O_DIRECTORY);
	if (strncmp(path, "/run/", 5) != 0)
		return -ENOENT;
	cleanup_fd int dir = run_fd < 0 ? -1 : openat(run_fd, ".", O_RDONLY | O_CLOEXEC);
	int rc = dir < 0 ? -ENOENT : make_parents(dir, path + 5);
	if (rc < 0)
		return rc;
	cleanup_fd int file = openat(dir, path + 5, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return file < 0 ? -errno : 0;
}

/*
 * Sockets of the host that the policy grants. The very inode is mounted, so what is connected
 * to is what was there at the start; nothing else of its directory comes along.
 */
static int mount_sockets(struct builder *b)
{
	const struct policy_patterns *list = &b->s->plan->policy->allow_unix;
	for (unsigned i = 0; i < list->count; i++) {
		char path[PATH_MAX], real[PATH_MAX];
		struct stat st;
		if (!pattern_as_mount(&list->items[i].pattern, path, sizeof(path)))
			return err_set(b->err, EINVAL,
				       "allow_unix: \"%s\" is a pattern: each socket is named by "
				       "its path",
				       list->items[i].pattern.text);
		cleanup_fd int fd =
			realpath(path, real) ? open(real, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (fd < 0 || fstat(fd, &st) < 0)
			return err_sys(b->err, errno, "allow_unix: %s", path);
		if (!S_ISSOCK(st.st_mode))
			return err_set(b->err, ENOTSOCK, "allow_unix: %s is no socket", path);
		int rc = bind_fd(b, fd, 0, inert, real);
		if (rc == -ENOENT) {
			rc = make_run_place(b, real);
			if (rc == 0)
				rc = bind_fd(b, fd, 0, inert, real);
		}
		if (rc < 0)
			return err_sys(b->err, -rc, "allow_unix: cannot show %s inside", path);
	}
	return 0;
}

static int cover_all(struct builder *b, const struct policy_patterns *patterns)
{
	char path[PATH_MAX];
	for (unsigned i = 0; i < patterns->count; i++) {
		if (!pattern_as_mount(&patterns->items[i].pattern, path, sizeof(path)))
			continue;
		int rc = cover(b, path);
		if (rc < 0)
			return err_sys(b->err, -rc, "mounts: cannot hide %s", path);
	}
	return 0;
}

/* What this program and the next run of it would execute, or take its rules from, outside. */
static int keep_programs(struct builder *b)
{
	const struct fence *f = b->s->plan->fence;
	for (unsigned i = 0; i < f->kept_count; i++) {
		cleanup_fd int fd = open_inside(b, f->kept[i], O_DIRECTORY);
		int rc = fd < 0 ? fd : bind_fd(b, fd, AT_RECURSIVE, MOUNT_ATTR_RDONLY, f->kept[i]);
		if (rc < 0 && rc != -ENOENT)
			return err_sys(b->err, -rc, "mounts: cannot keep %s from being written to",
				       f->kept[i]);
	}
	return 0;
}

static int cover_hidden(struct builder *b)
{
	const struct box_plan *plan = b->s->plan;
	int rc = 0;
	/*
	 * Mustn't see or reach its own upper, log or ring, nor those of other sessions; what it wrote to
	 * the configuration or the cache would be the rules or the root of the next one.
	 */
	for (unsigned i = 0; rc == 0 && i < plan->fence->dir_count; i++) {
		rc = cover(b, plan->fence->dirs[i]);
		if (rc < 0)
			return err_sys(b->err, -rc, "mounts: cannot cover %s",
				       plan->fence->dirs[i]);
	}
	rc = cover_all(b, &plan->policy->hide);
	/* Nobody judges reads then: what is blocked must not be there (reads_check saw that it can be). */
	if (rc == 0 && !plan->read_events)
		rc = cover_all(b, &plan->policy->blocked);
	return rc;
}

/* Not chroot: a task with a directory of the old tree open could climb out of one. */
static int pivot(struct builder *b)
{
	if (fchdir(b->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(b->err, errno, "mounts: cannot pivot into the new root");
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(b->err, errno, "mounts: cannot leave the old root");
	return 0;
}

int box_mounts_build(struct box_setup *s, struct err *err)
{
	struct builder b = { .s = s,
			     .err = err,
			     .root_fd = -1,
			     .empty_dir = -1,
			     .empty_file = -1,
			     .resolv_file = -1 };
	if (snprintf(b.root, sizeof(b.root), "%s/root", s->stage) >= (int)sizeof(b.root))
		return err_set(err, ENAMETOOLONG, "mounts: the session's path is too long");
	mode_t mask = umask(0);
	int rc = make_stage(&b);
	if (rc == 0)
		rc = overlay_mount(&s->box->overlay, &s->request, b.root, err);
	if (rc == 0) {
		b.root_fd = open(b.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (b.root_fd < 0)
			rc = err_sys(err, errno, "mounts: the new root");
	}
	int (*const steps[])(struct builder *) = { mount_proc,   mount_sys,         mount_dev,
						   mount_run,    mount_resolv_conf, keep_programs,
						   cover_hidden, mount_sockets,     pivot };
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
		rc = steps[i](&b);
	umask(mask);
	scope_close(&b.root_fd);
	scope_close(&b.empty_dir);
	scope_close(&b.empty_file);
	scope_close(&b.resolv_file);
	return rc;
}
