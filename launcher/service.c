#include "launcher/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/log.h"

enum { FIRST_FD = 3 };

unsigned service_fds(struct service_fd **ret)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	*ret = NULL;
	if (!pid || !number || strtol(pid, NULL, 10) != getpid())
		return 0;
	long count = strtol(number, NULL, 10);
	if (count <= 0 || count > SERVICE_FDS_MAX)
		return 0;
	struct service_fd *all = calloc((size_t)count, sizeof(*all));
	if (!all)
		return 0;
	for (long i = 0; i < count; i++) {
		size_t len = names ? strcspn(names, ":") : 0;
		all[i].fd = FIRST_FD + (int)i;
		fcntl(all[i].fd, F_SETFD, FD_CLOEXEC);
		snprintf(all[i].name, sizeof(all[i].name), "%.*s", (int)len, names ? names : "");
		if (names)
			names += len + (names[len] == ':');
	}
	unsetenv("LISTEN_PID"); /* nor for what we start */
	*ret = all;
	return (unsigned)count;
}

bool service_there(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	return path && (*path == '/' || *path == '@');
}

void service_tell(const char *text, int fd)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (!service_there() || strlen(path) >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (*path == '@')
		to.sun_path[0] = '\0';
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char line[512];
	snprintf(line, sizeof(line), "%s", text);
	struct iovec iov = { .iov_base = line, .iov_len = strlen(line) };
	struct msghdr h = { .msg_name = &to,
			    .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
						       strlen(path)),
			    .msg_iov = &iov,
			    .msg_iovlen = 1 };
	if (fd >= 0) {
		h.msg_control = &control;
		h.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
				       .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	cleanup_fd int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0 || sendmsg(socket_fd, &h, MSG_NOSIGNAL) < 0)
		log_warn("the service manager is not reached: %s, continuing",
			 strerrordesc_np(errno));
}
