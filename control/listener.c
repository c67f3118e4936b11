#include "control/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/scope.h"

enum {
	CONNECTIONS = 16384,
	BACKLOG = 1024,
	OWN_FILES = 64, /* of the store, of epoll */
};

int listener_open(const char *address, uint16_t port, enum listener_wire wire, struct err *err)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	bool is_six = inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
	if (!is_six && inet_pton(AF_INET, address, &four.sin_addr) != 1)
		return err_set(err, EINVAL, "--listen %s: not a numeric address", address);
	bool loopback = is_six ? IN6_IS_ADDR_LOOPBACK(&six.sin6_addr)
			       : ntohl(four.sin_addr.s_addr) >> 24 == 127;
	if (!loopback && wire != LISTENER_TLS)
		return err_set(
			err, EPERM,
			"--listen %s: other machines could read keys on the wire; give --tls-cert "
			"and --tls-key, or listen on 127.0.0.1 behind a proxy that has them",
			address);
	cleanup_fd int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;
	if (fd < 0)
		return err_sys(err, errno, "--listen %s", address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (is_six)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	const struct sockaddr *a =
		is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
	if (bind(fd, a, is_six ? sizeof(six) : sizeof(four)) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(err, errno, "--listen %s port %u", address, port);
	return take_fd(&fd);
}

uint16_t listener_port(int fd)
{
	struct sockaddr_in6 a = { 0 };
	socklen_t len = sizeof(a);
	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return 0;
	return ntohs(a.sin6_port); /* at the same place in sockaddr_in */
}

unsigned listener_room(void)
{
	struct rlimit files = { 0, 0 };
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		rlim_t wanted = CONNECTIONS + OWN_FILES;
		files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
		setrlimit(RLIMIT_NOFILE, &files);
		getrlimit(RLIMIT_NOFILE, &files);
	}
	return files.rlim_cur > 2 * OWN_FILES ? (unsigned)files.rlim_cur - OWN_FILES : OWN_FILES;
}
