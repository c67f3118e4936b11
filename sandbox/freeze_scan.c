/* Finds every task inside, and asks it to stop. */
#include <dirent.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/freeze_private.h"
#include "sandbox/proc.h"

enum { SYSCALL_SIZE = 256, ANCESTORS_MAX = 4096 };

static const uintptr_t OPTIONS =
	PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;

/* Reads a small file of /proc/TID. false: gone. */
static bool read_task(const struct freeze *f, pid_t tid, const char *file, char *text, size_t size)
{
	char name[64];
	snprintf(name, sizeof(name), "%d/%s", tid, file);
	return proc_read(f->proc_fd, name, text, size) > 0;
}

static pid_t status_pid(const char *status, const char *name)
{
	return (pid_t)proc_number(status, name, 10);
}

/* The letter of proc(5): R S D T t Z X. */
static char task_letter(const char *status)
{
	const char *state = proc_field(status, "State");
	return state ? state[1] : 'X';
}

/*
 * A parent in vfork(2): the kernel holds it until its child has gone on to another program or its
 * end. Its child cannot, once it is stopped.
 */
static bool waits_in_vfork(const struct freeze *f, pid_t tid, char letter)
{
	char text[SYSCALL_SIZE];
	long nr;
	unsigned long long flags;
	if (letter != 'D' || !read_task(f, tid, "syscall", text, sizeof(text)) ||
	    sscanf(text, "%ld %llx", &nr, &flags) != 2)
		return false;
#ifdef SYS_vfork
	if (nr == SYS_vfork)
		return true;
#endif
	return nr == SYS_clone && (flags & CLONE_VFORK);
}

/* Whose tracee it is: this thread's, that of another of our threads (it verifies an exec, and
 * lets go within moments), or somebody's inside. */
enum tracer { TRACER_NONE, TRACER_SELF, TRACER_OURS, TRACER_OTHER };
static enum tracer tracer_of(const struct freeze *f, const char *status)
{
	pid_t tracer = status_pid(status, "TracerPid");
	char text[PROC_STATUS_SIZE];
	if (tracer <= 0)
		return TRACER_NONE;
	if (tracer == gettid())
		return TRACER_SELF;
	if (!read_task(f, tracer, "status", text, sizeof(text)))
		return TRACER_NONE;
	return status_pid(text, "Tgid") == getpid() ? TRACER_OURS : TRACER_OTHER;
}

/* A task that may not be seized: a debugger inside has it, or its program may not be read. */
static void stop_by_signal(struct freeze *f, pid_t tgid, pid_t tid, char letter)
{
	if (letter == 'T' || letter == 't')
		freeze_note(f, tid, TASK_LEFT);
	else if (syscall(SYS_tgkill, tgid, tid, SIGSTOP) == 0)
		freeze_note(f, tid, TASK_SIGNALED);
}

/* One that cannot be seized, or not yet. True when it is still on its way. */
static bool seize_failed(struct freeze *f, pid_t tgid, pid_t tid)
{
	char status[PROC_STATUS_SIZE];
	if (errno == ESRCH || !read_task(f, tid, "status", status, sizeof(status)))
		return false;
	char letter = task_letter(status);
	if (letter == 'Z' || letter == 'X')
		return false;
	switch (tracer_of(f, status)) {
	case TRACER_SELF: /* a child of one that was seized, born so */
		freeze_note(f, tid, TASK_SEIZED);
		return true;
	case TRACER_OURS:
		return true;
	case TRACER_NONE:
	case TRACER_OTHER:
		break;
	}
	stop_by_signal(f, tgid, tid, letter);
	return true;
}

/* One that was asked to stop and has not. True unless it cannot run anyway. */
static bool on_its_way(struct freeze *f, pid_t tid)
{
	char status[PROC_STATUS_SIZE];
	if (!read_task(f, tid, "status", status, sizeof(status)))
		return false;
	char letter = task_letter(status);
	if (f->state[tid] == TASK_SIGNALED)
		return letter != 'T' && letter != 't';
	return letter != 'Z' && letter != 'X' && !waits_in_vfork(f, tid, letter);
}

/*
 * One task of the sandbox. True when it is, or may be, still on its way. The first look costs two
 * calls and no more: a thousand spinning threads leave this one little of the processor.
 */
static bool seize(struct freeze *f, pid_t tgid, pid_t tid)
{
	if (tid >= FREEZE_TIDS)
		return false;
	uint8_t state = f->state[tid];
	if (state == TASK_SEIZED || state == TASK_SIGNALED)
		return on_its_way(f, tid);
	if (state != TASK_UNKNOWN)
		return false;
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)OPTIONS) < 0)
		return seize_failed(f, tgid, tid);
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	if (freeze_note(f, tid, TASK_SEIZED) < 0) /* it can only be let go when it has stopped */
		kill(tgid, SIGKILL);
	return true;
}

/*
 * Is this process one of the sandbox's? Its namespace tells; that of a program that may not be read is
 * not shown, but everything inside descends from init, so its parents tell. Before that is asked, whoever may
 * not be signalled is somebody else's: all inside have the one user that we are, for good, since they cannot gain
 * privileges. For an ordinary user nearly all of the host's processes are such, and each status file read costs as
 * much as seizing many threads.
 */
static bool inside(const struct freeze *f, pid_t pid)
{
	char name[64], status[PROC_STATUS_SIZE];
	struct stat st;
	if (f->tree)
		return tree_has(f->tree, pid);
	snprintf(name, sizeof(name), "%d/ns/pid", pid);
	if (fstatat(f->proc_fd, name, &st, 0) == 0)
		return st.st_ino == f->pid_ns;
	if (kill(pid, 0) < 0 && errno == EPERM)
		return false;
	for (unsigned up = 0; pid > 1 && up < ANCESTORS_MAX; up++) {
		if (pid == f->init_pid)
			return true;
		if (!read_task(f, pid, "status", status, sizeof(status)))
			return false;
		const char *inner = proc_field(status, "NSpid");
		if (!inner || strcspn(inner + 1, "\t") >= strcspn(inner + 1, "\n"))
			return false; /* it has but one number: the host's */
		pid = status_pid(status, "PPid");
	}
	return false;
}

static bool scan_threads(struct freeze *f, pid_t tgid, bool *fresh)
{
	char name[64];
	bool moving = false;
	snprintf(name, sizeof(name), "%d/task", tgid);
	cleanup_dir DIR *dir = fd_opendir(f->proc_fd, name, 0);
	if (!dir)
		return false;
	for (struct dirent *e; (e = readdir(dir));) {
		pid_t tid = atoi(e->d_name);
		if (tid <= 0)
			continue;
		unsigned before = f->count;
		moving |= seize(f, tgid, tid);
		*fresh |= f->count != before;
	}
	return moving;
}

bool freeze_scan(struct freeze *f, bool *fresh, int *ret_error)
{
	bool moving = false;
	if (f->tree)
		tree_refresh(f->tree);
	cleanup_dir DIR *dir = fd_opendir(f->proc_fd, ".", 0);
	if (!dir) {
		*ret_error = -errno;
		return true;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		pid_t pid = atoi(e->d_name);
		if (pid > 0 && pid != f->init_pid && inside(f, pid))
			moving |= scan_threads(f, pid, fresh);
	}
	return moving;
}
