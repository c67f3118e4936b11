/*
 * Processes that cannot be attached to: refuse io_uring|strict|listener|full. Each says "ready" and waits until it is
 * killed.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int use_ring(void)
{
	struct io_uring_params p = { 0 };
	return syscall(SYS_io_uring_setup, 4, &p) < 0;
}

/* read(2) is all that is left: the caller reads until it is killed. */
static int use_strict(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) < 0;
}

static int use_listener(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_swapon, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = insns };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		       &prog) < 0;
}

static int use_all_descriptors(void)
{
	struct rlimit lim = { 16, 16 };
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 1;
	while (dup(0) >= 0)
		;
	return errno != EMFILE;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*make)(void);
	} kinds[] = { { "io_uring", use_ring },
		      { "strict", use_strict },
		      { "listener", use_listener },
		      { "full", use_all_descriptors } };
	int silent[2];
	char c;
	if (pipe(silent) < 0)
		return 1;
	for (size_t i = 0; argc == 2 && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0) {
			if (kinds[i].make())
				return 1;
			if (write(STDOUT_FILENO, "ready\n", 6) != 6)
				return 1;
			while (read(silent[0], &c, 1) >= 0)
				;
		}
	return 1;
}
