/* Limits: control groups where they can be had, resource limits of the processes for the rest. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/box_private.h"

enum { CGROUPS = 4 };

static int write_at(int dirfd, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Path of the caller in the hierarchy of @controller ("" the unified one). */
static int own_group(const char *controller, char *ret, size_t size)
{
	cleanup_file FILE *f = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX + 128];
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		names++;
		bool hit = *controller == '\0' && *names == '\0';
		char *save = NULL;
		for (char *n = strtok_r(names, ",", &save); *controller && n;
		     n = strtok_r(NULL, ",", &save))
			hit |= strcmp(n, controller) == 0;
		if (hit)
			return snprintf(ret, size, "%s", path) < (int)size ? 0 : -ENAMETOOLONG;
	}
	return -ENOENT;
}

/* Makes PARENT/vsandbox-SESSION and remembers it in the first free slot. Returns its O_PATH. */
static int make_group(struct box *b, const char *parent, const char *session)
{
	for (unsigned i = 0; i < CGROUPS; i++) {
		if (b->cgroup_dirs[i][0])
			continue;
		char name[128];
		snprintf(name, sizeof(name), "vsandbox-%s", session);
		if (snprintf(b->cgroup_dirs[i], sizeof(b->cgroup_dirs[i]), "%s/%s", parent, name) >=
		    (int)sizeof(b->cgroup_dirs[i])) {
			b->cgroup_dirs[i][0] = '\0';
			return -ENAMETOOLONG;
		}
		cleanup_fd int up = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int fd = up < 0 || (mkdirat(up, name, 0755) < 0 && errno != EEXIST)
				 ? -errno
				 : openat(up, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			fd = fd == -1 ? -errno : fd;
			b->cgroup_dirs[i][0] = '\0';
			return fd;
		}
		b->cgroup_parent_fds[i] = take_fd(&up);
		return fd;
	}
	return -ENOSPC;
}

struct knob {
	const char *controller;
	bool asked;
	char v1_file[32], v1_value[32], v2_file[32], v2_value[48];
};

static int apply_v1(const struct box_plan *plan, struct box *b, const struct knob *k)
{
	char group[PATH_MAX], parent[PATH_MAX + 64];
	int rc = own_group(k->controller, group, sizeof(group));
	if (rc < 0)
		return rc;
	snprintf(parent, sizeof(parent), "/sys/fs/cgroup/%s%s", k->controller,
		 strcmp(group, "/") == 0 ? "" : group);
	cleanup_fd int fd = make_group(b, parent, plan->session_id);
	return fd < 0 ? fd : write_at(fd, k->v1_file, k->v1_value);
}

/*
 * A group beside our own: with the unified hierarchy only leaves hold
 * processes, so that our own cannot have children. At the root, below it.
 */
static int apply_v2(const struct box_plan *plan, struct box *b, const struct knob *knobs,
		    unsigned count)
{
	char group[PATH_MAX], parent[PATH_MAX + 64];
	int rc = own_group("", group, sizeof(group));
	if (rc < 0)
		return rc;
	*strrchr(group, '/') = '\0';
	snprintf(parent, sizeof(parent), "/sys/fs/cgroup%s", group);
	cleanup_fd int up = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = make_group(b, parent, plan->session_id);
	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < count; i++) {
		char enable[32];
		if (!knobs[i].asked)
			continue;
		snprintf(enable, sizeof(enable), "+%s", knobs[i].controller);
		rc = write_at(fd, knobs[i].v2_file, knobs[i].v2_value);
		if (rc == -ENOENT && write_at(up, "cgroup.subtree_control", enable) == 0)
			rc = write_at(fd, knobs[i].v2_file, knobs[i].v2_value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int box_limits_create(const struct box_plan *plan, struct box *b, struct err *err)
{
	const struct policy_limits *l = &plan->policy->limits;
	struct knob knobs[] = {
		{ .controller = "memory",
		  .asked = l->memory_bytes > 0,
		  .v1_file = "memory.limit_in_bytes",
		  .v2_file = "memory.max" },
		{ .controller = "pids",
		  .asked = l->pids > 0,
		  .v1_file = "pids.max",
		  .v2_file = "pids.max" },
		{ .controller = "cpu",
		  .asked = l->cpus > 0,
		  .v1_file = "cpu.cfs_quota_us",
		  .v2_file = "cpu.max" },
	};
	enum { KNOBS = sizeof(knobs) / sizeof(knobs[0]) };
	if (!knobs[0].asked && !knobs[1].asked && !knobs[2].asked)
		return 0;
	snprintf(knobs[0].v1_value, sizeof(knobs[0].v1_value), "%" PRIu64, l->memory_bytes);
	snprintf(knobs[0].v2_value, sizeof(knobs[0].v2_value), "%" PRIu64, l->memory_bytes);
	/* and init */
	snprintf(knobs[1].v1_value, sizeof(knobs[1].v1_value), "%" PRIu64, l->pids + 1);
	snprintf(knobs[1].v2_value, sizeof(knobs[1].v2_value), "%" PRIu64, l->pids + 1);
	long quota = (long)(l->cpus * 100000);
	snprintf(knobs[2].v1_value, sizeof(knobs[2].v1_value), "%ld", quota < 1000 ? 1000 : quota);
	snprintf(knobs[2].v2_value, sizeof(knobs[2].v2_value), "%ld 100000",
		 quota < 1000 ? 1000 : quota);

	int rc = 0;
	const char *missing = "memory, pids, cpu";
	const char *advice = "systemd-run --user --scope -p Delegate=yes vsandbox ... gives an "
			     "ordinary user a subtree of its own";
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
		rc = apply_v2(plan, b, knobs, KNOBS);
	} else {
		advice = "control groups of version 1 are for root to make";
		for (unsigned i = 0; rc == 0 && i < KNOBS; i++) {
			if (knobs[i].asked)
				rc = apply_v1(plan, b, &knobs[i]);
			if (rc < 0)
				missing = knobs[i].controller;
		}
	}
	if (rc == 0)
		return 0;
	box_limits_remove(b);
	/* a limit of processes alone is kept by RLIMIT_NPROC, which counts per user namespace; not for root */
	if (geteuid() != 0 && !knobs[0].asked && !knobs[2].asked)
		return 0;
	return box_degrade(
		plan, LAYER_CGROUP, &b->degraded, -rc, err,
		"no control group of the kind %s can be made for the limits asked for (%s)",
		missing, advice);
}

int box_limits_join(const struct box *b, pid_t pid, struct err *err)
{
	char path[300], text[16];
	snprintf(text, sizeof(text), "%d", pid);
	for (unsigned i = 0; i < CGROUPS; i++) {
		if (!b->cgroup_dirs[i][0])
			continue;
		snprintf(path, sizeof(path), "%s/cgroup.procs", b->cgroup_dirs[i]);
		int rc = write_at(AT_FDCWD, path, text);
		if (rc < 0)
			return err_sys(err, -rc, "limits: cannot put the sandbox into %s",
				       b->cgroup_dirs[i]);
	}
	return 0;
}

void box_limits_remove(struct box *b)
{
	for (unsigned i = 0; i < CGROUPS; i++) {
		if (!b->cgroup_dirs[i][0])
			continue;
		/* a group is busy until the last of its dead has been buried */
		for (unsigned tries = 0; tries < 100; tries++) {
			if (unlinkat(b->cgroup_parent_fds[i], strrchr(b->cgroup_dirs[i], '/') + 1,
				     AT_REMOVEDIR) == 0 ||
			    errno != EBUSY)
				break;
			usleep(1000);
		}
		b->cgroup_dirs[i][0] = '\0';
		scope_close(&b->cgroup_parent_fds[i]);
		b->cgroup_parent_fds[i] = -1;
	}
}

static int lower_limit(__rlimit_resource_t resource, uint64_t value, const char *name,
		       struct err *err)
{
	struct rlimit now;
	if (getrlimit(resource, &now) < 0)
		return err_sys(err, errno, "limits: %s", name);
	rlim_t wanted = value < now.rlim_max ? (rlim_t)value : now.rlim_max;
	struct rlimit limit = { .rlim_cur = wanted, .rlim_max = wanted };
	if (setrlimit(resource, &limit) < 0)
		return err_sys(err, errno, "limits: cannot limit %s", name);
	return 0;
}

int box_limits_rlimits(const struct box_plan *plan, struct err *err)
{
	const struct policy_limits *l = &plan->policy->limits;
	int rc = 0;
	if (l->open_files)
		rc = lower_limit(RLIMIT_NOFILE, l->open_files, "open files", err);
	if (rc == 0 && l->file_bytes)
		rc = lower_limit(RLIMIT_FSIZE, l->file_bytes, "the size of files", err);
	/* counted per user namespace, where init and the monitor's threads are too */
	if (rc == 0 && l->pids)
		rc = lower_limit(RLIMIT_NPROC, l->pids + 8, "processes", err);
	return rc;
}
