#include "sandbox/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void found(struct probe_result *ret, enum probe_level level, const char *fix,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void found(struct probe_result *ret, enum probe_level level, const char *fix,
		  const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(ret->text, sizeof(ret->text), fmt, ap);
	va_end(ap);
	snprintf(ret->fix, sizeof(ret->fix), "%s", fix);
	ret->level = level;
}

/* Runs @attempt in a child. What it returned: 0 or more, or -errno. */
static int in_child(int (*attempt)(const char *arg), const char *arg)
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

/* First number in a file of /proc/sys and the like; -1 when there is none. */
static long number_in(const char *path)
{
	char text[32] = "";
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	return strtol(text, NULL, 10);
}

static int write_text(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void probe_kernel(const char *state_path, struct probe_result *ret)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	(void)state_path;
	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major < 5 || (major == 5 && minor < 19))
		found(ret, PROBE_FAIL, "boot a kernel of 5.19 or later",
		      "Linux %s is too old: notifications that signals cannot cut off came with "
		      "5.19",
		      u.release);
	else
		found(ret, PROBE_OK, "", "Linux %s", u.release);
}

static int try_userns(const char *arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

static void probe_userns(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	int r = in_child(try_userns, NULL);
	if (r >= 0)
		found(ret, PROBE_OK, "", "user namespaces can be made");
	else if (number_in("/proc/sys/user/max_user_namespaces") == 0)
		found(ret, PROBE_FAIL, "sysctl -w user.max_user_namespaces=15000",
		      "user namespaces are switched off: user.max_user_namespaces is 0");
	else if (number_in("/proc/sys/kernel/unprivileged_userns_clone") == 0)
		found(ret, PROBE_FAIL, "sysctl -w kernel.unprivileged_userns_clone=1",
		      "user namespaces are for root only: kernel.unprivileged_userns_clone is 0");
	else if (number_in("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		found(ret, PROBE_FAIL,
		      "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor "
		      "profile for vsandbox with 'userns,'",
		      "AppArmor lets only profiled programs make user namespaces");
	else
		found(ret, PROBE_FAIL,
		      "in a container: run it with a seccomp profile that allows unshare, or "
		      "privileged",
		      "user namespaces cannot be made: %s", strerrordesc_np(-r));
}

static int try_namespaces(const char *arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
		       CLONE_NEWUTS | CLONE_NEWCGROUP) < 0
		       ? -errno
		       : 0;
}

static void probe_namespaces(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	int r = in_child(try_namespaces, NULL);
	if (r >= 0)
		found(ret, PROBE_OK, "", "mount, pid, network, ipc, uts and cgroup namespaces");
	else
		found(ret, PROBE_FAIL, "see the user-namespaces line; else /proc/sys/user/max_*",
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

static void probe_overlay(const char *state_path, struct probe_result *ret)
{
	char dir[PATH_MAX - 64], part[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s/probe-XXXXXX", state_path);
	if (!mkdtemp(dir)) {
		found(ret, PROBE_FAIL, "make it writable, or set XDG_STATE_HOME",
		      "the state directory %.120s cannot be written: %s", state_path,
		      strerrordesc_np(errno));
		return;
	}
	for (int i = OVERLAY_PARTS - 2; i > 0; i--) {
		snprintf(part, sizeof(part), "%s%s", dir, overlay_parts[i]);
		mkdir(part, 0700);
	}
	int r = in_child(try_overlay, dir);
	for (int i = 0; i < OVERLAY_PARTS; i++) {
		snprintf(part, sizeof(part), "%s%s", dir, overlay_parts[i]);
		rmdir(part);
	}
	if (r >= 0)
		found(ret, PROBE_OK, "", "overlays %s, upper halves in %.120s",
		      geteuid() == 0 ? "as root" : "inside a user namespace", state_path);
	else if (r == -EINVAL)
		found(ret, PROBE_FAIL,
		      "set XDG_STATE_HOME to a directory on ext4, xfs, btrfs or tmpfs",
		      "the filesystem of %.120s takes no overlay upper half (an overlay itself, or "
		      "NFS)",
		      state_path);
	else
		found(ret, PROBE_FAIL, r == -ENODEV ? "modprobe overlay" : "see the lines above",
		      "an overlay cannot be mounted: %s", strerrordesc_np(-r));
}

/* A listener of our own on a filter that lets everything pass; flags as a run asks for. */
static int try_notify(const char *arg)
{
	struct sock_filter code[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
	struct sock_fprog program = { .len = 1, .filter = code };
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	if (*arg == 'k')
		flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (fd < 0)
		return -errno;
	if (*arg != 'a')
		return 0;
	/* Of a request that does not exist: "no such request" proves that the flag is known. */
	struct seccomp_notif_addfd add = { .id = 1, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = 0 };
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static void probe_notify(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	int r = in_child(try_notify, "n");
	if (r >= 0)
		found(ret, PROBE_OK, "", "a seccomp listener can be had");
	else if (r == -EBUSY)
		found(ret, PROBE_FAIL,
		      "run it outside the other sandbox; on WSL2 set networkingMode=nat",
		      "somebody already listens to this process tree: one listener is all it can "
		      "have");
	else
		found(ret, PROBE_FAIL,
		      "boot a kernel with CONFIG_SECCOMP_FILTER, outside a "
		      "container profile that denies seccomp",
		      "no seccomp listener: %s", strerrordesc_np(-r));
}

static void probe_killable(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	int r = in_child(try_notify, "k");
	if (r >= 0)
		found(ret, PROBE_OK, "", "held calls are cut off by fatal signals only");
	else
		found(ret, PROBE_FAIL,
		      r == -EBUSY ? "see the seccomp-notify line"
				  : "boot a kernel of 5.19 or later",
		      "WAIT_KILLABLE_RECV: %s", strerrordesc_np(-r));
}

static void probe_addfd(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	int r = in_child(try_notify, "a");
	if (r >= 0)
		found(ret, PROBE_OK, "", "files can be opened on behalf of the agent");
	else
		found(ret, PROBE_FAIL,
		      r == -EBUSY ? "see the seccomp-notify line"
				  : "boot a kernel of 5.14 or later",
		      "ADDFD with SEND: %s", strerrordesc_np(-r));
}

static void probe_landlock(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi >= 3)
		found(ret, PROBE_OK, "", "ABI %ld", abi);
	else if (abi > 0)
		found(ret, PROBE_WARN, "a kernel of 6.2 or later also fences truncate", "ABI %ld",
		      abi);
	else if (errno == EOPNOTSUPP)
		found(ret, PROBE_FAIL,
		      "add landlock to the lsm= boot parameter, or --allow-degraded "
		      "landlock",
		      "Landlock is built in but switched off");
	else
		found(ret, PROBE_FAIL,
		      "boot a kernel with CONFIG_SECURITY_LANDLOCK, or "
		      "--allow-degraded landlock",
		      "no Landlock: %s", strerrordesc_np(errno));
}

static void probe_yama(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	long scope = number_in("/proc/sys/kernel/yama/ptrace_scope");
	if (scope >= 3)
		found(ret, PROBE_FAIL,
		      "boot with kernel.yama.ptrace_scope below 3 (it cannot be "
		      "lowered at run time)",
		      "yama.ptrace_scope is 3: the arguments of system calls cannot be read");
	else if (scope < 0)
		found(ret, PROBE_OK, "", "no yama: processes of ours can be read");
	else
		found(ret, PROBE_OK, "", "yama.ptrace_scope is %ld", scope);
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

static void probe_pidfd(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	int r = in_child(try_pidfd, NULL);
	if (r >= 0)
		found(ret, PROBE_OK, "", "pidfd_open and pidfd_getfd");
	else
		found(ret, PROBE_FAIL,
		      "boot a kernel of 5.6 or later, or allow these calls in the "
		      "container's seccomp profile",
		      "pidfd calls: %s", strerrordesc_np(-r));
}

/* Directory of the caller's group in a hierarchy: "memory" of v1, "" of v2. */
static bool group_directory(const char *controller, char *path, size_t size)
{
	cleanup_file FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	while (f && fgets(line, sizeof(line), f)) {
		char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		group[strcspn(group, "\n")] = 0;
		if (strcmp(names + 1, controller))
			continue;
		snprintf(path, size, "/sys/fs/cgroup%s%s%s", *controller ? "/" : "", controller,
			 strcmp(group, "/") ? group : "");
		if (!*controller && access(path, F_OK) < 0)
			snprintf(path, size, "/sys/fs/cgroup/unified%s",
				 strcmp(group, "/") ? group : "");
		return true;
	}
	return false;
}

static void probe_cgroup(const char *state_path, struct probe_result *ret)
{
	char path[PATH_MAX + 64], file[PATH_MAX + 128], controllers[256] = "";
	(void)state_path;
	if (group_directory("memory", path, sizeof(path)) && access(path, W_OK) == 0) {
		found(ret, PROBE_OK, "", "version 1, writable: --mem --cpu --pids work");
		return;
	}
	if (group_directory("", path, sizeof(path))) {
		snprintf(file, sizeof(file), "%s/cgroup.controllers", path);
		cleanup_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, controllers, sizeof(controllers) - 1) < 0)
			controllers[0] = 0;
		controllers[strcspn(controllers, "\n")] = 0;
		if (access(path, W_OK) == 0 && strstr(controllers, "memory")) {
			found(ret, PROBE_OK, "", "version 2, delegated: %.120s", controllers);
			return;
		}
	}
	found(ret, PROBE_WARN,
	      geteuid() == 0 ? "remount /sys/fs/cgroup writable, or run without limits"
			     : "systemd-run --user --scope -p Delegate=yes vsandbox run …",
	      "no control group of ours can be written: limits fall back to those of processes");
}

static void probe_subuid(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	if (geteuid() == 0)
		found(ret, PROBE_OK, "", "root: all users are mapped");
	else
		found(ret, PROBE_OK, "", "not needed: files of other users show as nobody's");
}

static void probe_container(const char *state_path, struct probe_result *ret)
{
	(void)state_path;
	char line[256];
	long filters = 0;
	cleanup_file FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Seccomp_filters:", 16))
			filters = strtol(line + 16, NULL, 10);
	const char *mark = getenv("VSANDBOX");
	bool nested = mark && strcmp(mark, "1") == 0;
	const char *inside = access("/run/.containerenv", F_OK) == 0 ? "inside a podman container"
			     : access("/.dockerenv", F_OK) == 0      ? "inside a docker container"
								     : "no outer container seen";
	if (nested)
		found(ret, PROBE_WARN, "run vsandbox outside of it",
		      "inside a vsandbox, which holds the one listener there can be");
	else if (filters)
		found(ret, PROBE_WARN, "if a line above fails, loosen the outer seccomp profile",
		      "%s, %ld seccomp filters are in force", inside, filters);
	else
		found(ret, PROBE_OK, "", "%s, no seccomp filter in force", inside);
}

const struct probe probe_table[] = {
	{ "kernel", "everything", probe_kernel },
	{ "user-namespaces", "the box", probe_userns },
	{ "namespaces", "the box", probe_namespaces },
	{ "overlay", "writes that are not final", probe_overlay },
	{ "seccomp-notify", "decisions before system calls", probe_notify },
	{ "wait-killable", "signals that do not cut off held calls", probe_killable },
	{ "addfd", "opens carried out by the monitor", probe_addfd },
	{ "landlock", "a second fence under the mounts", probe_landlock },
	{ "yama", "reading the arguments of calls", probe_yama },
	{ "pidfd", "signals that cannot hit the wrong process", probe_pidfd },
	{ "cgroup", "--mem, --cpu, --pids", probe_cgroup },
	{ "subuid", "files of other users", probe_subuid },
	{ "container", "nesting", probe_container },
	{ NULL },
};
