/*
 * Kills a command before its N-th system call that may change a file, a name or the disk.
 *
 *   killat N COMMAND...     exit 137 when it was killed, else the command's own; the call's number on stderr
 *   killat 0 COMMAND...     says how many there are, in the last line on stderr
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static bool changes(const struct __ptrace_syscall_info *info)
{
	switch (info->entry.nr) {
	case __NR_openat:
		return (info->entry.args[2] & O_ACCMODE) != O_RDONLY ||
		       (info->entry.args[2] & (O_CREAT | O_TRUNC));
	case __NR_write:
	case __NR_pwrite64:
		return info->entry.args[0] > 2; /* not what it says to a person */
	case __NR_pwritev:
	case __NR_copy_file_range:
	case __NR_ftruncate:
	case __NR_fallocate:
	case __NR_ioctl:
	case __NR_linkat:
	case __NR_symlinkat:
	case __NR_mknodat:
	case __NR_mkdirat:
	case __NR_unlinkat:
	case __NR_renameat:
	case __NR_renameat2:
	case __NR_fchmodat:
	case __NR_fchmod:
	case __NR_fchownat:
	case __NR_utimensat:
	case __NR_setxattr:
	case __NR_lsetxattr:
	case __NR_removexattr:
	case __NR_lremovexattr:
	case __NR_fsync:
	case __NR_fdatasync:
	case __NR_syncfs:
#ifdef __NR_chmod
	case __NR_chmod:
	case __NR_rename:
	case __NR_unlink:
	case __NR_mkdir:
	case __NR_rmdir:
	case __NR_link:
	case __NR_symlink:
#endif
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	long at = strtol(argv[1], NULL, 10), seen = 0;
	pid_t pid = fork();
	if (pid < 0)
		return 2;
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	int status;
	if (waitpid(pid, &status, 0) != pid ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return 2;
	for (int signum = 0;;) {
		if (ptrace(PTRACE_SYSCALL, pid, 0, signum) < 0 && errno != ESRCH)
			return 2;
		if (waitpid(pid, &status, 0) != pid)
			return 2;
		signum = 0;
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			signum = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
			continue;
		}
		struct __ptrace_syscall_info info;
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
		    info.op != PTRACE_SYSCALL_INFO_ENTRY || !changes(&info))
			continue;
		if (++seen != at)
			continue;
		fprintf(stderr, "killat: before call %llu\n", (unsigned long long)info.entry.nr);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return 137;
	}
	if (at == 0)
		fprintf(stderr, "%ld\n", seen);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
