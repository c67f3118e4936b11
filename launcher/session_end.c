/* Asks the gateway, which ends the tree in order; if it does not, kills the monitor. */
#include "launcher/session_end.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/log.h"

enum { POLL_MS = 5, PATIENCE_MS = 3000 };

/*
 * A pidfd of a process that session.json names, or -ESRCH. The start time is compared
 * after the pidfd is held: a number that was given to somebody else since does not pass.
 */
static int open_process(const struct session *s, const char *name, pid_t *ret_pid)
{
	uint64_t ticks;
	pid_t pid = session_process(s, name, &ticks);
	if (pid <= 0)
		return -ESRCH;
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0 || !process_alive(pid, ticks))
		return -ESRCH;
	*ret_pid = pid;
	return take_fd(&fd);
}

static int ask_gateway(const struct session *s)
{
	pid_t pid;
	cleanup_fd int fd = open_process(s, "gateway", &pid);
	if (fd < 0)
		return fd;
	siginfo_t info = { .si_signo = SIGTERM, .si_code = SI_QUEUE };
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = SESSION_KILL_VALUE;
	return syscall(SYS_pidfd_send_signal, fd, SIGTERM, &info, 0) < 0 ? -errno : 0;
}

static int kill_monitor(const struct session *s)
{
	pid_t pid;
	cleanup_fd int fd = open_process(s, "monitor", &pid);
	if (fd < 0)
		return fd;
	return syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

static bool ended_within(struct session *s, int ms)
{
	for (; ms > 0; ms -= POLL_MS) {
		struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
		session_refresh(s);
		if (s->state != SESSION_RUNNING)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

int session_end(struct session *s)
{
	if (s->state != SESSION_RUNNING) {
		log_info("session %s is not running", s->id);
		return 0;
	}
	if (ask_gateway(s) == 0 && ended_within(s, PATIENCE_MS))
		return 0;
	/* A stopped gateway, or none: the monitor's death ends the tree all the same. */
	int r = kill_monitor(s);
	if (r == 0 && ended_within(s, PATIENCE_MS))
		return 0;
	uint64_t ticks;
	log_error("session %s does not end%s%s", s->id, r < 0 ? ": " : "",
		  r < 0 ? strerrordesc_np(-r) : "");
	if (process_alive(session_process(s, "gateway", &ticks), ticks))
		log_error("its gateway, pid %d, is stopped or stuck",
			  session_process(s, "gateway", &ticks));
	return EXIT_USAGE;
}
