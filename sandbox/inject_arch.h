/* What differs between architectures in a stopped thread's registers. Private to inject.c. */
#pragma once

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

enum { INJECT_ERESTARTNOHAND = 514 }; /* include/linux/errno.h: restart unless a handler runs */

struct inject_regs {
	struct user_regs_struct user;
	bool in_call; /* stopped inside a system call */
};

static inline int inject_regs_move(enum __ptrace_request request, pid_t tid,
				   struct user_regs_struct *user)
{
	struct iovec iov = { .iov_base = user, .iov_len = sizeof(*user) };
	return ptrace(request, tid, (void *)NT_PRSTATUS, &iov) < 0    ? -errno
	       : iov.iov_len != sizeof(*user) /* a 32-bit thread's */ ? -ENOEXEC
								      : 0;
}

#if defined(__x86_64__)

enum { INJECT_INSN_SIZE = 2, INJECT_USER_CS = 0x33 };
static const unsigned char inject_insn[INJECT_INSN_SIZE] = { 0x0f, 0x05 }; /* syscall */

static inline int inject_regs_get(pid_t tid, struct inject_regs *r)
{
	int rc = inject_regs_move(PTRACE_GETREGSET, tid, &r->user);
	r->in_call = rc == 0 && (int64_t)r->user.orig_rax >= 0;
	return rc == 0 && r->user.cs != INJECT_USER_CS ? -ENOEXEC : rc;
}

static inline uint64_t inject_pc(const struct inject_regs *r)
{
	return r->user.rip;
}

static inline void inject_set_pc(struct inject_regs *r, uint64_t pc)
{
	r->user.rip = pc;
}

static inline int64_t inject_result(const struct inject_regs *r)
{
	return (int64_t)r->user.rax;
}

static inline void inject_set_call(struct inject_regs *r, uint64_t insn, long nr,
				   const uint64_t args[static 6])
{
	r->user.rip = insn;
	r->user.rax = (uint64_t)nr;
	r->user.orig_rax = UINT64_MAX; /* in no call: nothing to restart */
	r->user.rdi = args[0];
	r->user.rsi = args[1];
	r->user.rdx = args[2];
	r->user.r10 = args[3];
	r->user.r8 = args[4];
	r->user.r9 = args[5];
}

/* The kernel looks at the result once the thread goes on, so it can be told to restart. */
static inline bool inject_unfail(struct inject_regs *r)
{
	if (!r->in_call || (int64_t)r->user.rax != -EINTR)
		return false;
	r->user.rax = (uint64_t)-INJECT_ERESTARTNOHAND;
	return true;
}

static inline long inject_call_nr(const struct inject_regs *r)
{
	return (long)r->user.orig_rax;
}

#elif defined(__aarch64__)

enum { INJECT_INSN_SIZE = 4, INJECT_SYSTEM_CALL = 0x404 }; /* NT_ARM_SYSTEM_CALL */
static const unsigned char inject_insn[INJECT_INSN_SIZE] = { 0x01, 0, 0, 0xd4 }; /* svc #0 */

static inline int inject_regs_get(pid_t tid, struct inject_regs *r)
{
	int nr = -1;
	struct iovec iov = { .iov_base = &nr, .iov_len = sizeof(nr) };
	int rc = inject_regs_move(PTRACE_GETREGSET, tid, &r->user);
	if (rc == 0 && ptrace(PTRACE_GETREGSET, tid, (void *)INJECT_SYSTEM_CALL, &iov) < 0)
		rc = -errno;
	/* The kernel has set the restart up already, in pc, and forgotten the number. */
	r->in_call = rc == 0 && nr >= 0;
	return rc;
}

static inline uint64_t inject_pc(const struct inject_regs *r)
{
	return r->user.pc;
}

static inline void inject_set_pc(struct inject_regs *r, uint64_t pc)
{
	r->user.pc = pc;
}

static inline int64_t inject_result(const struct inject_regs *r)
{
	return (int64_t)r->user.regs[0];
}

static inline void inject_set_call(struct inject_regs *r, uint64_t insn, long nr,
				   const uint64_t args[static 6])
{
	r->user.pc = insn;
	r->user.regs[8] = (uint64_t)nr;
	for (unsigned i = 0; i < 6; i++)
		r->user.regs[i] = args[i];
}

/* The first argument is gone from the registers: such a call cannot be restarted here. */
static inline bool inject_unfail(struct inject_regs *r)
{
	(void)r;
	return false;
}

static inline long inject_call_nr(const struct inject_regs *r)
{
	return (long)r->user.regs[8];
}

#else
#error "no register layout for this architecture"
#endif
