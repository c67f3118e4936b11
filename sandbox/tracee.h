/*
 * The task behind a notification: its memory, its descriptors, its identity.
 * A notification names a thread; working directory, descriptors and umask are
 * looked up for that very thread. A handle on /proc/TID stays bound to the task it was
 * opened for, so a recycled number gives ESRCH instead of a stranger.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/action.h"

struct tracee {
	pid_t tid, tgid;       /* host numbers */
	pid_t ns_tid, ns_tgid; /* as the sandbox numbers them */
	uint64_t start_ticks;
	uint64_t checked_ns; /* last time the handle was seen alive, CLOCK_MONOTONIC */
	int dir_fd;          /* O_PATH of the outer /proc/TID; owned */
	const char *program; /* interned; NULL only inside the cache: to be looked up */
	const char *ancestry[ACTION_ANCESTRY_MAX]; /* interned; NULL ends */
	int umask;                                 /* -1: not known */
};

/* Identity and file creation powers of a task at this moment. */
struct tracee_creds {
	uid_t fsuid;
	gid_t fsgid;
	uint64_t effective; /* capability bits */
	gid_t groups[64];
	unsigned group_count;
};

struct tracees; /* the cache; used by the leader only */

/* @proc_fd: O_PATH of the outer /proc, borrowed. NULL: out of memory. */
struct tracees *tracees_new(int proc_fd);
/* From now on a task in another mount namespace than @mount_ns counts as gone: its paths mean something else. */
void tracees_confine(struct tracees *t, ino_t mount_ns);

/* The task @tid; valid until the next call. NULL when it is gone. */
struct tracee *tracee_get(struct tracees *t, pid_t tid);
/* An exec of @tgid is on its way: its program is looked up anew from now on. */
void tracee_execing(struct tracees *t, pid_t tgid);
/* An exec of @tgid was verified: its other threads are gone, its program is another. */
void tracee_execed(struct tracees *t, pid_t tgid);

/*
 * A call that changes umask or credentials was let through for @tid; it takes effect
 * some time before that thread's next notification. Until then nothing is cached.
 */
void tracee_changing(struct tracees *t, pid_t tid);
/* Current umask, 0..0777, or -errno. */
int tracee_umask(struct tracees *t, struct tracee *task);
int tracee_creds(const struct tracee *task, struct tracee_creds *ret);
/* Is a signal pending that the task would act on? Then a held call may answer ERESTARTSYS. */
bool tracee_signalled(const struct tracee *task);
/* Is its tracer one of the sandbox's own processes? */
bool tracee_traced_inside(const struct tracee *task);
/* Session it belongs to, as the host numbers it. */
pid_t tracee_session(const struct tracee *task);
/* Device number of the controlling terminal, 0 none, -errno. */
int tracee_tty(const struct tracee *task);

/* Exactly @len bytes; -EFAULT when any is unreadable (never: let the kernel look). */
int tracee_read(pid_t tid, uint64_t addr, void *buf, size_t len);
/* As many of @len bytes as are mapped from @addr on; at least one, else -EFAULT. */
ssize_t tracee_read_some(pid_t tid, uint64_t addr, void *buf, size_t len);
/* A NUL-terminated string with its NUL: length without it, -EFAULT, -ENAMETOOLONG. */
ssize_t tracee_read_string(pid_t tid, uint64_t addr, char *buf, size_t size);
/*
 * Two strings of at most @size bytes each, in one look where neither is long nor at the end of its page. 0, or what
 * tracee_read_string says of the first that fails.
 */
int tracee_read_strings(pid_t tid, const uint64_t addr[2], char *const buf[2], size_t size);
int tracee_write(pid_t tid, uint64_t addr, const void *buf, size_t len);

/* O_PATH on what the task's descriptor refers to; AT_FDCWD: its working directory. -EBADF. */
int tracee_dirfd(const struct tracee *task, int dirfd);
/* The same object looked at without opening it; 0, -EBADF, -errno. */
int tracee_dir_statx(const struct tracee *task, int dirfd, unsigned mask, struct statx *ret);
/* A duplicate of the descriptor itself (pidfd_getfd of that thread's table). */
int tracee_getfd(const struct tracee *task, int fd);
/* Flags of the open file behind a descriptor, as open(2) has them; -EBADF. */
int tracee_fd_flags(const struct tracee *task, int fd);
/* Path of descriptor or AT_FDCWD as text, from /proc; length or -errno. */
ssize_t tracee_dirpath(const struct tracee *task, int dirfd, char *buf, size_t size);
