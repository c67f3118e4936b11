#include "sandbox/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"

const char *probe_level_name(enum probe_level level)
{
	static const char *const names[PROBE_LEVEL_COUNT] = {
		[PROBE_OK] = "ok", [PROBE_WARN] = "warn", [PROBE_FAIL] = "fail"
	};
	return level < PROBE_LEVEL_COUNT ? names[level] : "fail";
}

void probe_found(struct probe_result *ret, enum probe_level level, const char *fix, const char *fmt,
		 ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(ret->text, sizeof(ret->text), fmt, ap);
	va_end(ap);
	snprintf(ret->fix, sizeof(ret->fix), "%s", fix);
	ret->level = level;
}

int probe_in_child(int (*attempt)(const char *arg), const char *arg)
{
	int report[2], r = -ECHILD;
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		r = attempt(arg);
		_exit(write(report[1], &r, sizeof(r)) == (ssize_t)sizeof(r) ? 0 : 1);
	}
	int errnum = errno;
	close(report[1]);
	if (pid < 0 || read(report[0], &r, sizeof(r)) != (ssize_t)sizeof(r))
		r = pid < 0 ? -errnum : -ECHILD;
	close(report[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return r;
}

static int write_text(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void probe_kernel(const struct probe_host *h, struct probe_result *ret)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	(void)h;
	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major < 5 || (major == 5 && minor < 19))
		probe_found(
			ret, PROBE_FAIL, "boot a kernel of 5.19 or later",
			"Linux %s is too old: notifications that signals cannot cut off came with "
			"5.19",
			u.release);
	else
		probe_found(ret, PROBE_OK, "", "Linux %s", u.release);
}

static int try_userns(const char *arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

static void probe_userns(const struct probe_host *h, struct probe_result *ret)
{
	int r = probe_in_child(try_userns, NULL);
	probe_host_userns(h, r < 0 ? -r : 0, ret);
}

static int try_namespaces(const char *arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
		       CLONE_NEWUTS | CLONE_NEWCGROUP) < 0
		       ? -errno
		       : 0;
}

static void probe_namespaces(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_namespaces, NULL);
	if (r >= 0)
		probe_found(ret, PROBE_OK, "",
			    "mount, pid, network, ipc, uts and cgroup namespaces");
	else
		probe_found(ret, PROBE_FAIL,
			    "see the user-namespaces line; else /proc/sys/user/max_*",
			    "not all namespaces can be made: %s", strerrordesc_np(-r));
}

static int map_self(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -errno;
	int r = write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (r == 0 || r == -ENOENT)
		r = write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return r < 0 ? r : write_text("/proc/self/gid_map", map);
}

/* As a run does it: root builds the overlay outside, others inside their user namespace. */
static int try_overlay(const char *dir)
{
	char options[3 * PATH_MAX];
	bool root = geteuid() == 0;
	int r = root ? (unshare(CLONE_NEWNS) < 0 ? -errno : 0) : map_self();
	if (r < 0)
		return r;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work%s",
		 dir, dir, dir, root ? "" : ",userxattr");
	return mount("overlay", dir, "overlay", MS_NODEV, options) < 0 ? -errno : 0;
}

static const char *const overlay_parts[] = { "/work/work", "/work", "/upper", "/lower", "" };
enum { OVERLAY_PARTS = sizeof(overlay_parts) / sizeof(overlay_parts[0]) };

static void probe_overlay(const struct probe_host *h, struct probe_result *ret)
{
	char dir[PATH_MAX - 64], part[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s/probe-XXXXXX", h->state_path);
	if (!mkdtemp(dir)) {
		probe_found(ret, PROBE_FAIL, "make it writable, or set XDG_STATE_HOME",
			    "the state directory %.120s cannot be written: %s", h->state_path,
			    strerrordesc_np(errno));
		return;
	}
	for (int i = OVERLAY_PARTS - 2; i > 0; i--) {
		snprintf(part, sizeof(part), "%s%s", dir, overlay_parts[i]);
		mkdir(part, 0700);
	}
	int r = probe_in_child(try_overlay, dir);
	for (int i = 0; i < OVERLAY_PARTS; i++) {
		snprintf(part, sizeof(part), "%s%s", dir, overlay_parts[i]);
		rmdir(part);
	}
	if (r >= 0)
		probe_found(ret, PROBE_OK, "", "overlays %s, upper halves in %.120s",
			    geteuid() == 0 ? "as root" : "inside a user namespace", h->state_path);
	else if (r == -EINVAL)
		probe_found(ret, PROBE_FAIL,
			    "set XDG_STATE_HOME to a directory on ext4, xfs, btrfs or tmpfs",
			    "the filesystem of %.120s takes no overlay upper half (an overlay "
			    "itself, or "
			    "NFS)",
			    h->state_path);
	else
		probe_found(ret, PROBE_FAIL,
			    r == -ENODEV ? "modprobe overlay" : "see the lines above",
			    "an overlay cannot be mounted: %s", strerrordesc_np(-r));
}

/* What the monitor does to a process that is not its child's child: read it, take a descriptor. */
static int try_memory(const char *arg)
{
	static const char secret[] = "memory of another process";
	char copy[sizeof(secret)] = "", path[64];
	(void)arg;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		pause();
		_exit(0);
	}
	if (pid < 0)
		return -errno;
	struct iovec here = { copy, sizeof(copy) },
		     there = { (void *)(uintptr_t)secret, sizeof(copy) };
	bool vm = process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)sizeof(copy);
	int r = vm ? 0 : -errno;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	cleanup_fd int mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem >= 0 && pread(mem, copy, sizeof(copy), (off_t)(uintptr_t)secret) > 0)
		r = vm ? 0 : 1; /* the slower way alone */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return r;
}

static void probe_memory(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_memory, NULL);
	if (r == 0)
		probe_found(ret, PROBE_OK, "", "process_vm_readv and /proc/PID/mem");
	else if (r > 0)
		probe_found(ret, PROBE_FAIL,
			    "allow process_vm_readv in the container's seccomp profile",
			    "process_vm_readv is refused; /proc/PID/mem alone is not used");
	else
		probe_found(ret, PROBE_FAIL,
			    "see the yama line; in a container: --cap-add SYS_PTRACE",
			    "the memory of another process cannot be read: %s",
			    strerrordesc_np(-r));
}

static void probe_landlock(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi >= 3)
		probe_found(ret, PROBE_OK, "", "ABI %ld", abi);
	else if (abi > 0)
		probe_found(ret, PROBE_WARN, "a kernel of 6.2 or later also fences truncate",
			    "ABI %ld", abi);
	else if (errno == EOPNOTSUPP)
		probe_found(ret, PROBE_FAIL,
			    "add landlock to the lsm= boot parameter, or --allow-degraded "
			    "landlock",
			    "Landlock is built in but switched off");
	else
		probe_found(ret, PROBE_FAIL,
			    "boot a kernel with CONFIG_SECURITY_LANDLOCK, or "
			    "--allow-degraded landlock",
			    "no Landlock: %s", strerrordesc_np(errno));
}

static int try_pidfd(const char *arg)
{
	(void)arg;
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0)
		return -errno;
	cleanup_fd int copy = (int)syscall(SYS_pidfd_getfd, fd, STDIN_FILENO, 0);
	return copy < 0 && errno != EBADF ? -errno : 0;
}

static void probe_pidfd(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_pidfd, NULL);
	if (r >= 0)
		probe_found(ret, PROBE_OK, "", "pidfd_open and pidfd_getfd");
	else
		probe_found(ret, PROBE_FAIL,
			    "boot a kernel of 5.6 or later, or allow these calls in the "
			    "container's seccomp profile",
			    "pidfd calls: %s", strerrordesc_np(-r));
}

const struct probe probe_table[] = {
	{ "kernel", "everything", probe_kernel },
	{ "user-namespaces", "the box", probe_userns },
	{ "namespaces", "the box", probe_namespaces },
	{ "overlay", "writes that are not final", probe_overlay },
	{ "seccomp-notify", "decisions before system calls", probe_listener_notify },
	{ "wait-killable", "signals that do not cut off held calls", probe_listener_killable },
	{ "addfd", "opens carried out by the monitor", probe_listener_addfd },
	{ "fast-reply", "calls that a signal must not repeat", probe_listener_fast_reply },
	{ "memory", "arguments of calls", probe_memory },
	{ "landlock", "a second fence under the mounts", probe_landlock },
	{ "yama", "reading the arguments of calls", probe_host_yama },
	{ "pidfd", "signals that cannot hit the wrong process", probe_pidfd },
	{ "cgroup", "--mem, --cpu, --pids", probe_host_cgroup },
	{ "subuid", "files of other users", probe_host_subuid },
	{ "fuse", "nothing so far", probe_host_fuse },
	{ "container", "nesting", probe_host_container },
	{ "wsl", "Windows", probe_host_wsl },
	{ NULL },
};
