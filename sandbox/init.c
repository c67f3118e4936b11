/* Pid 1 of the sandbox: builds it, starts the agent, reaps, passes signals on, reports. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/priority.h"
#include "base/scope.h"
#include "base/stack.h"
#include "sandbox/box_private.h"
#include "sandbox/proc.h"

static int write_file(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

/* Rootless, a process may map its own number itself; root's full map the parent writes. */
static int map_ids(const struct box_setup *s, struct err *err)
{
	char permit, line[64];
	if (s->box->overlay.rootful) {
		if (read(s->gate, &permit, 1) != 1 || permit != PERMIT_MAPPED)
			_exit(125);
		return 0;
	}
	int rc = write_file("/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "%u %u 1\n", s->uid, s->uid);
	if (rc == 0)
		rc = write_file("/proc/self/uid_map", line);
	snprintf(line, sizeof(line), "%u %u 1\n", s->gid, s->gid);
	if (rc == 0)
		rc = write_file("/proc/self/gid_map", line);
	if (rc < 0)
		return err_sys(err, -rc, "userns: cannot map user %u, group %u", s->uid, s->gid);
	return 0;
}

/* Should die with the monitor, also when that died before the prctl took effect. */
static void die_with_parent(const struct box_setup *s)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		_exit(125);
	struct pollfd p = { .fd = s->control };
	if (poll(&p, 1, 0) < 0 || (p.revents & POLLHUP))
		_exit(125);
}

static void report(const struct box_setup *s, int32_t type, int32_t status)
{
	struct box_message message = { .type = type, .status = status };
	if (write(s->control, &message, sizeof(message)) < 0)
		_exit(125); /* nobody listens: the monitor is gone, so the tree goes */
}

/* Takes in every child that has changed state; does not return when the agent has ended. */
static void reap(const struct box_setup *s, pid_t agent)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
		if (pid != agent)
			continue;
		if (WIFSTOPPED(status)) {
			report(s, BOX_MESSAGE_STOPPED, WSTOPSIG(status));
		} else if (WIFCONTINUED(status)) {
			report(s, BOX_MESSAGE_CONTINUED, 0);
		} else {
			report(s, BOX_MESSAGE_EXIT, status);
			_exit(0); /* the kernel kills whatever else is in the pid namespace */
		}
	}
}

/* Mustn't keep the terminal, a pipe of the agent's output, or anything of the monitor's open. */
static int shed(const struct box_setup *s, bool rootful, struct err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_sys(err, errno, "init: cannot open /dev/null inside");
	int keep = s->control;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			return err_sys(err, errno, "init");
	if ((keep > 3 && close_range(3, (unsigned)keep - 1, 0) < 0) ||
	    close_range((unsigned)keep + 1, ~0U, 0) < 0)
		return err_sys(err, errno, "init: cannot close descriptors");
	if (chdir("/") < 0)
		return err_sys(err, errno, "init");
	prctl(PR_SET_NAME, "vsandbox-init", 0, 0, 0);
	/* Mustn't be readable for the agent, whose user it shares: its memory is a copy of the monitor's. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(err, errno, "init: cannot hide its memory");
	int rc = capabilities_of_init(rootful, err);
	/* Should be armed again: a change of credentials disarms it. */
	die_with_parent(s);
	return rc;
}

/*
 * Mustn't keep what it has of the monitor's memory: the agent's user is its own, and each sandbox would pay
 * for the copy. From here on nothing is allocated; what is called needs the stack from here upwards.
 */
static void shed_memory(void)
{
	enum { PAGE = 4096 };
	cleanup_fd int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uintptr_t heap =
		self < 0 ? 0
			 : (uintptr_t)proc_stat_number(self, 47); /* start_brk: proc_pid_stat(5) */
	uintptr_t end = (uintptr_t)sbrk(0) & ~(uintptr_t)(PAGE - 1);
	heap = (heap + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	/* only to be rid of it: what stays is no less true */
	if (heap && heap < end)
		(void)madvise((void *)heap, end - heap, MADV_DONTNEED);
	stack_shed();
}

static _Noreturn void supervise(const struct box_setup *s, pid_t agent, int signal_fd)
{
	struct pollfd polls[2] = {
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = s->control, .events = POLLIN },
	};
	for (;;) {
		if (poll(polls, 2, -1) < 0)
			continue;
		if (polls[0].revents) {
			struct signalfd_siginfo info;
			if (read(signal_fd, &info, sizeof(info)) > 0)
				reap(s, agent);
		}
		if (polls[1].revents) {
			int32_t signum;
			ssize_t n = read(s->control, &signum, sizeof(signum));
			if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
				_exit(125); /* the monitor is gone */
			if (n == sizeof(signum) && signum > 0)
				kill(agent, signum);
		}
	}
}

_Noreturn void box_init_main(struct box_setup *s)
{
	struct err err = { 0 };
	/* the parent's ends, or their end of file would never be seen */
	close(s->box->control_fd);
	close(s->box->gate_fd);
	die_with_parent(s);
	int rc = map_ids(s, &err);
	if (rc == 0 && s->plan->net != NET_HOST)
		rc = box_net_up(s->plan, &err);
	if (rc == 0)
		rc = box_mounts_build(s, &err);
	if (rc < 0)
		box_gate_fail(s, rc, &err);

	/* A signal for pid 1 that has no handler is dropped by the kernel, terminal signals included. */
	sigset_t chld;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	pid_t agent = fork();
	if (agent < 0)
		box_gate_fail(s, -errno, &(struct err){ "init: cannot fork the agent's task" });
	if (agent == 0)
		box_agent_main(s);
	rc = shed(s, s->box->overlay.rootful, &err);
	int signal_fd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (rc < 0 || signal_fd < 0) {
		kill(agent, SIGKILL);
		_exit(125);
	}
	priority_raise();
	shed_memory();
	supervise(s, agent, signal_fd);
}
