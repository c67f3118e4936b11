/* The machines that doctor must recognise, as trees of their /proc, /sys, /etc and /run. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/probe.h"

struct machine {
	char path[64];
	struct probe_host host;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	strcpy(m->path, "/tmp/vsandbox-probe-XXXXXX");
	if (!mkdtemp(m->path))
		return -1;
	m->host = (struct probe_host){ .root_fd = open(m->path, O_PATH | O_DIRECTORY | O_CLOEXEC),
				       .uid = 1000,
				       .user = "ann",
				       .state_path = "/nowhere" };
	*state = m;
	return m->host.root_fd < 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;
	close(m->host.root_fd);
	nftw(m->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(m);
	return 0;
}

/* Writes a file of the machine and the directories above it. */
static void put(struct machine *m, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", m->path, name);
	for (char *slash = path + strlen(m->path); (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* A directory that the user of the machine may write, as far as its owner and mode tell. */
static void put_own_directory(struct machine *m, const char *name)
{
	char path[256];
	struct stat st;
	snprintf(path, sizeof(path), "%s/cgroup.procs", name);
	put(m, path, "");
	assert_int_equal(fstatat(m->host.root_fd, name, &st, 0), 0);
	m->host.uid = st.st_uid ? st.st_uid : m->host.uid;
	if (!st.st_uid)
		assert_int_equal(fchownat(m->host.root_fd, name, m->host.uid, 0, 0), 0);
}

static struct probe_result run(const struct machine *m,
			       void (*probe)(const struct probe_host *, struct probe_result *))
{
	struct probe_result r = { .level = PROBE_LEVEL_COUNT };
	probe(&m->host, &r);
	return r;
}

static struct probe_result userns(const struct machine *m, int errnum)
{
	struct probe_result r;
	probe_host_userns(&m->host, errnum, &r);
	return r;
}

#define says(r, level_, text_, fix_) \
	do { \
		assert_int_equal((r).level, (level_)); \
		if (!strstr((r).text, (text_)) || !strstr((r).fix, (fix_))) \
			fail_msg("\"%s\" (%s)", (r).text, (r).fix); \
		assert_true((r).level == PROBE_OK || (r).fix[0]); \
	} while (0)

static void test_user_namespaces(void **state)
{
	struct machine *m = *state;
	says(userns(m, 0), PROBE_OK, "can be made", "");
	says(userns(m, EINVAL), PROBE_FAIL, "no user namespaces", "CONFIG_USER_NS");
	says(userns(m, EPERM), PROBE_FAIL, "cannot be made", "seccomp profile");
	put(m, "proc/sys/user/max_user_namespaces", "7\n");
	says(userns(m, ENOSPC), PROBE_FAIL, "7 are allowed", "max_user_namespaces");
	/* Ubuntu 24.04 */
	put(m, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
	says(userns(m, EACCES), PROBE_FAIL, "AppArmor", "apparmor_restrict_unprivileged_userns=0");
	m->host.uid = 0;
	says(userns(m, EPERM), PROBE_FAIL, "cannot be made", "seccomp profile");
	m->host.uid = 1000;
	/* Debian 10 */
	put(m, "proc/sys/kernel/unprivileged_userns_clone", "0\n");
	says(userns(m, EPERM), PROBE_FAIL, "root only", "unprivileged_userns_clone=1");
	/* hardened */
	put(m, "proc/sys/user/max_user_namespaces", "0\n");
	says(userns(m, ENOSPC), PROBE_FAIL, "switched off", "max_user_namespaces=15000");
}

static void test_yama(void **state)
{
	struct machine *m = *state;
	says(run(m, probe_host_yama), PROBE_OK, "no yama", "");
	put(m, "proc/sys/kernel/yama/ptrace_scope", "1\n");
	says(run(m, probe_host_yama), PROBE_OK, "is 1", "");
	put(m, "proc/sys/kernel/yama/ptrace_scope", "3\n");
	says(run(m, probe_host_yama), PROBE_FAIL, "is 3", "ptrace_scope below 3");
}

static void test_cgroup_v2(void **state)
{
	struct machine *m = *state;
	put(m, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
	put(m, "proc/self/cgroup", "0::/user.slice/user-1000.slice/session-1.scope\n");
	put(m, "sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope/cgroup.procs", "");
	struct stat st;
	assert_int_equal(fstatat(m->host.root_fd, "sys", &st, 0), 0);
	if (st.st_uid == 0) /* a directory of root's is needed to be refused */
		says(run(m, probe_host_cgroup), PROBE_WARN, "not yours to write", "Delegate=yes");
	/* systemd-run --user --scope -p Delegate=yes */
	put(m, "proc/self/cgroup", "0::/user.slice/app.slice/run-1.scope\n");
	put(m, "sys/fs/cgroup/user.slice/app.slice/run-1.scope/cgroup.procs", "");
	put_own_directory(m, "sys/fs/cgroup/user.slice/app.slice");
	put(m, "sys/fs/cgroup/user.slice/app.slice/cgroup.controllers", "memory pids\n");
	says(run(m, probe_host_cgroup), PROBE_WARN, "without cpu", "Delegate=cpu memory pids");
	put(m, "sys/fs/cgroup/user.slice/app.slice/cgroup.controllers", "cpu memory pids\n");
	says(run(m, probe_host_cgroup), PROBE_OK, "version 2, delegated", "");
}

static void test_cgroup_v1(void **state)
{
	struct machine *m = *state;
	says(run(m, probe_host_cgroup), PROBE_WARN, "memory pids cpu", "as root");
	put(m, "proc/self/cgroup", "4:memory:/\n3:cpu,cpuacct:/\n2:pids:/grp\n1:name=systemd:/\n");
	put_own_directory(m, "sys/fs/cgroup/memory");
	says(run(m, probe_host_cgroup), PROBE_WARN, "for pids cpu:", "");
	put_own_directory(m, "sys/fs/cgroup/cpu");
	put_own_directory(m, "sys/fs/cgroup/pids/grp");
	says(run(m, probe_host_cgroup), PROBE_OK, "version 1, writable", "");
}

static void test_subuid(void **state)
{
	struct machine *m = *state;
	says(run(m, probe_host_subuid), PROBE_OK, "none are yours", "");
	put(m, "etc/subuid", "bob:100000:65536\nann:165536:65536\n1000:300000:10\nbroken\n");
	put(m, "etc/subgid", "ann:165536:65536\n");
	says(run(m, probe_host_subuid), PROBE_OK, "65546 uids and 65536 gids", "");
	m->host.uid = 0;
	says(run(m, probe_host_subuid), PROBE_OK, "root", "");
}

static void test_fuse_and_overlay(void **state)
{
	struct machine *m = *state;
	says(run(m, probe_host_fuse), PROBE_WARN, "no overlay", "modprobe overlay");
	put(m, "proc/filesystems", "nodev\tproc\nnodev\toverlay\n\text4\nnodev\tfuse\n");
	says(run(m, probe_host_fuse), PROBE_OK, "not there", "");
	put(m, "dev/fuse", "");
	says(run(m, probe_host_fuse), PROBE_OK, "there; not needed", "");
}

static void test_containers(void **state)
{
	struct machine *m = *state;
	says(run(m, probe_host_container), PROBE_OK, "no outer container", "");
	put(m, "proc/1/cgroup", "0::/kubepods/besteffort/pod1\n");
	says(run(m, probe_host_container), PROBE_OK, "Kubernetes", "");
	put(m, ".dockerenv", "");
	put(m, "proc/1/cgroup", "0::/\n");
	put(m, "proc/self/status", "Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n");
	says(run(m, probe_host_container), PROBE_WARN, "docker", "seccomp=unconfined");
	put(m, "run/.containerenv", "");
	says(run(m, probe_host_container), PROBE_WARN, "podman", "seccomp=unconfined");
	put(m, "proc/version", "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n");
	says(run(m, probe_host_container), PROBE_FAIL, "gVisor", "on the host");
	m->host.mark = "1";
	says(run(m, probe_host_container), PROBE_WARN, "inside a vsandbox", "outside");
}

static void test_wsl(void **state)
{
	struct machine *m = *state;
	put(m, "proc/version", "Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org)\n");
	says(run(m, probe_host_wsl), PROBE_OK, "not WSL", "");
	put(m, "proc/version", "Linux version 5.15.153.1-microsoft-standard-WSL2 (root@x)\n");
	says(run(m, probe_host_wsl), PROBE_WARN, "WSL 2", "networkingMode=nat");
	put(m, "proc/version", "Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com)\n");
	says(run(m, probe_host_wsl), PROBE_FAIL, "WSL 1", "set-version");
}

static void test_hostile_files(void **state)
{
	struct machine *m = *state;
	char long_line[20000];
	memset(long_line, ':', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = '\0';
	put(m, "proc/self/cgroup", long_line);
	put(m, "etc/subuid", long_line);
	put(m, "etc/subgid", "\n\n::\n");
	put(m, "proc/self/status", "\nSeccomp_filters:");
	run(m, probe_host_cgroup);
	run(m, probe_host_subuid);
	run(m, probe_host_container);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_user_namespaces), CASE(test_yama),   CASE(test_cgroup_v2),
		CASE(test_cgroup_v1),       CASE(test_subuid), CASE(test_fuse_and_overlay),
		CASE(test_containers),      CASE(test_wsl),    CASE(test_hostile_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
