#include "sandbox/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/connect.h"
#include "sandbox/holders.h"
#include "sandbox/network.h"
#include "sandbox/proc.h"
#include "sandbox/socket_options.h"

enum { RESTART = -512 }; /* ERESTARTSYS: the call is made again */

bool handover_wanted(const struct worker *w, const struct net_address *to)
{
	/* A link-local address says nothing without its interface, which is another inside. */
	return w->watch->network && net_class_of(to) != NET_CLASS_LINK_LOCAL &&
	       network_hands_over(w->watch->network) &&
	       policy_hands_over(w->watch->policy, &w->action);
}

int handover_state(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int error = 0;
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -EPERM;
	if (info.tcpi_state == TCP_SYN_SENT)
		return -EALREADY;
	len = sizeof(error);
	if (info.tcpi_state == TCP_CLOSE && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
		return error ? -error : -ECONNABORTED;
	return -EISCONN;
}

/* "flags:" of fdinfo has the descriptor's own flag as well. */
static enum inject_flags close_on_exec(const struct tracee *task, int number)
{
	char name[32], text[512];
	snprintf(name, sizeof(name), "fdinfo/%d", number);
	if (proc_read(task->dir_fd, name, text, sizeof(text)) < 0)
		return INJECT_NONE;
	return proc_number(text, "flags", 8) & O_CLOEXEC ? INJECT_CLOEXEC : INJECT_NONE;
}

/* Whom the connection was with is in the log at once; what it carries nobody sees. */
static void note_handed_over(struct worker *w, int error)
{
	struct action a = w->action;
	a.protocol = EVENT_HANDED_OVER;
	watch_connection_end(w->watch, &a, error, 0, 0);
}

/* Connects @host and puts it over the caller's number. */
static int replace(struct worker *w, int fd, int host, int family, const struct net_address *to,
		   const struct holders *h)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = net_address_sockaddr_as(to, family, &sa);
	int number = worker_int(w, 0), status = fcntl(fd, F_GETFL);
	enum inject_flags flags = close_on_exec(w->task, number);
	int r = connect(host, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
	if (r == -EINPROGRESS && !(status & O_NONBLOCK))
		r = connect_wait(w, host);
	if (r < 0 && r != -EINPROGRESS)
		return r;
	if (fcntl(host, F_SETFL, status) < 0)
		return -errno;
	/* Before the old socket goes: a set that waits for it must not become empty. */
	int placed = holders_register(h, host);
	if (placed == 0)
		placed = listener_place(w->listener, w->n.notif.id, host, number, flags);
	return placed < 0 ? placed : r;
}

int handover_connect(struct worker *w, int fd, const struct net_address *to)
{
	const struct freeze *f = &w->watch->freeze;
	struct holders h;
	struct stat st;
	int family = 0, protocol = 0;
	socklen_t len = sizeof(family), size = sizeof(protocol);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0 || fstat(fd, &st) < 0)
		return -EBADF;
	if (protocol != IPPROTO_TCP || (family != AF_INET && family != AF_INET6) ||
	    socket_options_bound(fd))
		return HANDOVER_NOT;
	int r = holders_find(f->proc_fd, f->init_pid, w->task, worker_int(w, 0), st.st_ino, &h);
	if (r < 0)
		return HANDOVER_NOT;
	if (h.others) { /* the copies would keep the old socket */
		holders_finish(&h);
		return HANDOVER_NOT;
	}
	cleanup_fd int host = network_borrow(w->watch->network, w, family);
	r = host < 0 ? host : socket_options_replay(fd, host, family);
	if (r == 0)
		r = replace(w, fd, host, family, to, &h);
	if (r != RESTART)
		note_handed_over(w, r == -EINPROGRESS ? 0 : -r);
	holders_finish(&h);
	return r;
}
