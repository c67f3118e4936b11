#include "launcher/session_direct.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"

int session_pidfd(const struct session *s, const char *name)
{
	uint64_t ticks;
	pid_t pid = session_process(s, name, &ticks);
	if (pid <= 0)
		return -ESRCH;
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 || !process_alive(pid, ticks) ? -ESRCH : take_fd(&fd);
}

int session_nudge(const struct session *s, enum nudge what)
{
	cleanup_fd int fd = session_pidfd(s, "monitor");
	return fd < 0 ? fd : nudge_send(fd, what);
}
