#include "sandbox/socket_options.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"

#ifndef SO_BUF_LOCK /* Linux 5.14 */
#define SO_BUF_LOCK 72
#endif

enum { VALUE_MAX = 32, BUF_LOCK_SEND = 1, BUF_LOCK_RECEIVE = 2 };

static const struct {
	int level, name;
} options[] = {
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ SOL_SOCKET, SO_RCVTIMEO },
	{ SOL_SOCKET, SO_SNDTIMEO },
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_REUSEADDR },
	{ SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_TIMESTAMPNS },
	{ SOL_SOCKET, SO_ZEROCOPY },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_CORK },
	{ IPPROTO_TCP, TCP_MAXSEG },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },
	{ IPPROTO_TCP, TCP_KEEPCNT },
	{ IPPROTO_TCP, TCP_SYNCNT },
	{ IPPROTO_TCP, TCP_LINGER2 },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP },
	{ IPPROTO_TCP, TCP_QUICKACK },
	{ IPPROTO_TCP, TCP_CONGESTION },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	{ IPPROTO_TCP, TCP_INQ },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },
	{ IPPROTO_IP, IP_MTU_DISCOVER },
	{ IPPROTO_IP, IP_RECVERR },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	{ IPPROTO_IPV6, IPV6_V6ONLY },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
	{ IPPROTO_IPV6, IPV6_RECVERR },
};

/* The kernel tells twice of what was set. */
static void replay_buffer(int from, int to, int name)
{
	int size;
	socklen_t len = sizeof(size);
	if (getsockopt(from, SOL_SOCKET, name, &size, &len) < 0)
		return;
	size /= 2;
	setsockopt(to, SOL_SOCKET, name, &size, sizeof(size));
}

int socket_options_replay(int from, int to, int family)
{
	cleanup_fd int fresh = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int locked = 0;
	socklen_t len = sizeof(locked);
	if (fresh < 0)
		return -errno;
	if (getsockopt(from, SOL_SOCKET, SO_BUF_LOCK, &locked, &len) == 0) {
		if (locked & BUF_LOCK_SEND)
			replay_buffer(from, to, SO_SNDBUF);
		if (locked & BUF_LOCK_RECEIVE)
			replay_buffer(from, to, SO_RCVBUF);
	}
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		char was[VALUE_MAX] = "", is[VALUE_MAX] = "";
		socklen_t was_len = sizeof(was), is_len = sizeof(is);
		if (getsockopt(fresh, options[i].level, options[i].name, was, &was_len) < 0 ||
		    getsockopt(from, options[i].level, options[i].name, is, &is_len) < 0 ||
		    (was_len == is_len && memcmp(was, is, is_len) == 0))
			continue;
		setsockopt(to, options[i].level, options[i].name, is, is_len);
	}
	return 0;
}

bool socket_options_bound(int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa), filter = 0;
	int status = fcntl(fd, F_GETFL);
	if (status < 0 || status & O_ASYNC || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return true;
	/* the port of both families stands at the same place; an address without a port as well */
	const struct sockaddr_in *v4 = (const void *)&sa;
	const struct sockaddr_in6 *v6 = (const void *)&sa;
	if (v4->sin_port || (sa.ss_family == AF_INET ? v4->sin_addr.s_addr != INADDR_ANY
						     : !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)))
		return true;
	/* The length of the filter in instructions; 0 none. */
	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &filter) < 0 || filter > 0;
}
