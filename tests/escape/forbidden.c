/*
 * Calls that nothing in a sandbox needs and that break out of one: tracing, devices, keys,
 * kernel objects. "Reached" is told from "refused" by arguments to which the kernel itself
 * gives another errno than a filter.
 */
#include "attack.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/xattr.h>

/* other processes of the same sandbox */
static pid_t sibling(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int on_sibling(int (*body)(pid_t))
{
	pid_t pid = sibling();
	int code;

	if (pid < 0)
		return skip("fork");
	code = body(pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return code;
}

static char word[16] = "original";

static int body_attach(pid_t pid)
{
	return verdict(ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0);
}

static int body_seize(pid_t pid)
{
	return verdict(ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0);
}

static int body_suspend(pid_t pid)
{
	/* PTRACE_O_SUSPEND_SECCOMP */
	return verdict(ptrace(PTRACE_SEIZE, pid, NULL, 1UL << 21) == 0);
}

static int body_vm_write(pid_t pid)
{
	struct iovec local = { word, sizeof(word) }, remote = { word, sizeof(word) };

	return verdict(process_vm_writev(pid, &local, 1, &remote, 1, 0) > 0);
}

static int body_vm_read(pid_t pid)
{
	struct iovec local = { word, sizeof(word) }, remote = { word, sizeof(word) };

	return verdict(process_vm_readv(pid, &local, 1, &remote, 1, 0) > 0);
}

static int body_proc_mem(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR);
	return verdict(fd >= 0 && pwrite(fd, word, 1, (off_t)(uintptr_t)word) == 1);
}

static int body_getfd(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return verdict(pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0);
}

static int body_kcmp(pid_t pid)
{
	return verdict(syscall(SYS_kcmp, getpid(), pid, 0, 0, 0) >= 0);
}

static int ptrace_attach(void)
{
	return on_sibling(body_attach);
}

static int ptrace_seize(void)
{
	return on_sibling(body_seize);
}

static int ptrace_suspend_seccomp(void)
{
	return on_sibling(body_suspend);
}

static int vm_writev(void)
{
	return on_sibling(body_vm_write);
}

static int vm_readv(void)
{
	return on_sibling(body_vm_read);
}

static int proc_mem(void)
{
	return on_sibling(body_proc_mem);
}

static int pidfd_getfd_sibling(void)
{
	return on_sibling(body_getfd);
}

static int kcmp_sibling(void)
{
	return on_sibling(body_kcmp);
}

static int traceme_body(void)
{
	return verdict(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
}

static int ptrace_traceme(void)
{
	return in_child(traceme_body);
}

/* the filter itself */
static int new_listener_body(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { 1, &allow };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return verdict(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			       SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog) >= 0);
}

static int seccomp_new_listener(void)
{
	return in_child(new_listener_body);
}

/* A filter of one's own cannot weaken what is there: the newest-first rule is not "last wins". */
static int filter_over_body(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { 1, &allow };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
		note("own filter refused: %s", strerror(errno));
	return reads_secret(open("secret.env", O_RDONLY));
}

static int filter_over(void)
{
	return in_child(filter_over_body);
}

/* devices and forged overlay marks */
static int mknod_null(void)
{
	return verdict(mknod("node", S_IFCHR | 0600, makedev(1, 3)) == 0);
}

static int mknod_whiteout(void)
{
	return verdict(mknod("node", S_IFCHR | 0600, makedev(0, 0)) == 0);
}

static int mknod_block(void)
{
	return verdict(mknodat(AT_FDCWD, "node", S_IFBLK | 0600, makedev(7, 0)) == 0);
}

static int mknod_high_mode(void)
{
	return verdict(syscall(SYS_mknod, "node", (S_IFCHR | 0600) | (1UL << 32), makedev(1, 5)) ==
		       0);
}

static int xattr_trusted(void)
{
	return verdict(setxattr("open", "trusted.overlay.opaque", "y", 1, 0) == 0);
}

static int xattr_user_overlay(void)
{
	return verdict(setxattr("open", "user.overlay.opaque", "y", 1, 0) == 0);
}

static int xattr_user_overlay_fd(void)
{
	int fd = open("plain.txt", O_RDWR);

	return verdict(fd >= 0 && fsetxattr(fd, "user.overlay.redirect", "/etc", 4, 0) == 0);
}

static int xattr_user_overlay_l(void)
{
	return verdict(lsetxattr("open", "user.overlay.redirect", "/etc", 4, 0) == 0);
}

static int handle_guess(void)
{
	struct {
		struct file_handle h;
		uint32_t ino, gen;
	} guess = { .h = { .handle_bytes = 8, .handle_type = 1 }, .ino = 2 };
	int dir = open("/", O_RDONLY | O_DIRECTORY);
	long fd = syscall(SYS_open_by_handle_at, dir, &guess, O_RDONLY);

	return fd >= 0 ? SUCCEEDED : verdict(errno == ESTALE || errno == EINVAL);
}

/* kernel objects: a filter says EPERM or ENOSYS, the kernel says something else */
static int keyctl_parent(void)
{
	return reached(syscall(SYS_keyctl, 18 /* SESSION_TO_PARENT */, 0, 0, 0, 0));
}

static int keyctl_join(void)
{
	return reached(syscall(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, 0, 0, 0, 0));
}

static int add_key(void)
{
	return reached(
		syscall(SYS_add_key, "user", "vsandbox-test", "x", 1, -2 /* process keyring */));
}

static int bpf_map(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return verdict(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)) >= 0);
}

static int perf_open(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.exclude_kernel = 1 };

	return verdict(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0);
}

static int userfaultfd_open(void)
{
	return verdict(syscall(SYS_userfaultfd, 1 /* USER_MODE_ONLY */) >= 0);
}

static int secret_memory(void)
{
	return verdict(syscall(447, 0) >= 0);
}

static int uring_setup(void)
{
	char params[128] = { 0 };

	return verdict(syscall(SYS_io_uring_setup, 1, params) >= 0);
}

static int uring_enter_reach(void)
{
	return reached(syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0));
}

static int uring_register_reach(void)
{
	return reached(syscall(SYS_io_uring_register, -1, 0, NULL, 0));
}

static int module_reach(void)
{
	return reached(syscall(SYS_init_module, "", 0, ""));
}

static int kexec_reach(void)
{
	return reached(syscall(SYS_kexec_load, 0, 17, NULL, 0xffff0000UL));
}

static int swapoff_reach(void)
{
	return reached(syscall(SYS_swapoff, "plain.txt"));
}

static int quotactl_reach(void)
{
	return reached(syscall(SYS_quotactl, 0x80000100u | 1, "/none", 0, NULL));
}

static int syslog_reach(void)
{
	return reached(syscall(SYS_syslog, 10, NULL, 0));
}

static int settime_reach(void)
{
	struct timespec bad = { 0, -1 };

	return reached(syscall(SYS_clock_settime, 0, &bad));
}

static int reboot_reach(void)
{
	return reached(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static int acct_reach(void)
{
	return reached(syscall(SYS_acct, "/nonexistent/x"));
}

static int set_mm_exe(void)
{
	return reached(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, -1, 0, 0));
}

static int madvise_reach(void)
{
	return reached(syscall(SYS_process_madvise, -1, NULL, 0, 0, 0));
}

/* privileges that a set-uid bit or a capability would bring back */
static int new_privileges(void)
{
	return verdict(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

static int capability_left(void)
{
	/* 21 CAP_SYS_ADMIN, 16 MODULE, 17 RAWIO, 12 NET_ADMIN, 22 BOOT, 25 TIME, 39 BPF */
	static const int caps[] = { 21, 16, 17, 22, 25, 39 };
	uint64_t effective = 0, bounding = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "CapEff: %lx", &effective);
		sscanf(line, "CapBnd: %lx", &bounding);
	}
	if (f)
		fclose(f);
	for (size_t i = 0; i < sizeof(caps) / sizeof(*caps); i++)
		if ((effective | bounding) >> caps[i] & 1) {
			note("capability %d is left", caps[i]);
			return SUCCEEDED;
		}
	return STOPPED;
}

/* /proc and /sys as mapped root could use them; each file is opened, nothing is written */
static int proc_fences(void)
{
	static const char *const files[] = {
		"/proc/sys/kernel/core_pattern",
		"/proc/sys/kernel/modprobe",
		"/proc/sysrq-trigger",
		"/proc/sys/vm/overcommit_memory",
		"/sys/kernel/uevent_helper",
		"/proc/kcore",
		"/proc/irq/default_smp_affinity",
	};
	int open_count = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		int fd = open(files[i], O_WRONLY);

		if (fd >= 0) {
			note("%s opens for writing", files[i]);
			open_count++;
			close(fd);
		}
	}
	return verdict(open_count > 0);
}

static int disk_device(void)
{
	static const char *const disks[] = {
		"/dev/vda",  "/dev/sda", "/dev/nvme0n1", "/dev/mem",
		"/dev/kmsg", "/dev/kvm", "/dev/fuse",    "/dev/loop0"
	};

	for (size_t i = 0; i < sizeof(disks) / sizeof(*disks); i++) {
		int fd = open(disks[i], O_RDONLY | O_NONBLOCK);

		if (fd >= 0) {
			note("%s opens", disks[i]);
			return SUCCEEDED;
		}
	}
	return STOPPED;
}

/* execution without a name */
static int memfd_exec_body(void)
{
	char buffer[65536];
	ssize_t n;
	int exe = open("/proc/self/exe", O_RDONLY), fd = memfd_create("x", 0);
	char *const argv[] = { (char *)"x", (char *)"--role", NULL };

	if (exe < 0 || fd < 0)
		return verdict(false);
	while ((n = read(exe, buffer, sizeof(buffer))) > 0)
		if (write(fd, buffer, (size_t)n) != n)
			return skip("write");
	fexecve(fd, argv, environ);
	return verdict(false);
}

static int memfd_exec(void)
{
	return in_child(memfd_exec_body) == 7 ? SUCCEEDED : STOPPED;
}

static int memfd_script_body(void)
{
	int fd = memfd_create("x", 0);
	char *const argv[] = { (char *)"x", NULL };

	if (fd < 0 || dprintf(fd, "#!/bin/sh\nexit 7\n") < 0)
		return verdict(false);
	fexecve(fd, argv, environ);
	return verdict(false);
}

static int memfd_script(void)
{
	return in_child(memfd_script_body) == 7 ? SUCCEEDED : STOPPED;
}

static int written_exec_body(void)
{
	char *const argv[] = { (char *)"x", NULL };
	int fd = open("mine", O_WRONLY | O_CREAT | O_EXCL, 0700);

	if (fd < 0 || dprintf(fd, "#!/bin/sh\nexit 7\n") < 0 || close(fd) != 0)
		return verdict(false);
	execve("./mine", argv, environ);
	return verdict(false);
}

/* "agent only": what the agent wrote itself does not run under strict */
static int written_exec(void)
{
	return in_child(written_exec_body) == 7 ? SUCCEEDED : STOPPED;
}

const struct attack attacks[] = {
	MUST(ptrace_attach),
	MUST(ptrace_seize),
	MAY(ptrace_suspend_seccomp),
	MUST(ptrace_traceme),
	MUST(vm_writev),
	MUST(vm_readv),
	MUST(proc_mem),
	MUST(pidfd_getfd_sibling),
	MAY(kcmp_sibling),
	MUST(seccomp_new_listener),
	MUST(filter_over),
	MAY(mknod_null),
	MUST(mknod_whiteout),
	MAY(mknod_block),
	MAY(mknod_high_mode),
	ROOT(xattr_trusted),
	MAY(xattr_user_overlay),
	MAY(xattr_user_overlay_fd),
	MAY(xattr_user_overlay_l),
	MAY(handle_guess),
	MAY(keyctl_parent),
	MAY(keyctl_join),
	MAY(add_key),
	MAY(bpf_map),
	MAY(perf_open),
	MAY(userfaultfd_open),
	MAY(secret_memory),
	MAY(uring_setup),
	MAY(uring_enter_reach),
	MAY(uring_register_reach),
	MAY(module_reach),
	MAY(kexec_reach),
	MAY(swapoff_reach),
	MAY(quotactl_reach),
	MAY(syslog_reach),
	MAY(settime_reach),
	MAY(reboot_reach),
	MAY(acct_reach),
	MAY(set_mm_exe),
	MAY(madvise_reach),
	MUST(new_privileges),
	MAY(capability_left),
	MAY(proc_fences),
	MAY(disk_device),
	MUST(memfd_exec),
	MUST(memfd_script),
	MUST(written_exec),
	{ 0 },
};
