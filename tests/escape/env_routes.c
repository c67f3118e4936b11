/* A *.env file by every route: reading it, changing it, getting it under another name. */
#include "attack.h"

#include <link.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/xattr.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

static int open_read(void)
{
	return reads_secret(open("secret.env", O_RDONLY));
}

static int open_legacy(void)
{
#ifdef SYS_open
	return reads_secret((int)syscall(SYS_open, "secret.env", O_RDONLY));
#else
	return STOPPED;
#endif
}

static int open_write(void)
{
	int fd = open("secret.env", O_WRONLY);

	return verdict(fd >= 0 && write(fd, "x", 1) == 1);
}

static int open_rdwr(void)
{
	return reads_secret(open("secret.env", O_RDWR));
}

static int open_append(void)
{
	int fd = open("secret.env", O_WRONLY | O_APPEND);

	return verdict(fd >= 0 && write(fd, "x", 1) == 1);
}

static int open_trunc(void)
{
	return verdict(open("secret.env", O_WRONLY | O_TRUNC) >= 0);
}

static int open_trunc_rdonly(void)
{
	return verdict(open("secret.env", O_RDONLY | O_TRUNC) >= 0);
}

static int open_creat(void)
{
	return verdict(creat("secret.env", 0600) >= 0);
}

static int open_dirfd(void)
{
	int dir = open(".", O_RDONLY | O_DIRECTORY);

	return reads_secret(openat(dir, "secret.env", O_RDONLY));
}

static int open_absolute(void)
{
	char path[4096];

	if (!getcwd(path, sizeof(path) - 32))
		return skip("getcwd");
	strcat(path, "//./sub/..///secret.env");
	return reads_secret(open(path, O_RDONLY));
}

static int open_openat2(void)
{
	struct open_how how = { .flags = O_RDONLY };

	return reads_secret((int)syscall(SYS_openat2, AT_FDCWD, "secret.env", &how, sizeof(how)));
}

static int open_openat2_beneath(void)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_BENEATH };
	int dir = open("sub", O_PATH | O_DIRECTORY);

	return reads_secret((int)syscall(SYS_openat2, dir, "secret.env", &how, sizeof(how)));
}

/* A larger structure with a zero tail is legal; with a non-zero tail it is E2BIG. */
static int open_openat2_long(void)
{
	char how[4096] = { 0 };
	struct open_how small = { .flags = O_RDONLY };

	memcpy(how, &small, sizeof(small));
	return reads_secret((int)syscall(SYS_openat2, AT_FDCWD, "secret.env", how, sizeof(how)));
}

static int via_hard_link(void)
{
	if (link("secret.env", "linked.txt") != 0)
		return verdict(false);
	return reads_secret(open("linked.txt", O_RDONLY));
}

static int via_hard_link_fd(void)
{
	char path[64];
	int fd = open("secret.env", O_PATH);

	if (fd < 0)
		return verdict(false);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, AT_FDCWD, "linked.txt", AT_SYMLINK_FOLLOW) != 0)
		return verdict(false);
	return reads_secret(open("linked.txt", O_RDONLY));
}

static int via_hard_link_empty(void)
{
	int fd = open("secret.env", O_PATH);

	if (fd < 0 || linkat(fd, "", AT_FDCWD, "linked.txt", AT_EMPTY_PATH) != 0)
		return verdict(false);
	return reads_secret(open("linked.txt", O_RDONLY));
}

static int via_symlink(void)
{
	if (symlink("secret.env", "soft.txt") != 0)
		return verdict(false);
	return reads_secret(open("soft.txt", O_RDONLY));
}

static int via_found_symlink(void)
{
	return reads_secret(open("alias.link", O_RDONLY));
}

static int via_symlink_chain(void)
{
	if (symlink("two.txt", "one.txt") || symlink("sub", "subdir") ||
	    symlink("subdir/../secret.env", "two.txt"))
		return verdict(false);
	return reads_secret(open("one.txt", O_RDONLY));
}

static int via_rename(void)
{
	if (rename("secret.env", "renamed.txt") != 0)
		return verdict(false);
	return reads_secret(open("renamed.txt", O_RDONLY));
}

static int via_rename_onto(void)
{
	return verdict(rename("plain.txt", "secret.env") == 0);
}

static int via_exchange(void)
{
	if (syscall(SYS_renameat2, AT_FDCWD, "plain.txt", AT_FDCWD, "secret.env", RENAME_EXCHANGE))
		return verdict(false);
	return reads_secret(open("plain.txt", O_RDONLY));
}

static int via_parent_rename(void)
{
	if (rename("sub", "moved") != 0)
		return verdict(false);
	return reads_secret(open("moved/secret.env", O_RDONLY));
}

static int via_parent_symlink(void)
{
	if (symlink("sub", "innocent") != 0)
		return verdict(false);
	return reads_secret(open("innocent/secret.env", O_RDONLY));
}

static int via_proc_fd(void)
{
	char path[64];
	int fd = open("secret.env", O_PATH);

	if (fd < 0)
		return verdict(false);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return reads_secret(open(path, O_RDONLY));
}

static int via_dev_fd(void)
{
	char path[64];
	int fd = open("secret.env", O_PATH);

	if (fd < 0)
		return verdict(false);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	return reads_secret(open(path, O_RDONLY));
}

static int via_proc_fd_write(void)
{
	char path[64];
	int fd = open("secret.env", O_PATH);

	if (fd < 0)
		return verdict(false);
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	fd = open(path, O_WRONLY);
	return verdict(fd >= 0 && write(fd, "x", 1) == 1);
}

static int via_proc(const char *prefix)
{
	char path[8192], cwd[4000];

	if (!getcwd(cwd, sizeof(cwd)))
		return skip("getcwd");
	snprintf(path, sizeof(path), prefix, cwd);
	return reads_secret(open(path, O_RDONLY));
}

static int via_proc_root(void)
{
	return via_proc("/proc/self/root%s/secret.env");
}

static int via_proc_thread_root(void)
{
	return via_proc("/proc/thread-self/root/proc/self/root%s/secret.env");
}

static int via_proc_cwd(void)
{
	return reads_secret(open("/proc/self/cwd/secret.env", O_RDONLY));
}

static int via_proc_pid_cwd(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/cwd/secret.env", getpid(), getpid());
	return reads_secret(open(path, O_RDONLY));
}

static int via_proc_1_root(void)
{
	return via_proc("/proc/1/root%s/secret.env");
}

static int via_chroot(void)
{
	if (chroot("sub") != 0)
		return verdict(false);
	return reads_secret(open("/secret.env", O_RDONLY));
}

static int via_mmap(void)
{
	int fd = open("secret.env", O_RDONLY);
	char *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	return verdict(p != MAP_FAILED && !strncmp(p, SECRET, sizeof(SECRET) - 1));
}

static int via_sendfile(void)
{
	int fd = open("secret.env", O_RDONLY), out = open("out.txt", O_RDWR | O_CREAT, 0600);

	if (fd < 0 || sendfile(out, fd, NULL, 64) <= 0)
		return verdict(false);
	return reads_secret(out);
}

static int via_copy_range(void)
{
	int fd = open("secret.env", O_RDONLY), out = open("out.txt", O_RDWR | O_CREAT, 0600);

	if (fd < 0 || copy_file_range(fd, NULL, out, NULL, 64, 0) <= 0)
		return verdict(false);
	return reads_secret(out);
}

static int via_truncate(void)
{
	return verdict(truncate("secret.env", 0) == 0);
}

static int via_chmod(void)
{
	return verdict(chmod("secret.env", 0777) == 0);
}

static int via_fchmodat2(void)
{
	return verdict(syscall(452, AT_FDCWD, "secret.env", 0777, AT_SYMLINK_NOFOLLOW) == 0);
}

static int via_chmod_proc_fd(void)
{
	char path[64];
	int fd = open("secret.env", O_PATH);

	if (fd < 0)
		return verdict(false);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return verdict(chmod(path, 0777) == 0);
}

static int via_chown(void)
{
	return verdict(chown("secret.env", getuid(), getgid()) == 0);
}

static int via_utimes(void)
{
	struct timeval tv[2] = { { 1, 0 }, { 1, 0 } };

	return verdict(utimes("secret.env", tv) == 0);
}

static int via_utimensat_fd(void)
{
	struct timespec ts[2] = { { 1, 0 }, { 1, 0 } };
	int fd = open("secret.env", O_PATH);

	return verdict(fd >= 0 && syscall(SYS_utimensat, fd, "", ts, AT_EMPTY_PATH) == 0);
}

static int via_setxattr(void)
{
	return verdict(setxattr("secret.env", "user.x", "1", 1, 0) == 0);
}

static int via_unlink(void)
{
	return verdict(unlink("secret.env") == 0);
}

static int via_rmdir_tree(void)
{
	return verdict(unlinkat(AT_FDCWD, "sub/secret.env", 0) == 0);
}

static int via_exec(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("./tool.env", "tool", "--role", (char *)NULL);
		_exit(126);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? SUCCEEDED : STOPPED;
}

static int via_interpreter(void)
{
	int status;
	pid_t pid;
	int fd = open("script.txt", O_WRONLY | O_CREAT | O_EXCL, 0700);

	/* The kernel opens the named file as the script's interpreter. */
	if (fd < 0 || dprintf(fd, "#!./tool.env --role\n") < 0 || close(fd) != 0)
		return verdict(false);
	pid = fork();
	if (pid == 0) {
		execl("./script.txt", "script", (char *)NULL);
		_exit(126);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? SUCCEEDED : STOPPED;
}

/* A copy of this program that names @loader as its own. 0; -1 it has none. */
static int make_loaded(const char *name, const char *loader)
{
	static char image[8 << 20];
	int from = open("a.okexec", O_RDONLY), to = open(name, O_WRONLY | O_CREAT | O_EXCL, 0700);
	ssize_t n = from < 0 ? -1 : read(from, image, sizeof(image));
	ElfW(Ehdr) *e = (void *)image;
	ElfW(Phdr) *p = (void *)(image + (n < 0 ? 0 : e->e_phoff));
	int r = -1;

	for (int i = 0; n > 0 && i < e->e_phnum; i++) {
		if (p[i].p_type != PT_INTERP || p[i].p_filesz <= strlen(loader))
			continue;
		strcpy(image + p[i].p_offset, loader);
		p[i].p_filesz = strlen(loader) + 1;
		r = 0;
	}
	if (r == 0 && (to < 0 || write(to, image, (size_t)n) != n))
		r = -1;
	close(from);
	close(to);
	return r;
}

/*
 * The kernel maps the named file and starts it in the program's place. It has nobody who would relocate it, so it falls
 * over itself: but its code ran.
 */
static int via_loader(void)
{
	int status;
	pid_t pid;

	if (make_loaded("loaded", "./tool.env") != 0)
		return skip("no program with a loader");
	pid = fork();
	if (pid == 0) {
		execl("./loaded", "loaded", "--role", (char *)NULL);
		_exit(126);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL ? STOPPED : SUCCEEDED;
	return WEXITSTATUS(status) == 7 ? SUCCEEDED : STOPPED;
}

static int via_handle(void)
{
	union {
		struct file_handle h;
		char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mount_id, mount_fd;

	if (name_to_handle_at(AT_FDCWD, "secret.env", &u.h, &mount_id, 0) != 0)
		return verdict(false);
	mount_fd = open(".", O_RDONLY | O_DIRECTORY);
	return reads_secret(open_by_handle_at(mount_fd, &u.h, O_RDONLY));
}

static int via_bind_mount(void)
{
	if (unshare(CLONE_NEWNS) == 0)
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (mount("secret.env", "plain.txt", NULL, MS_BIND, NULL) != 0)
		return verdict(false);
	return reads_secret(open("plain.txt", O_RDONLY));
}

static int via_open_tree(void)
{
	char path[64];
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "secret.env", O_CLOEXEC);

	if (fd < 0)
		return verdict(false);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return reads_secret(open(path, O_RDONLY));
}

/* One IORING_OP_OPENAT, by hand: no library, as an attacker would. */
static int via_io_uring(void)
{
	struct io_uring_params p = { 0 };
	int ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	unsigned char *sq, *cq;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;

	if (ring < 0)
		return verdict(false);
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		  (off_t)IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*cqe), PROT_READ | PROT_WRITE,
		  MAP_SHARED, ring, (off_t)IORING_OFF_CQ_RING);
	sqe = mmap(NULL, p.sq_entries * sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		   (off_t)IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || sqe == MAP_FAILED)
		return verdict(false);
	sqe[0].opcode = IORING_OP_OPENAT;
	sqe[0].fd = AT_FDCWD;
	sqe[0].addr = (uint64_t)(uintptr_t) "secret.env";
	sqe[0].open_flags = O_RDONLY;
	((uint32_t *)(void *)(sq + p.sq_off.array))[0] = 0;
	__atomic_store_n((uint32_t *)(void *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return verdict(false);
	cqe = (struct io_uring_cqe *)(void *)(cq + p.cq_off.cqes);
	return reads_secret(cqe[0].res);
}

static int via_odd_bytes(const char *dir)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/secret.env", dir);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return verdict(false);
	if (access(path, F_OK) != 0)
		return INCONCLUSIVE;
	return reads_secret(open(path, O_RDONLY));
}

static int via_invalid_utf8(void)
{
	return via_odd_bytes("\xff\xfe");
}

static int via_newline(void)
{
	return via_odd_bytes("a\n\033[31mb");
}

static int via_undumpable(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return skip("PR_SET_DUMPABLE");
	return reads_secret(open("secret.env", O_RDONLY));
}

static int via_undumpable_write(void)
{
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return skip("PR_SET_DUMPABLE");
	return open_write();
}

/* Memory that another process cannot read must never mean "go on". */
static int via_secret_memory(void)
{
	char *p;
	int fd = (int)syscall(447, 0), got; /* memfd_secret */

	if (fd < 0)
		return verdict(false);
	if (ftruncate(fd, 4096) != 0)
		return verdict(false);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return verdict(false);
	strcpy(p, "secret.env");
	got = open(p, O_RDONLY);
	return reads_secret(got);
}

/* The name ends at the very end of readable memory: no over-read, no EFAULT, the same verdict. */
static int via_page_edge(void)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || munmap(p + 4096, 4096) != 0)
		return skip("mmap");
	p += 4096 - sizeof("secret.env");
	strcpy(p, "secret.env");
	return reads_secret(open(p, O_RDONLY));
}

/* The leader's fds and cwd differ from the calling thread's. */
static int thread_result;
static char stack[65536] __attribute__((aligned(16)));

static int thread_with_own_files(void *arg)
{
	(void)arg;
	int vault = open("vault", O_RDONLY | O_DIRECTORY);

	/* This clone has its own table: 99 is vault here, open in the leader. */
	if (vault < 0 || dup2(vault, 99) != 99)
		thread_result = verdict(false);
	else
		thread_result = reads_secret(openat(99, "key", O_RDONLY));
	return 0;
}

static int thread_dirfd(void)
{
	int open_dir = open("open", O_RDONLY | O_DIRECTORY);
	pid_t tid;

	if (open_dir < 0 || dup2(open_dir, 99) != 99)
		return skip("open/");
	thread_result = INCONCLUSIVE;
	tid = clone(thread_with_own_files, stack + sizeof(stack), CLONE_VM | CLONE_FS | SIGCHLD,
		    NULL);
	if (tid < 0)
		return skip("clone");
	waitpid(tid, NULL, 0);
	return thread_result;
}

static int thread_with_own_cwd(void *arg)
{
	(void)arg;
	if (chdir("vault") != 0)
		thread_result = verdict(false);
	else
		thread_result = reads_secret(open("key", O_RDONLY));
	return 0;
}

static int thread_cwd(void)
{
	pid_t tid;

	thread_result = INCONCLUSIVE;
	tid = clone(thread_with_own_cwd, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD,
		    NULL);
	if (tid < 0)
		return skip("clone");
	waitpid(tid, NULL, 0);
	return thread_result;
}

#include <pthread.h>

static void *real_thread_files(void *arg)
{
	(void)arg;
	int vault;

	if (unshare(CLONE_FILES) != 0) {
		thread_result = verdict(false);
		return NULL;
	}
	vault = open("vault", O_RDONLY | O_DIRECTORY);
	if (vault < 0 || dup2(vault, 99) != 99)
		thread_result = verdict(false);
	else
		thread_result = reads_secret(openat(99, "key", O_RDONLY));
	return NULL;
}

static void *real_thread_fs(void *arg)
{
	(void)arg;
	if (unshare(CLONE_FS) != 0 || chdir("vault") != 0)
		thread_result = verdict(false);
	else
		thread_result = reads_secret(open("key", O_RDONLY));
	return NULL;
}

static int thread_run(void *(*body)(void *))
{
	pthread_t t;
	int open_dir = open("open", O_RDONLY | O_DIRECTORY);

	if (open_dir < 0 || dup2(open_dir, 99) != 99)
		return skip("open/");
	thread_result = INCONCLUSIVE;
	if (pthread_create(&t, NULL, body, NULL) != 0)
		return skip("pthread_create");
	pthread_join(t, NULL);
	return thread_result;
}

static int thread_unshare_files(void)
{
	return thread_run(real_thread_files);
}

static int thread_unshare_fs(void)
{
	return thread_run(real_thread_fs);
}

#define ENV(f) \
	{ \
#f, f, NATIVE_MUST, UNDER_STRICT, "secret.env" \
	}
#define ENV_MUTE(f) \
	{ \
#f, f, NATIVE_MUST, UNDER_STRICT, NULL \
	}

const struct attack attacks[] = {
	ENV(open_read),
	ENV(open_legacy),
	ENV(open_write),
	ENV(open_rdwr),
	ENV(open_append),
	ENV(open_trunc),
	ENV(open_trunc_rdonly),
	ENV(open_creat),
	ENV(open_dirfd),
	ENV(open_absolute),
	ENV(open_openat2),
	ENV(open_openat2_beneath),
	ENV(open_openat2_long),
	ENV(via_hard_link),
	ENV_MUTE(via_hard_link_fd),
	{ "via_hard_link_empty", via_hard_link_empty, NATIVE_ROOT, UNDER_STRICT, NULL },
	ENV(via_symlink),
	ENV(via_found_symlink),
	ENV(via_symlink_chain),
	ENV(via_rename),
	ENV(via_rename_onto),
	ENV(via_exchange),
	ENV_MUTE(via_parent_rename),
	ENV(via_parent_symlink),
	ENV(via_proc_fd),
	ENV(via_dev_fd),
	ENV(via_proc_fd_write),
	ENV(via_proc_root),
	ENV(via_proc_thread_root),
	ENV(via_proc_cwd),
	ENV(via_proc_pid_cwd),
	{ "via_proc_1_root", via_proc_1_root, NATIVE_MAY, UNDER_STRICT, NULL },
	{ "via_chroot", via_chroot, NATIVE_ROOT, UNDER_STRICT, NULL },
	ENV(via_mmap),
	ENV(via_sendfile),
	ENV(via_copy_range),
	ENV(via_truncate),
	ENV(via_chmod),
	{ "via_fchmodat2", via_fchmodat2, NATIVE_MAY, UNDER_STRICT, NULL },
	ENV_MUTE(via_chmod_proc_fd),
	ENV(via_chown),
	ENV(via_utimes),
	ENV_MUTE(via_utimensat_fd),
	{ "via_setxattr", via_setxattr, NATIVE_MAY, UNDER_STRICT, "secret.env" },
	ENV(via_unlink),
	ENV(via_rmdir_tree),
	{ "via_exec", via_exec, NATIVE_MUST, UNDER_ATTACK, "tool.env" },
	{ "via_loader", via_loader, NATIVE_MUST, UNDER_ATTACK, "tool.env" },
	{ "via_interpreter", via_interpreter, NATIVE_MUST, UNDER_ATTACK, "tool.env" },
	{ "via_handle", via_handle, NATIVE_ROOT, UNDER_STRICT, NULL },
	{ "via_bind_mount", via_bind_mount, NATIVE_ROOT, UNDER_STRICT, NULL },
	ENV_MUTE(via_open_tree),
	{ "via_io_uring", via_io_uring, NATIVE_MAY, UNDER_STRICT, NULL },
	ENV(via_invalid_utf8),
	ENV(via_newline),
	ENV(via_undumpable),
	ENV(via_undumpable_write),
	{ "via_secret_memory", via_secret_memory, NATIVE_MAY, UNDER_STRICT, NULL },
	ENV(via_page_edge),
	{ "thread_dirfd", thread_dirfd, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "thread_cwd", thread_cwd, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "thread_unshare_files", thread_unshare_files, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ "thread_unshare_fs", thread_unshare_fs, NATIVE_MUST, UNDER_ATTACK, "vault/key" },
	{ 0 },
};
