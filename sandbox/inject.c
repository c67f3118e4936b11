/*
 * Theory of operation. A thread stopped by PTRACE_INTERRUPT stands where signals are
 * delivered, on its way to user mode. A call is made by pointing it at a system call
 * instruction that is in its text anyway (nothing is written into code) and letting it
 * run from there to the call's entry and to its exit. For the return it is stopped once more
 * at the place where it was found: only there does the kernel look at -ERESTART* results, so only
 * there may the old registers come back. Put back at a call's exit they would leak -512 to -516.
 *
 * Signals are blocked meanwhile; they wait and are delivered afterwards. A thread that
 * waits under a temporary mask (ppoll, sigsuspend) loses that mask here, as it does natively when its
 * call is restarted, which sets the mask again.
 */
#include "sandbox/inject.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/proc.h"
#include "sandbox/tracee.h"

enum {
	SYSCALL_STOP = SIGTRAP | 0x80,
	TEXT_CHUNK = 4096,
	LOOKS_AWAKE = 200, /* how often a thread's stop is looked for without sleeping */
	LOOK_NS = 20000,
	/* linux/ptrace.h, which cannot be included beside sys/ptrace.h */
	REQUEST_GETSIGMASK = 0x420a,
	REQUEST_SETSIGMASK = 0x420b,
	REQUEST_GET_RSEQ = 0x420f,
};

/* linux/ptrace.h: struct ptrace_rseq_configuration */
struct rseq_configuration {
	uint64_t area;
	uint32_t size, signature, flags, pad;
};

/* linux/rseq.h: struct rseq_cs; the pointer to it stands at this offset of the area. */
enum { RSEQ_CS_OFFSET = 8 };
struct rseq_section {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

unsigned inject_fitness(pid_t tid)
{
	struct inject_regs r;
	if (inject_regs_get(tid, &r) < 0)
		return 0;
	return r.in_call ? 2 : 1;
}

/* Looks for the instruction in [@from, @to). 0 when it is not there. */
static uint64_t find_insn(pid_t tid, uint64_t from, uint64_t to)
{
	unsigned char text[TEXT_CHUNK];
	for (uint64_t at = from; at < to; at += sizeof(text) - INJECT_INSN_SIZE) {
		ssize_t n = tracee_read_some(tid, at, text, sizeof(text));
		if (n < 0)
			break;
		unsigned char *hit = memmem(text, (size_t)n, inject_insn, INJECT_INSN_SIZE);
		if (hit)
			return at + (uint64_t)(hit - text);
	}
	return 0;
}

/* Any system call instruction: where the thread just made one, else in the vdso or in the text. */
static uint64_t locate_insn(const struct inject *in)
{
	uint64_t pc = inject_pc(&in->saved), found;
	if (in->saved.in_call) {
		found = find_insn(in->tid, pc - INJECT_INSN_SIZE, pc);
		if (found)
			return found;
	}
	char path[48], line[512];
	snprintf(path, sizeof(path), "/proc/%d/maps", in->tid);
	for (unsigned pass = 0; pass < 2; pass++) {
		cleanup_file FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			unsigned long from, to;
			char mode[8];
			bool vdso = strstr(line, "[vdso]");
			if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[0] != 'r' ||
			    mode[2] != 'x' || strstr(line, "[vsyscall]") || vdso != (pass == 0))
				continue;
			found = find_insn(in->tid, from, to);
			if (found)
				return found;
		}
	}
	return 0;
}

/*
 * A restartable sequence must be aborted when its thread was interrupted. The kernel does that where the
 * thread goes on, but forgets the sequence when it sees it run elsewhere, as it will here.
 */
static void abort_sequence(struct inject *in)
{
	struct rseq_configuration c = { 0 };
	struct rseq_section s;
	uint64_t section = 0, pc = inject_pc(&in->saved);
	if (in->saved.in_call ||
	    ptrace((enum __ptrace_request)REQUEST_GET_RSEQ, in->tid, (void *)sizeof(c), &c) < 0)
		return;
	if (!c.area || tracee_read(in->tid, c.area + RSEQ_CS_OFFSET, &section, sizeof(section)) ||
	    !section || tracee_read(in->tid, section, &s, sizeof(s)))
		return;
	if (pc - s.start < s.length)
		inject_set_pc(&in->saved, s.abort);
}

int inject_begin(struct inject *in, pid_t tid, struct err *err)
{
	*in = (struct inject){ .tid = tid };
	int r = inject_regs_get(tid, &in->saved);
	if (r == -ENOEXEC)
		return err_set(err, ENOEXEC, "thread %d runs code of another instruction set", tid);
	if (r == 0 && ptrace((enum __ptrace_request)REQUEST_GETSIGMASK, tid,
			     (void *)sizeof(in->mask), &in->mask) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(err, -r, "cannot read the registers of thread %d", tid);
	in->insn = locate_insn(in);
	if (!in->insn)
		return err_set(err, ENOEXEC, "thread %d has no system call instruction in its text",
			       tid);
	abort_sequence(in);
	return 0;
}

/* True for a task that is gone but for its remains. */
static bool is_zombie(pid_t tid)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d", tid);
	cleanup_fd int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char state = dir < 0 ? 'X' : proc_stat_state(dir);
	return state == 'Z' || state == 'X';
}

/*
 * waitpid for one thread that we trace with others of its process. The first thread of a killed process is not
 * reported before all its other threads are reaped, and that is nobody's work while we wait: so look.
 */
static pid_t wait_for(pid_t tid, int *ret_status)
{
	for (unsigned looks = 1;; looks++) {
		pid_t pid = waitpid(tid, ret_status, __WALL | WNOHANG);
		if (pid != 0 && !(pid < 0 && errno == EINTR))
			return pid;
		if (looks % LOOKS_AWAKE == 0 && is_zombie(tid))
			return -1;
		if (looks < LOOKS_AWAKE) /* the call takes a microsecond or two */
			sched_yield();
		else
			nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
}

/* Lets the thread run to its next stop. 0, -ESRCH. */
static int resume(struct inject *in, int request, int *ret_status)
{
	if (ptrace((enum __ptrace_request)request, in->tid, NULL, NULL) < 0) {
		in->dead = true;
		return -ESRCH;
	}
	pid_t pid = wait_for(in->tid, ret_status);
	if (pid != in->tid || WIFEXITED(*ret_status) || WIFSIGNALED(*ret_status)) {
		in->dead = true;
		return -ESRCH;
	}
	return 0;
}

/* The next entry or exit of a system call. */
static int to_syscall_stop(struct inject *in)
{
	for (;;) {
		int status;
		int r = resume(in, PTRACE_SYSCALL, &status);
		if (r < 0)
			return r;
		int signum = WSTOPSIG(status);
		if (signum == SYSCALL_STOP)
			return 0;
		if (status >> 16) /* a stop of job control, or a left-over interrupt */
			continue;
		if (signum != SIGSTOP) /* all others are blocked: it fell over our instruction */
			return -EFAULT;
		in->stop_due = true;
	}
}

int inject_call(struct inject *in, long nr, const uint64_t args[static 6], int64_t *ret_value)
{
	uint64_t all = UINT64_MAX;
	if (in->dead)
		return -ESRCH;
	struct inject_regs regs = in->saved;
	inject_set_call(&regs, in->insn, nr, args);
	if (ptrace((enum __ptrace_request)REQUEST_SETSIGMASK, in->tid, (void *)sizeof(all), &all) <
	    0)
		return -errno;
	in->moved = true;
	int r = inject_regs_move(PTRACE_SETREGSET, in->tid, &regs.user);
	if (r == 0)
		r = to_syscall_stop(in);
	if (r == 0)
		r = to_syscall_stop(in);
	if (r == 0)
		r = inject_regs_get(in->tid, &regs);
	if (r == 0)
		*ret_value = inject_result(&regs);
	return r;
}

void inject_end(struct inject *in)
{
	if (!in->moved || in->dead)
		return;
	in->moved = false;
	ptrace(PTRACE_INTERRUPT, in->tid, NULL, NULL);
	for (int status = 0; status >> 16 != PTRACE_EVENT_STOP;) {
		if (resume(in, PTRACE_CONT, &status) < 0)
			return;
		if (status >> 16 == 0 && WSTOPSIG(status) == SIGSTOP)
			in->stop_due = true;
	}
	inject_regs_move(PTRACE_SETREGSET, in->tid, &in->saved.user);
	ptrace((enum __ptrace_request)REQUEST_SETSIGMASK, in->tid, (void *)sizeof(in->mask),
	       &in->mask);
	if (in->stop_due)
		syscall(SYS_tkill, in->tid, SIGSTOP);
}

void inject_hide_stop(pid_t tid)
{
	struct inject_regs regs;
	/* close(2) has let go of the descriptor whatever it says: never a second time */
	if (inject_regs_get(tid, &regs) < 0 || inject_call_nr(&regs) == __NR_close)
		return;
	if (inject_unfail(&regs))
		inject_regs_move(PTRACE_SETREGSET, tid, &regs.user);
}
