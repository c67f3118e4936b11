#include "sandbox/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"

union ancillary {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* @fd < 0 is -errno, and no descriptor is sent with it. */
static int send_descriptor(int socket, int fd)
{
	int result = fd < 0 ? fd : 0;
	union ancillary control = { 0 };
	struct iovec iov = { .iov_base = &result, .iov_len = sizeof(result) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_descriptor(int socket)
{
	int result, fd;
	union ancillary control;
	struct iovec iov = { .iov_base = &result, .iov_len = sizeof(result) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;
	do
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(result))
		return n < 0 ? -errno : -ENXIO; /* its session has ended, and it with it */
	if (result < 0)
		return result;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EMFILE;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Signals of the terminal are for the foreground; what ends this process is the end of the socket. */
static _Noreturn void keep(int socket)
{
	prctl(PR_SET_NAME, "vsandbox-tty", 0, 0, 0);
	setpgid(0, 0);
	signal(SIGHUP, SIG_IGN);
	if (dup2(socket, 0) < 0 || close_range(1, ~0U, 0) < 0 || chdir("/") < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		_exit(125);
	int flags;
	while (recv(0, &flags, sizeof(flags), 0) == (ssize_t)sizeof(flags)) {
		cleanup_fd int fd = open("/dev/tty", flags | O_NOCTTY | O_CLOEXEC);
		if (send_descriptor(0, fd < 0 ? -errno : fd) < 0)
			break;
	}
	_exit(0);
}

int terminal_keep(void)
{
	int pair[2];
	cleanup_fd int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -ENXIO;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0)
		keep(pair[1]);
	int r = pid < 0 ? -errno : pair[0];
	close(pair[1]);
	if (pid < 0)
		close(pair[0]);
	return r;
}

int terminal_open(int keeper_fd, uint64_t flags)
{
	int request = (int)flags;
	if (keeper_fd < 0)
		return -ENXIO;
	if (send(keeper_fd, &request, sizeof(request), MSG_NOSIGNAL) < 0)
		return errno == EPIPE ? -ENXIO : -errno;
	return receive_descriptor(keeper_fd);
}
