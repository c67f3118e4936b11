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
#include "launcher/session_direct.h"

enum { POLL_MS = 5, PATIENCE_MS = 3000 };

static int ask_gateway(const struct session *s)
{
	cleanup_fd int fd = session_pidfd(s, "gateway");
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
	cleanup_fd int fd = session_pidfd(s, "monitor");
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
	int r = ask_gateway(s);
	/* That need not wait for the gateway; a monitor that cannot be told is killed below. */
	session_nudge(s, NUDGE_END);
	if (r == 0 && ended_within(s, PATIENCE_MS))
		return 0;
	/* A stopped gateway, or none: the monitor's death ends the tree all the same. */
	r = kill_monitor(s);
	if (r == 0 && ended_within(s, PATIENCE_MS))
		return 0;
	if (r == -ESRCH && !session_number(s, "attached_pid")) { /* those outlive their monitor */
		log_warn(
			"everything in session %s has ended; its gateway is stopped, or stuck, and "
			"has yet to say so",
			s->id);
		return 0;
	}
	log_error("session %s does not end%s%s", s->id, r < 0 ? ": " : "",
		  r < 0 ? strerrordesc_np(-r) : "");
	return EXIT_USAGE;
}
