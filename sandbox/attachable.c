#include "sandbox/attachable.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

enum { GROUPS_MAX = 512, LINE_SIZE = 4352, SPARE_FDS = 1 };

static DIR *open_tasks(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return fd_opendir(AT_FDCWD, path, 0);
}

/* A leader that has ended shows no files and no program any more; the threads it left behind do. */
static void use_live_thread(struct attachable *a)
{
	cleanup_dir DIR *dir = open_tasks(a->pid);
	for (const struct dirent *e; dir && (e = readdir(dir));) {
		cleanup_fd int task =
			*e->d_name == '.'
				? -1
				: openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (task < 0 || strchr("ZX", proc_stat_state(task)))
			continue;
		close(a->dirfd);
		a->dirfd = take_fd(&task);
		return;
	}
}

int attachable_open(pid_t pid, struct attachable *ret, struct err *err)
{
	char path[24];
	snprintf(path, sizeof(path), "/proc/%d", pid);
	*ret = (struct attachable){ .pid = pid, .dirfd = -1 };
	ret->dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->dirfd < 0 || proc_read(ret->dirfd, "status", ret->status, sizeof(ret->status)) < 0)
		return err_set(err, ESRCH, "there is no process %d", pid);
	if (proc_number(ret->status, "Tgid", 10) != (unsigned long)pid)
		return err_set(err, ESRCH, "%d is a thread of process %lu: name that", pid,
			       proc_number(ret->status, "Tgid", 10));
	if (proc_stat_state(ret->dirfd) == 'Z')
		use_live_thread(ret);
	return 0;
}

void attachable_finish(struct attachable *a)
{
	scope_close(&a->dirfd);
	a->dirfd = -1;
}

int attachable_filters(const struct attachable *a)
{
	return (int)proc_number(a->status, "Seccomp_filters", 10);
}

static int check_alive(const struct attachable *a, struct err *say)
{
	char link[16];
	if (strchr("ZX", proc_stat_state(a->dirfd)))
		return err_set(say, ESRCH, "process %d has ended already (a zombie)", a->pid);
	if (readlinkat(a->dirfd, "exe", link, sizeof(link)) < 0 && errno == ENOENT)
		return err_set(say, EINVAL, "process %d is the kernel's own", a->pid);
	if (a->pid == getpid() || a->pid == 1)
		return err_set(say, EINVAL, "process %d %s", a->pid,
			       a->pid == 1 ? "is init: what it starts would all be supervised"
					   : "is this very program");
	err_set(say, 0, "process %d runs, %lu threads", a->pid,
		proc_number(a->status, "Threads", 10));
	return 0;
}

static int check_tracer(const struct attachable *a, struct err *say)
{
	unsigned long tracer = proc_number(a->status, "TracerPid", 10);
	char path[40], name[64] = "";
	if (!tracer || (pid_t)tracer == gettid()) /* ourselves, while it stands still */
		return err_set(say, 0, "nobody traces it");
	snprintf(path, sizeof(path), "../%lu", tracer);
	cleanup_fd int dir = openat(a->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && proc_read(dir, "comm", name, sizeof(name)) > 0)
		name[strcspn(name, "\n")] = '\0';
	return err_set(say, EBUSY,
		       "process %d is traced already, by pid %lu (%s): end that first; a process "
		       "has one tracer",
		       a->pid, tracer, *name ? name : "?");
}

/* All four numbers of a "Uid:" or "Gid:" line are @id. */
static bool all_are(const char *status, const char *name, unsigned id)
{
	unsigned n[4];
	const char *value = proc_field(status, name);
	return value && sscanf(value, "%u %u %u %u", &n[0], &n[1], &n[2], &n[3]) == 4 &&
	       n[0] == id && n[1] == id && n[2] == id && n[3] == id;
}

/* The same set of supplementary groups as ours; the kernel keeps both sorted. */
static bool same_groups(const char *status)
{
	gid_t ours[GROUPS_MAX];
	int count = getgroups(GROUPS_MAX, ours);
	const char *value = proc_field(status, "Groups");
	for (int i = 0; i < count; i++) {
		char *end;
		if (!value || strtoul(value, &end, 10) != ours[i] || end == value)
			return false;
		value = end;
	}
	return count >= 0 && value && strspn(value, " \t") == strcspn(value, "\n");
}

static long yama_scope(void)
{
	char text[16];
	cleanup_fd int dir = open("/proc/sys/kernel/yama", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || proc_read(dir, "ptrace_scope", text, sizeof(text)) < 0)
		return 0;
	return strtol(text, NULL, 10);
}

static int check_owner(const struct attachable *a, struct err *say)
{
	uid_t uid = geteuid();
	long scope = yama_scope();
	struct stat st;
	if (scope >= 3 || (scope > 0 && uid != 0))
		return err_set(say, EPERM,
			       "kernel.yama.ptrace_scope is %ld: %s may trace a process that runs "
			       "already",
			       scope, scope >= 3 ? "nobody" : "only root");
	if (uid == 0)
		return err_set(say, 0, "root may trace it");
	if (!all_are(a->status, "Uid", uid))
		return err_set(say, EPERM,
			       "process %d belongs to somebody else, or has changed its user: "
			       "attach as root",
			       a->pid);
	if (!all_are(a->status, "Gid", getegid()) || !same_groups(a->status))
		return err_set(say, EPERM,
			       "process %d has other groups than you have here, so calls made for "
			       "it would not meet the same permissions: attach as root",
			       a->pid);
	/* proc(5): what is not dumpable belongs to root there */
	if (fstat(a->dirfd, &st) < 0 || st.st_uid != uid)
		return err_set(say, EPERM,
			       "process %d may not be looked into (it is not dumpable: it was "
			       "setuid, has capabilities, or asked for it): attach as root",
			       a->pid);
	return err_set(say, 0, "it is yours");
}

enum { NAMESPACES = 3, NS_TEXT = 64 };
/* The first is the only one in which the threads of a process can differ: unshare(2), setns(2). */
static const struct {
	const char *link, *what;
} namespaces[NAMESPACES] = { { "ns/mnt", "mount" }, { "ns/user", "user" }, { "ns/pid", "pid" } };

/* Where we are: what each thread is held against. */
struct here {
	char ns[NAMESPACES][NS_TEXT];
	struct stat root;
};

static int read_namespace(int dirfd, unsigned which, char text[static NS_TEXT])
{
	ssize_t n = readlinkat(dirfd, namespaces[which].link, text, NS_TEXT - 1);
	text[n > 0 ? n : 0] = '\0';
	return n < 0 ? -errno : 0;
}

static int check_thread(const struct attachable *a, int task, const struct here *here,
			struct err *say)
{
	bool leader = task == a->dirfd;
	for (unsigned i = 0; i < (leader ? NAMESPACES : 1); i++) {
		char text[NS_TEXT];
		int r = read_namespace(task, i, text);
		if (r == -ENOENT || r == -ESRCH) /* past its last instruction: it ends */
			return 0;
		if (r < 0)
			return err_sys(say, -r, "the %s namespace of process %d cannot be seen",
				       namespaces[i].what, a->pid);
		if (strcmp(text, here->ns[i]) != 0)
			return err_set(say, EXDEV,
				       "process %d lives in another %s namespace (a container or a "
				       "sandbox): its paths mean other things there; run vsandbox "
				       "attach inside",
				       a->pid, namespaces[i].what);
	}
	struct stat root;
	if (fstatat(task, "root", &root, 0) < 0) {
		if (errno == ENOENT || errno == ESRCH)
			return 0;
		return err_sys(say, errno, "the root directory of process %d cannot be seen",
			       a->pid);
	}
	if (root.st_dev != here->root.st_dev || root.st_ino != here->root.st_ino)
		return err_set(
			say, EXDEV,
			"process %d has another root directory (chroot): run vsandbox attach "
			"inside",
			a->pid);
	return 0;
}

static int check_namespaces(const struct attachable *a, struct err *say)
{
	struct here here;
	cleanup_fd int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < NAMESPACES; i++)
		if (read_namespace(self, i, here.ns[i]) < 0)
			return err_sys(say, errno, "our own namespaces cannot be seen");
	if (stat("/", &here.root) < 0)
		return err_sys(say, errno, "our own root directory cannot be seen");
	int r = check_thread(a, a->dirfd, &here, say);
	cleanup_dir DIR *dir = open_tasks(a->pid);
	for (const struct dirent *e; r == 0 && dir && (e = readdir(dir));) {
		cleanup_fd int task = *e->d_name == '.' ? -1
							: openat(dirfd(dir), e->d_name,
								 O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (task >= 0)
			r = check_thread(a, task, &here, say);
	}
	return r < 0 ? r
		     : err_set(say, 0, "user, mount and pid namespace and root directory are ours");
}

static int check_binary(const struct attachable *a, struct err *say)
{
	unsigned char head[EI_NIDENT] = { 0 };
	cleanup_fd int fd = openat(a->dirfd, "exe", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, head, sizeof(head)) != sizeof(head))
		return err_set(say, 0,
			       "its program file cannot be read; its threads are looked at");
	if (head[EI_CLASS] != ELFCLASS64)
		return err_set(say, ENOEXEC,
			       "process %d is a 32-bit program: its system calls have other "
			       "numbers, which the filter refuses by killing",
			       a->pid);
	return err_set(say, 0, "a 64-bit program");
}

static int check_seccomp(const struct attachable *a, struct err *say)
{
	unsigned long mode = proc_number(a->status, "Seccomp", 10);
	if (mode == 1)
		return err_set(say, EBUSY,
			       "process %d is in strict seccomp mode: it can do nothing "
			       "that could be supervised",
			       a->pid);
	if (mode == 2 && geteuid() != 0)
		return err_set(say, EBUSY,
			       "process %d has seccomp filters of its own, which might kill it for "
			       "the calls that put ours in; only root can suspend them: attach as "
			       "root",
			       a->pid);
	if (mode == 2)
		return err_set(say, 0,
			       "it has %d seccomp filters; one with a listener would refuse "
			       "ours",
			       attachable_filters(a));
	return err_set(say, 0, "no seccomp filter yet");
}

static bool file_mentions(int dirfd, const char *name, const char *word)
{
	char line[LINE_SIZE];
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return false;
	fd = -1; /* the stream owns it */
	while (fgets(line, sizeof(line), f))
		if (strstr(line, word))
			return true;
	return false;
}

/* A kernel thread of the ring works for the process without a call of its own (SQPOLL, workers). */
static bool ring_thread(const struct attachable *a)
{
	cleanup_dir DIR *dir = open_tasks(a->pid);
	for (const struct dirent *e; dir && (e = readdir(dir));) {
		char path[300], name[32];
		snprintf(path, sizeof(path), "%s/comm", e->d_name);
		if (*e->d_name != '.' && proc_read(dirfd(dir), path, name, sizeof(name)) > 0 &&
		    strncmp(name, "iou-", 4) == 0)
			return true;
	}
	return false;
}

/* Number of descriptors; -1 unreadable. @ret_ring: one of them is an io_uring. */
static int look_through(const struct attachable *a, bool *ret_ring)
{
	int count = 0;
	cleanup_dir DIR *dir = fd_opendir(a->dirfd, "fd", 0);
	if (!dir)
		return -1;
	for (const struct dirent *e; (e = readdir(dir));) {
		char link[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		count++;
		*ret_ring |= strcmp(link, "anon_inode:[io_uring]") == 0;
	}
	return count;
}

static int check_rings(const struct attachable *a, struct err *say)
{
	bool ring = false;
	if (look_through(a, &ring) < 0)
		return err_sys(say, EACCES, "the descriptors of process %d cannot be seen", a->pid);
	/* Such a thread is the kernel's and cannot be stopped: then we would not have come here. */
	bool works = a->when == ATTACHABLE_RUNS && ring_thread(a);
	if (ring || works || file_mentions(a->dirfd, "maps", "anon_inode:[io_uring]"))
		return err_set(
			say, EBUSY,
			"process %d has an io_uring already: what goes through it is seen by "
			"no filter",
			a->pid);
	return err_set(say, 0, "no io_uring");
}

static int check_room(const struct attachable *a, struct err *say)
{
	char text[2048];
	bool ring = false;
	unsigned long soft = 0;
	int count = look_through(a, &ring);
	ssize_t len = proc_read(a->dirfd, "limits", text, sizeof(text));
	const char *line = len > 0 ? strstr(text, "Max open files") : NULL;
	if (!line || sscanf(line + strlen("Max open files"), "%lu", &soft) != 1)
		return err_set(say, 0, "its limits cannot be read");
	if (count < 0)
		return err_set(say, EACCES, "the descriptors of process %d cannot be counted",
			       a->pid);
	if ((unsigned long)count + SPARE_FDS > soft)
		return err_set(say, EMFILE,
			       "process %d has no descriptor to spare for a moment (%d of %lu are "
			       "open)",
			       a->pid, count, soft);
	return err_set(say, 0, "%d of %lu descriptors are open", count, soft);
}

/* What a security module says of a process; "" when there is none. */
static void label_of(int dirfd, char label[static 256])
{
	label[0] = '\0';
	if (proc_read(dirfd, "attr/current", label, 256) < 0)
		label[0] = '\0';
	label[strcspn(label, "\n")] = '\0';
}

static int check_label(const struct attachable *a, struct err *say)
{
	char own[256], theirs[256];
	cleanup_fd int self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	label_of(self, own);
	label_of(a->dirfd, theirs);
	if (strcmp(own, theirs) != 0)
		return err_set(say, EPERM,
			       "process %d is confined by a security module (%.100s): calls made "
			       "for it would not be",
			       a->pid, theirs);
	return err_set(say, 0, "no security module confines it");
}

const struct attachable_check attachable_checks[] = {
	{ "process", "there must be something to attach to", check_alive },
	{ "tracer", "a process has one tracer at a time", check_tracer },
	{ "owner", "ptrace, and calls made with its powers", check_owner },
	{ "namespaces", "paths must mean the same to the monitor", check_namespaces },
	{ "program", "one table of system call numbers", check_binary },
	{ "seccomp", "one listener in a process", check_seccomp },
	{ "io_uring", "calls that no filter sees", check_rings },
	{ "descriptors", "the listener is one for a moment", check_room },
	{ "label", "calls made for it must meet the same rules", check_label },
	{ NULL },
};

int attachable_check_all(pid_t pid, enum attachable_when when, struct err *err)
{
	struct attachable a;
	int r = attachable_open(pid, &a, err);
	a.when = when;
	for (const struct attachable_check *c = attachable_checks; r == 0 && c->name; c++)
		r = c->run(&a, err);
	attachable_finish(&a);
	return r;
}
