#include "sandbox/nudge.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int signals[] = { [NUDGE_PAUSE] = SIGURG, [NUDGE_END] = SIGUSR2 };

int nudge_open(void)
{
	sigset_t set;
	sigemptyset(&set);
	for (enum nudge n = NUDGE_PAUSE; n <= NUDGE_END; n++)
		sigaddset(&set, signals[n]);
	int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (r)
		return -r;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

enum nudge nudge_take(int fd)
{
	struct signalfd_siginfo info;
	enum nudge strongest = NUDGE_NONE;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		for (enum nudge n = NUDGE_PAUSE; n <= NUDGE_END; n++)
			if (info.ssi_signo == (unsigned)signals[n] && n > strongest)
				strongest = n;
	return strongest;
}

int nudge_send(int pidfd, enum nudge what)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signals[what], NULL, 0) < 0 ? -errno : 0;
}
