#include "sandbox/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/proc.h"

enum {
	CACHE_SIZE = 256,   /* power of two; each entry holds one descriptor */
	INTERN_SIZE = 2048, /* distinct program paths remembered; more become "…" */
	CHANGING_MAX = 16,
	PAGE_MASK = 4095,
	PATH_STEP = 256, /* most paths are short: one small read */
};

/* A number cannot be recycled within this time: pid_max forks do not fit into it. */
static const uint64_t FRESH_NS = 10 * 1000 * 1000;

struct tracees {
	int proc_fd;
	ino_t mount_ns;                  /* the only one; 0 any */
	struct tracee slots[CACHE_SIZE]; /* of tid 0: free, and never written to */
	char *programs[INTERN_SIZE];
	pid_t changing[CHANGING_MAX]; /* 0: free */
	bool changing_overflow;       /* more at once than we can follow: never cache again */
};

struct tracees *tracees_new(int proc_fd)
{
	struct tracees *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->proc_fd = proc_fd;
	return t;
}

void tracees_confine(struct tracees *t, ino_t mount_ns)
{
	t->mount_ns = mount_ns;
}

static void slot_clear(struct tracee *s)
{
	if (!s->tid)
		return;
	close(s->dir_fd);
	*s = (struct tracee){ .dir_fd = -1, .umask = -1 };
}

static const char *intern(struct tracees *t, const char *text)
{
	uint32_t hash = 2166136261u;
	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	for (unsigned probe = 0; probe < 64; probe++) {
		char **slot = &t->programs[(hash + probe) % INTERN_SIZE];
		if (!*slot)
			*slot = strdup(text);
		if (!*slot)
			break;
		if (strcmp(*slot, text) == 0)
			return *slot;
	}
	return "…";
}

/* The last number on the line: the innermost pid namespace's. */
static pid_t field_last(const char *status, const char *name)
{
	const char *value = proc_field(status, name);
	long last = 0;
	while (value && *value && *value != '\n') {
		char *end;
		long n = strtol(value, &end, 10);
		if (end == value)
			break;
		last = n;
		value = end;
	}
	return (pid_t)last;
}

static const char *read_program(struct tracees *t, const struct tracee *task)
{
	char path[ACTION_PATH_SIZE];
	ssize_t len = readlinkat(task->dir_fd, "exe", path, sizeof(path) - 1);
	path[len > 0 ? len : 0] = '\0';
	return intern(t, path);
}

static void inherit(struct tracees *t, struct tracee *task, pid_t parent)
{
	task->program = read_program(t, task);
	struct tracee copy = *task; /* the look-up below may reuse the slot */
	const struct tracee *up = parent > 0 ? tracee_get(t, parent) : NULL;
	if (up) {
		copy.ancestry[0] = up->program;
		memcpy(&copy.ancestry[1], up->ancestry,
		       (ACTION_ANCESTRY_MAX - 1) * sizeof(copy.ancestry[0]));
	}
	*task = copy;
}

static struct tracee *load(struct tracees *t, pid_t tid, struct tracee *slot)
{
	char name[24], status[PROC_STATUS_SIZE];
	slot_clear(slot);
	snprintf(name, sizeof(name), "%d", tid);
	struct tracee task = { .tid = tid, .umask = -1 };
	task.dir_fd = openat(t->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (task.dir_fd < 0)
		return NULL;
	struct stat ns;
	bool ours = !t->mount_ns ||
		    (fstatat(task.dir_fd, "ns/mnt", &ns, 0) == 0 && ns.st_ino == t->mount_ns);
	if (!ours || proc_read_record(task.dir_fd, "status", status, sizeof(status)) < 0) {
		close(task.dir_fd);
		return NULL;
	}
	task.tgid = (pid_t)proc_number(status, "Tgid", 10);
	task.ns_tid = field_last(status, "NSpid");
	task.ns_tgid = field_last(status, "NStgid");
	task.start_ticks = proc_stat_number(task.dir_fd, 22);
	task.checked_ns = clock_ns(CLOCK_MONOTONIC);
	pid_t parent = (pid_t)proc_number(status, "PPid", 10);
	/* pid 1 of the sandbox is where ancestry ends: what lies above is not the agent's */
	if (task.ns_tgid == 1)
		parent = 0;
	*slot = task;
	inherit(t, slot, parent);
	return slot;
}

static struct tracee *slot_of(struct tracees *t, pid_t tid)
{
	return &t->slots[(unsigned)tid % CACHE_SIZE];
}

struct tracee *tracee_get(struct tracees *t, pid_t tid)
{
	struct tracee *slot = slot_of(t, tid);
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	if (slot->tid && slot->tid == tid) {
		bool alive = now - slot->checked_ns < FRESH_NS;
		if (!alive && faccessat(slot->dir_fd, "status", F_OK, 0) == 0) {
			slot->checked_ns = now;
			alive = true;
		}
		if (alive) {
			if (!slot->program)
				slot->program = read_program(t, slot);
			return slot;
		}
	}
	/* inherit() may load the parent into this very slot; a private copy breaks the tie. */
	struct tracee fresh = { .dir_fd = -1 };
	if (!load(t, tid, &fresh))
		return NULL;
	slot_clear(slot);
	*slot = fresh;
	return slot;
}

void tracee_execing(struct tracees *t, pid_t tgid)
{
	for (unsigned i = 0; i < CACHE_SIZE; i++)
		if (t->slots[i].tid && t->slots[i].tgid == tgid)
			t->slots[i].program = NULL;
}

void tracee_execed(struct tracees *t, pid_t tgid)
{
	for (unsigned i = 0; i < CACHE_SIZE; i++) {
		struct tracee *s = &t->slots[i];
		if (!s->tid || s->tgid != tgid)
			continue;
		if (s->tid != tgid)
			slot_clear(s);
		s->program = NULL;
	}
}

void tracee_changing(struct tracees *t, pid_t tid)
{
	for (unsigned i = 0; i < CACHE_SIZE; i++)
		if (t->slots[i].tid)
			t->slots[i].umask = -1;
	for (unsigned i = 0; i < CHANGING_MAX; i++) {
		if (t->changing[i] == 0 || t->changing[i] == tid) {
			t->changing[i] = tid;
			return;
		}
	}
	t->changing_overflow = true;
}

/* May @tid's umask be remembered? A change under way by another thread may share it. */
static bool settled(struct tracees *t, pid_t tid)
{
	bool quiet = !t->changing_overflow;
	for (unsigned i = 0; i < CHANGING_MAX; i++) {
		pid_t other = t->changing[i];
		if (other == tid || (other > 0 && kill(other, 0) < 0 && errno == ESRCH))
			t->changing[i] = other = 0;
		quiet = quiet && other == 0;
	}
	return quiet;
}

int tracee_umask(struct tracees *t, struct tracee *task)
{
	bool quiet = settled(t, task->tid);
	if (quiet && task->umask >= 0)
		return task->umask;
	char status[PROC_STATUS_SIZE];
	ssize_t len = proc_read_record(task->dir_fd, "status", status, sizeof(status));
	if (len < 0)
		return (int)len;
	int mask = (int)(proc_number(status, "Umask", 8) & 0777);
	task->umask = quiet ? mask : -1;
	return mask;
}

/* Fourth number of "Uid:"/"Gid:": the one for files. */
static unsigned fs_id(const char *status, const char *name)
{
	unsigned real = 0, effective = 0, saved = 0, fs = 0;
	const char *value = proc_field(status, name);
	if (value)
		sscanf(value, "%u %u %u %u", &real, &effective, &saved, &fs);
	return fs;
}

int tracee_creds(const struct tracee *task, struct tracee_creds *ret)
{
	char status[PROC_STATUS_SIZE];
	ssize_t len = proc_read_record(task->dir_fd, "status", status, sizeof(status));
	if (len < 0)
		return (int)len;
	*ret = (struct tracee_creds){ .fsuid = fs_id(status, "Uid"),
				      .fsgid = fs_id(status, "Gid") };
	const char *caps = proc_field(status, "CapEff");
	ret->effective = caps ? strtoull(caps, NULL, 16) : 0;
	const char *value = proc_field(status, "Groups");
	while (value && *value && *value != '\n' && ret->group_count < 64) {
		char *end;
		unsigned long group = strtoul(value, &end, 10);
		if (end == value)
			break;
		ret->groups[ret->group_count++] = (gid_t)group;
		value = end + strspn(end, " ");
	}
	return 0;
}

bool tracee_signalled(const struct tracee *task)
{
	char status[PROC_STATUS_SIZE];
	if (proc_read_record(task->dir_fd, "status", status, sizeof(status)) < 0)
		return false;
	uint64_t pending = proc_number(status, "SigPnd", 16) | proc_number(status, "ShdPnd", 16);
	return pending & ~proc_number(status, "SigBlk", 16) & ~proc_number(status, "SigIgn", 16);
}

bool tracee_traced_inside(const struct tracee *task)
{
	char status[PROC_STATUS_SIZE], name[32], own[64], other[64];
	if (proc_read_record(task->dir_fd, "status", status, sizeof(status)) < 0)
		return false;
	unsigned long tracer = proc_number(status, "TracerPid", 10);
	snprintf(name, sizeof(name), "../%lu/ns/pid", tracer);
	ssize_t a = readlinkat(task->dir_fd, "ns/pid", own, sizeof(own));
	ssize_t b = readlinkat(task->dir_fd, name, other, sizeof(other));
	return tracer > 0 && a > 0 && a == b && memcmp(own, other, (size_t)a) == 0;
}

pid_t tracee_session(const struct tracee *task)
{
	return (pid_t)proc_stat_number(task->dir_fd, 6);
}

int tracee_tty(const struct tracee *task)
{
	return (int)proc_stat_number(task->dir_fd, 7);
}

ssize_t tracee_read_some(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	/* Two pieces, split at the page border: what is mapped is read, what is not ends it. */
	size_t first = (PAGE_MASK + 1) - (addr & PAGE_MASK);
	if (first > len)
		first = len;
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote[2] = {
		{ .iov_base = (void *)(uintptr_t)addr, .iov_len = first },
		{ .iov_base = (void *)(uintptr_t)(addr + first), .iov_len = len - first },
	};
	ssize_t n = process_vm_readv(tid, &local, 1, remote, len > first ? 2 : 1, 0);
	return n > 0 ? n : -EFAULT;
}

int tracee_read(pid_t tid, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	if (len == 0)
		return 0;
	return process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

int tracee_write(pid_t tid, uint64_t addr, const void *buf, size_t len)
{
	/* writev never changes the local bytes; the interface just lacks the const */
	struct iovec local = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)addr, .iov_len = len };
	if (len == 0)
		return 0;
	return process_vm_writev(tid, &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

ssize_t tracee_read_string(pid_t tid, uint64_t addr, char *buf, size_t size)
{
	size_t have = 0, step = PATH_STEP;
	while (have < size) {
		size_t want = step < size - have ? step : size - have;
		ssize_t n = tracee_read_some(tid, addr + have, buf + have, want);
		if (n < 0)
			return n;
		const char *nul = memchr(buf + have, '\0', (size_t)n);
		if (nul)
			return nul - buf;
		have += (size_t)n;
		step = size;
	}
	return -ENAMETOOLONG;
}

int tracee_read_strings(pid_t tid, const uint64_t addr[2], char *const buf[2], size_t size)
{
	struct iovec local[2], remote[2];
	size_t total = 0;
	for (unsigned i = 0; i < 2; i++) {
		size_t len = (PAGE_MASK + 1) - (addr[i] & PAGE_MASK);
		len = len < PATH_STEP ? len : PATH_STEP;
		len = len < size ? len : size;
		local[i] = (struct iovec){ .iov_base = buf[i], .iov_len = len };
		remote[i] =
			(struct iovec){ .iov_base = (void *)(uintptr_t)addr[i], .iov_len = len };
		total += len;
	}
	if (process_vm_readv(tid, local, 2, remote, 2, 0) == (ssize_t)total &&
	    memchr(buf[0], '\0', local[0].iov_len) && memchr(buf[1], '\0', local[1].iov_len))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		ssize_t len = tracee_read_string(tid, addr[i], buf[i], size);
		if (len < 0)
			return (int)len;
	}
	return 0;
}

static void fd_name(char *name, size_t size, int dirfd)
{
	if (dirfd == AT_FDCWD)
		snprintf(name, size, "cwd");
	else
		snprintf(name, size, "fd/%d", dirfd);
}

int tracee_dirfd(const struct tracee *task, int dirfd)
{
	char name[24];
	fd_name(name, sizeof(name), dirfd);
	int fd = openat(task->dir_fd, name, O_PATH | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT && dirfd != AT_FDCWD ? -EBADF : -errno;
}

int tracee_fd_flags(const struct tracee *task, int fd)
{
	char name[24], text[PROC_STATUS_SIZE];
	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	ssize_t len = proc_read(task->dir_fd, name, text, sizeof(text));
	if (len < 0)
		return len == -ENOENT ? -EBADF : (int)len;
	return (int)proc_number(text, "flags", 8);
}

int tracee_dir_statx(const struct tracee *task, int dirfd, unsigned mask, struct statx *ret)
{
	char name[24];
	fd_name(name, sizeof(name), dirfd);
	if (statx(task->dir_fd, name, 0, mask, ret) == 0)
		return 0;
	return errno == ENOENT && dirfd != AT_FDCWD ? -EBADF : -errno;
}

ssize_t tracee_dirpath(const struct tracee *task, int dirfd, char *buf, size_t size)
{
	char name[24];
	fd_name(name, sizeof(name), dirfd);
	ssize_t len = readlinkat(task->dir_fd, name, buf, size - 1);
	if (len < 0)
		return errno == ENOENT && dirfd != AT_FDCWD ? -EBADF : -errno;
	buf[len] = '\0';
	return len;
}

int tracee_getfd(const struct tracee *task, int fd)
{
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, task->tid, PIDFD_THREAD);
	if (pidfd < 0)
		return -errno;
	int got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	return got < 0 ? -errno : got;
}
