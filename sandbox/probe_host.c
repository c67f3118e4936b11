/* Probes that read only: whose machine is this, and what has been switched off on it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/probe.h"

enum { TEXT_SIZE = 8192 };

/* The beginning of a file below the root, NUL-terminated; false when there is none. */
static bool read_text(const struct probe_host *h, const char *path, char text[static TEXT_SIZE])
{
	cleanup_fd int fd = openat(h->root_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t len = fd < 0 ? 0 : fd_read_all(fd, text, TEXT_SIZE - 1);
	text[len < 0 ? 0 : len] = '\0';
	return fd >= 0;
}

/* First number of a file; -1 when there is none. */
static long number_in(const struct probe_host *h, const char *path)
{
	char text[TEXT_SIZE], *end;
	if (!read_text(h, path, text))
		return -1;
	long n = strtol(text, &end, 10);
	return end == text ? -1 : n;
}

static bool is_there(const struct probe_host *h, const char *path)
{
	return faccessat(h->root_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void probe_host_userns(const struct probe_host *h, int errnum, struct probe_result *ret)
{
	long max = number_in(h, "proc/sys/user/max_user_namespaces");
	bool root = h->uid == 0;
	if (!errnum)
		probe_found(ret, PROBE_OK, "", "user namespaces can be made");
	else if (max == 0)
		probe_found(ret, PROBE_FAIL,
			    "sysctl -w user.max_user_namespaces=15000; to keep it: a file in "
			    "/etc/sysctl.d",
			    "user namespaces are switched off: user.max_user_namespaces is 0");
	else if (!root && number_in(h, "proc/sys/kernel/unprivileged_userns_clone") == 0)
		probe_found(ret, PROBE_FAIL, "sysctl -w kernel.unprivileged_userns_clone=1",
			    "user namespaces are for root only: kernel.unprivileged_userns_clone "
			    "is 0");
	else if (!root &&
		 number_in(h, "proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
		probe_found(ret, PROBE_FAIL,
			    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an "
			    "AppArmor profile for vsandbox with 'userns,'",
			    "AppArmor lets only profiled programs make user namespaces");
	else if (errnum == ENOSPC)
		probe_found(ret, PROBE_FAIL, "sysctl -w user.max_user_namespaces=15000",
			    "no user namespace is left: %ld are allowed, or they are nested too "
			    "deep",
			    max);
	else if (errnum == EINVAL || errnum == ENOSYS)
		probe_found(ret, PROBE_FAIL, "boot a kernel with CONFIG_USER_NS",
			    "this kernel has no user namespaces");
	else
		probe_found(ret, PROBE_FAIL,
			    "in a container: run it with a seccomp profile that allows unshare "
			    "and clone, or privileged",
			    "user namespaces cannot be made: %s", strerrordesc_np(errnum));
}

void probe_host_yama(const struct probe_host *h, struct probe_result *ret)
{
	long scope = number_in(h, "proc/sys/kernel/yama/ptrace_scope");
	if (scope >= 3)
		probe_found(
			ret, PROBE_FAIL,
			"boot with kernel.yama.ptrace_scope below 3 (it cannot be "
			"lowered at run time)",
			"yama.ptrace_scope is %ld: the arguments of system calls cannot be read",
			scope);
	else if (scope < 0)
		probe_found(ret, PROBE_OK, "", "no yama: processes of ours can be read");
	else
		probe_found(ret, PROBE_OK, "", "yama.ptrace_scope is %ld", scope);
}

/*
 * May @h->uid make groups in this directory? By its owner and mode, since a test's machine is not
 * ours; and by the kernel's own word, since a mount may be read-only.
 */
static bool group_writable(const struct probe_host *h, const char *path)
{
	struct stat st;
	if (fstatat(h->root_fd, path, &st, 0) < 0 || !S_ISDIR(st.st_mode))
		return false;
	bool owner = h->uid == 0 || (st.st_uid == h->uid && st.st_mode & 0200);
	return owner && (faccessat(h->root_fd, path, W_OK, 0) == 0 || errno == EACCES);
}

/* Directory of our group in a hierarchy: "memory" of version 1, "" of version 2. */
static bool group_directory(const struct probe_host *h, const char *controller,
			    char path[static PATH_MAX])
{
	char text[TEXT_SIZE], *save = NULL;
	if (!read_text(h, "proc/self/cgroup", text))
		return false;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		names++;
		size_t len = strlen(controller);
		const char *at = strstr(names, controller);
		/* one of a list: "cpu,cpuacct" */
		bool hit =
			len ? at && (at == names || at[-1] == ',') && (!at[len] || at[len] == ',')
			    : !*names;
		if (!hit)
			continue;
		const char *tail = strcmp(group, "/") ? group : "";
		snprintf(path, PATH_MAX, "sys/fs/cgroup%s%s%s", len ? "/" : "", controller, tail);
		if (!len && !is_there(h, path))
			snprintf(path, PATH_MAX, "sys/fs/cgroup/unified%s", tail);
		return true;
	}
	return false;
}

/* A group of version 2 is made beside our own: its parent must be ours to write. */
static bool cgroup_v2(const struct probe_host *h, struct probe_result *ret)
{
	static const char *const wanted[] = { "memory", "pids", "cpu" };
	char path[PATH_MAX], file[PATH_MAX + 64], controllers[TEXT_SIZE], missing[64] = "";
	if (!is_there(h, "sys/fs/cgroup/cgroup.controllers") || !group_directory(h, "", path))
		return false;
	char *slash = strrchr(path, '/');
	if (slash && strcmp(path, "sys/fs/cgroup") != 0)
		*slash = '\0';
	snprintf(file, sizeof(file), "%s/cgroup.controllers", path);
	read_text(h, file, controllers);
	controllers[strcspn(controllers, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!strstr(controllers, wanted[i]))
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
				 " %s", wanted[i]);
	if (!group_writable(h, path))
		probe_found(ret, PROBE_WARN,
			    h->uid == 0
				    ? "remount /sys/fs/cgroup writable, or run without limits"
				    : "systemd-run --user --scope -p Delegate=yes vsandbox run …",
			    "version 2, but /%.100s is not yours to write: --mem and --cpu are "
			    "refused",
			    path);
	else if (*missing)
		probe_found(ret, PROBE_WARN,
			    "systemctl edit user@.service: [Service] Delegate=cpu memory pids",
			    "version 2, delegated without%s", missing);
	else
		probe_found(ret, PROBE_OK, "", "version 2, delegated: %.120s", controllers);
	return true;
}

void probe_host_cgroup(const struct probe_host *h, struct probe_result *ret)
{
	static const char *const wanted[] = { "memory", "pids", "cpu" };
	char path[PATH_MAX], missing[64] = "";
	if (cgroup_v2(h, ret))
		return;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!group_directory(h, wanted[i], path) || !group_writable(h, path))
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
				 " %s", wanted[i]);
	if (!*missing)
		probe_found(ret, PROBE_OK, "", "version 1, writable: --mem --cpu --pids work");
	else
		probe_found(ret, PROBE_WARN,
			    h->uid == 0
				    ? "mount these controllers writable, or run without limits"
				    : "run as root where limits are wanted: version 1 cannot be "
				      "delegated safely",
			    "no control group of ours can be written for%s: limits fall back to "
			    "those of processes, or are refused",
			    missing);
}

/* Ids that /etc/subuid grants to the user, by name or number. */
static long granted(const struct probe_host *h, const char *path)
{
	char text[TEXT_SIZE], number[32], *save = NULL;
	long sum = 0;
	snprintf(number, sizeof(number), "%u", h->uid);
	if (!read_text(h, path, text))
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *first = strchr(line, ':'), *count = first ? strchr(first + 1, ':') : NULL;
		if (!count)
			continue;
		*first = '\0';
		if (!strcmp(line, number) || (h->user && !strcmp(line, h->user)))
			sum += strtol(count + 1, NULL, 10);
	}
	return sum;
}

void probe_host_subuid(const struct probe_host *h, struct probe_result *ret)
{
	if (h->uid == 0) {
		probe_found(ret, PROBE_OK, "", "root: all users are mapped");
		return;
	}
	long uids = granted(h, "etc/subuid"), gids = granted(h, "etc/subgid");
	if (uids && gids)
		probe_found(ret, PROBE_OK, "",
			    "%ld uids and %ld gids are yours; not needed: files of other users "
			    "show as nobody's",
			    uids, gids);
	else
		probe_found(ret, PROBE_OK, "",
			    "none are yours; not needed: files of other users show as nobody's");
}

void probe_host_fuse(const struct probe_host *h, struct probe_result *ret)
{
	char text[TEXT_SIZE];
	read_text(h, "proc/filesystems", text);
	bool overlay = strstr(text, "\toverlay\n") != NULL;
	bool fuse = strstr(text, "\tfuse\n") && is_there(h, "dev/fuse");
	if (overlay)
		probe_found(ret, PROBE_OK, "", "%s; not needed: the kernel has overlays",
			    fuse ? "there" : "not there");
	else
		probe_found(ret, PROBE_WARN, "modprobe overlay",
			    "the kernel lists no overlay; FUSE %s, and is not used in its place",
			    fuse ? "is there" : "is not there either");
}

static long outer_filters(const struct probe_host *h)
{
	char text[TEXT_SIZE];
	read_text(h, "proc/self/status", text);
	const char *line = strstr(text, "\nSeccomp_filters:");
	return line ? strtol(line + strlen("\nSeccomp_filters:"), NULL, 10) : 0;
}

/* What runs us; "" nothing seen. */
static const char *outer_container(const struct probe_host *h)
{
	char version[TEXT_SIZE], systemd[TEXT_SIZE], group[TEXT_SIZE];
	read_text(h, "proc/version", version);
	read_text(h, "run/systemd/container", systemd);
	read_text(h, "proc/1/cgroup", group);
	if (strstr(version, "gVisor") || strstr(version, "#1 SMP Sun Jan 10 15:06:54 PST 2016"))
		return "gVisor";
	if (is_there(h, "run/.containerenv"))
		return "a podman container";
	if (is_there(h, "var/run/secrets/kubernetes.io") || strstr(group, "kubepods"))
		return "a Kubernetes pod";
	if (is_there(h, ".dockerenv") || strstr(group, "/docker/"))
		return "a docker container";
	if (strstr(systemd, "lxc") || strstr(group, "/lxc"))
		return "an LXC container";
	return systemd[0] ? "a container" : "";
}

void probe_host_container(const struct probe_host *h, struct probe_result *ret)
{
	const char *outer = outer_container(h);
	long filters = outer_filters(h);
	if (h->mark && !strcmp(h->mark, "1"))
		probe_found(ret, PROBE_WARN, "run vsandbox outside of it",
			    "inside a vsandbox, which holds the one listener there can be");
	else if (!strcmp(outer, "gVisor"))
		probe_found(ret, PROBE_FAIL,
			    "run vsandbox on the host, or the container with another runtime",
			    "inside gVisor, whose kernel has no seccomp listener");
	else if (filters)
		probe_found(ret, PROBE_WARN,
			    "if a line above fails: --security-opt seccomp=unconfined for docker "
			    "and podman, seccompProfile: Unconfined for Kubernetes",
			    "inside %s, %ld seccomp filters are in force",
			    *outer ? outer : "something with filters", filters);
	else if (*outer)
		probe_found(ret, PROBE_OK, "", "inside %s without a seccomp filter", outer);
	else
		probe_found(ret, PROBE_OK, "",
			    "no outer container seen, no seccomp filter in force");
}

void probe_host_wsl(const struct probe_host *h, struct probe_result *ret)
{
	char version[TEXT_SIZE];
	read_text(h, "proc/version", version);
	for (char *c = version; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	bool wsl =
		strstr(version, "microsoft") || is_there(h, "proc/sys/fs/binfmt_misc/WSLInterop");
	if (!wsl)
		probe_found(ret, PROBE_OK, "", "not WSL");
	else if (strstr(version, "linux version 4.4."))
		probe_found(ret, PROBE_FAIL, "wsl --set-version DISTRIBUTION 2",
			    "WSL 1: there is no Linux kernel here");
	else
		probe_found(ret, PROBE_WARN,
			    "if seccomp-notify says that somebody listens: networkingMode=nat in "
			    ".wslconfig",
			    "WSL 2: with mirrored networking its own listener takes the one there "
			    "can be");
}
