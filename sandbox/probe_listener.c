/* Probes of the seccomp listener: can it be had, and does it do what a run relies on. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/probe.h"

/* A listener of our own on a filter that lets everything pass; flags as a run asks for. */
static int try_notify(const char *arg)
{
	struct sock_filter code[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
	struct sock_fprog program = { .len = 1, .filter = code };
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	if (*arg == 'k')
		flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (fd < 0)
		return -errno;
	if (*arg != 'a')
		return 0;
	/* Of a request that does not exist: "no such request" proves that the flag is known. */
	struct seccomp_notif_addfd add = { .id = 1, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = 0 };
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

void probe_listener_notify(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_notify, "n");
	if (r >= 0)
		probe_found(ret, PROBE_OK, "", "a seccomp listener can be had");
	else if (r == -EBUSY)
		probe_found(
			ret, PROBE_FAIL,
			"run it outside the other sandbox; on WSL2 set networkingMode=nat",
			"somebody already listens to this process tree: one listener is all it can "
			"have");
	else
		probe_found(ret, PROBE_FAIL,
			    "boot a kernel with CONFIG_SECCOMP_FILTER, outside a "
			    "container profile that denies seccomp",
			    "no seccomp listener: %s", strerrordesc_np(-r));
}

void probe_listener_killable(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_notify, "k");
	if (r >= 0)
		probe_found(ret, PROBE_OK, "", "held calls are cut off by fatal signals only");
	else
		probe_found(ret, PROBE_FAIL,
			    r == -EBUSY || r == -EPERM ? "see the seccomp-notify line"
						       : "boot a kernel of 5.19 or later",
			    "WAIT_KILLABLE_RECV: %s", strerrordesc_np(-r));
}

void probe_listener_addfd(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_notify, "a");
	if (r >= 0)
		probe_found(ret, PROBE_OK, "", "files can be opened on behalf of the agent");
	else
		probe_found(ret, PROBE_FAIL,
			    r == -EBUSY || r == -EPERM ? "see the seccomp-notify line"
						       : "boot a kernel of 5.14 or later",
			    "ADDFD with SEND: %s", strerrordesc_np(-r));
}

enum { RACE_CALLS = 2000, RACE_MS = 300 };

static void nothing(int signum)
{
	(void)signum;
}

/* The target: asks for its parent RACE_CALLS times, and says how often it really asked. */
static void race_target(int listener_socket, int result)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getppid },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog program = { .len = 4, .filter = code };
	struct sigaction action = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	uint32_t calls = 0;
	sigaction(SIGUSR1, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_NEW_LISTENER |
				      SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
			      &program);
	if (fd < 0 || write(listener_socket, &fd, sizeof(fd)) != (ssize_t)sizeof(fd))
		_exit(1);
	while (calls < RACE_CALLS && syscall(SYS_getppid) >= 0)
		calls++;
	_exit(write(result, &calls, sizeof(calls)) == (ssize_t)sizeof(calls) ? 0 : 1);
}

/* Answers at once and signals right after. Number of requests answered. */
static uint32_t race_answer(int listener, pid_t target, int result)
{
	uint32_t answered = 0;
	for (uint64_t end = clock_ms() + RACE_MS * 4;;) {
		struct pollfd p[] = { { .fd = listener, .events = POLLIN },
				      { .fd = result, .events = POLLIN } };
		if (clock_ms() > end || poll(p, 2, 100) < 0 || p[1].revents ||
		    p[0].revents & POLLHUP)
			return answered;
		struct seccomp_notif ask = { 0 };
		if (!(p[0].revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &ask) < 0)
			continue;
		struct seccomp_notif_resp reply = { .id = ask.id, .val = 1 };
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
		kill(target, SIGUSR1);
		answered++;
	}
}

/* Requests answered in excess of calls made: calls that a signal repeated. -errno: not tried. */
static int try_fast_reply(const char *arg)
{
	int up[2], result[2], theirs = -1, more = 0;
	uint32_t calls = 0;
	(void)arg;
	if (pipe2(up, O_CLOEXEC) < 0 || pipe2(result, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		race_target(up[1], result[1]);
	close(up[1]);
	close(result[1]);
	if (pid < 0 || read(up[0], &theirs, sizeof(theirs)) != (ssize_t)sizeof(theirs))
		return pid < 0 ? -errno : -ENOTSUP;
	cleanup_fd int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	cleanup_fd int listener = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	int errnum = errno;
	uint32_t answered = listener < 0 ? 0 : race_answer(listener, pid, result[0]);
	struct pollfd done = { .fd = result[0], .events = POLLIN };
	bool whole = listener >= 0 && poll(&done, 1, 0) == 1 &&
		     read(result[0], &calls, sizeof(calls)) == (ssize_t)sizeof(calls);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (listener < 0)
		return -errnum;
	more = whole && answered > calls ? (int)(answered - calls) : 0;
	return whole ? more : -ETIMEDOUT;
}

void probe_listener_fast_reply(const struct probe_host *h, struct probe_result *ret)
{
	(void)h;
	int r = probe_in_child(try_fast_reply, NULL);
	if (r == 0)
		probe_found(ret, PROBE_OK, "",
			    "no call of %d was repeated by a signal after a fast "
			    "answer",
			    RACE_CALLS);
	else if (r > 0)
		probe_found(
			ret, PROBE_WARN,
			"boot a kernel of 6.18, or a stable one of November 2025 or later",
			"%d of %d calls were carried out twice: a signal right after a fast answer "
			"repeats them",
			r, RACE_CALLS);
	else
		probe_found(ret, PROBE_WARN, "see the seccomp-notify line",
			    "could not be tried: %s", strerrordesc_np(-r));
}
