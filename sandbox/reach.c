/*
 * Calls in a network of the sandbox's own. The verdict is made on a copy of the
 * address, then the call goes on with whatever is in memory by then: CONTINUE is safe because the box
 * enforces the same rule. Nothing can be met there but the agent's own sockets and those
 * the monitor opened, and a connection that meets one of these without a verdict is reset. Where the agent may
 * hold sockets of the host as well (sandbox/handover.h) no connect(2) goes on: each is made here.
 */
#include "sandbox/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <asm/unistd.h>

#include "base/scope.h"
#include "sandbox/connect.h"
#include "sandbox/handover.h"
#include "sandbox/network.h"

enum {
	DNS_PORT = 53,
	MESSAGES_MAX = 1024,   /* of a sendmmsg: the kernel takes no more, UIO_MAXIOV */
	DESTINATIONS_MAX = 64, /* new ones of one call */
};

/* Ports that speak a database's protocol: seen as such even before statements are. */
static const char *database_scheme(uint16_t port)
{
	switch (port) {
	case 5432:
		return "postgresql";
	case 3306:
		return "mysql";
	case 6379:
		return "redis";
	case 27017:
		return "mongodb";
	case 1433:
		return "mssql";
	case 1521:
		return "oracle";
	default:
		return NULL;
	}
}

void reach_describe(struct worker *w, const struct net_address *to, const char *name,
		    enum action_op op)
{
	struct action *act = &w->action;
	const char *scheme = op == OP_CONNECT ? database_scheme(to->port) : NULL;
	char host[NET_ADDRESS_TEXT + 2], *resource = w->path[1];
	net_address_host(to, w->text);
	snprintf(host, sizeof(host), to->family == AF_INET6 ? "[%.63s]" : "%.63s", w->text);
	act->op = op;
	act->type = scheme ? ACTION_DATABASE_QUERY : ACTION_NETWORK_REQUEST;
	act->address = w->text;
	act->port = to->port;
	act->provenance = PROVENANCE_UNKNOWN;
	act->size_bytes = -1;
	act->protocol = op == OP_SEND ? "udp" : "tcp";
	act->resolved = name != NULL;
	act->resource = resource;
	snprintf(resource, sizeof(w->path[1]), "%s%s%s:%u", scheme ? scheme : "",
		 scheme ? "://" : "", name ? name : host, to->port);
}

/* Describes @to by the name that led there; where several did, by the last that may be reached. */
static void describe_named(struct worker *w, const struct net_address *to, enum action_op op)
{
	char names[NETWORK_NAMES_MAX][256];
	struct network *n = w->watch->network;
	unsigned count = n ? network_names(n, to, names) : 0;
	if (net_class_of(to) == NET_CLASS_LOOPBACK) {
		reach_describe(w, to, "localhost", op);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		reach_describe(w, to, names[i], op);
		if (watch_allows(w))
			return;
	}
	reach_describe(w, to, count ? names[0] : NULL, op);
}

static bool is_host_port(const struct policy *p, uint16_t port)
{
	for (unsigned i = 0; i < p->host_port_count; i++)
		if (p->host_ports[i] == port)
			return true;
	return false;
}

/*
 * Does it end inside whatever the policy says: the agent's own loopback, or the resolver?
 * "This host" is loopback, as to the kernel.
 */
static bool stays_inside(const struct watch *watch, struct net_address *to)
{
	enum net_class class = net_class_of(to);
	if (class == NET_CLASS_UNSPECIFIED && (to->family == AF_INET6 || !to->bytes[0])) {
		memset(to->bytes, 0, sizeof(to->bytes));
		to->bytes[to->family == AF_INET ? 0 : 15] = to->family == AF_INET ? 127 : 1;
		if (to->family == AF_INET)
			to->bytes[3] = 1;
		class = NET_CLASS_LOOPBACK;
	}
	if (class == NET_CLASS_LOOPBACK)
		return !watch->network || !is_host_port(watch->policy, to->port);
	return to->port == DNS_PORT && watch->network && network_resolves(watch->network);
}

static void go_on(struct worker *w)
{
	listener_continue(w->listener, w->n.notif.id);
}

/*
 * connect(2) with an address that meets nothing but the agent's own. Where it may hold sockets of another
 * network the kernel must not make the call: which socket it is made on could change meanwhile.
 */
static void connect_on(struct worker *w, const struct sockaddr *sa, size_t len)
{
	if (box_hands_over(w->watch->plan->box))
		connect_here(w, sa, len);
	else
		go_on(w);
}

/* What the caller's socket is. -errno to answer. */
struct caller {
	int fd; /* a duplicate; owned */
	int type, flags;
	bool own;  /* of the sandbox's network; another would take the call out of the box */
	bool idle; /* a stream that is not connected and not about to be */
};

static void finish_caller(struct caller *c)
{
	scope_close(&c->fd);
	c->fd = -1;
}

static int look_at_socket(struct worker *w, struct caller *ret)
{
	int fd = tracee_getfd(w->task, worker_int(w, 0));
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(ret->type);
	*ret = (struct caller){ .fd = fd };
	if (fd < 0)
		return -EBADF;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &ret->type, &len) < 0)
		return -errno;
	ret->own = !w->watch->network || network_owns(w->watch->network, fd);
	ret->flags = fcntl(fd, F_GETFL);
	len = sizeof(info);
	ret->idle = ret->type != SOCK_STREAM ||
		    (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		     info.tcpi_state == TCP_CLOSE);
	return 0;
}

/* Decides on @to and opens it. Answers the notification, unless it is held. May take @caller's descriptor. */
static void reach(struct worker *w, const struct net_address *to, enum action_op op,
		  enum broker_transport transport, struct caller *caller)
{
	struct network *n = w->watch->network;
	describe_named(w, to, op);
	if (transport == BROKER_UDP)
		w->action.protocol = "udp";
	int r = watch_decide(w);
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	watch_done(w, EVENT_RESULT_PENDING);
	if (!n) { /* nothing is open in this network: the kernel says so */
		go_on(w);
		return;
	}
	if (transport == BROKER_TCP && handover_wanted(w, to)) {
		r = handover_connect(w, caller->fd, to);
		if (r != HANDOVER_NOT) {
			/* Before the answer: epoll sets must have forgotten what was replaced. */
			finish_caller(caller);
			worker_answer(w, r);
			return;
		}
	}
	bool here = op == OP_CONNECT && box_hands_over(w->watch->plan->box);
	r = network_open(n, w, to, transport, caller->flags, here ? take_fd(&caller->fd) : -1);
	if (r == NETWORK_OPEN)
		go_on(w);
	else if (r == NETWORK_DONE)
		worker_answer(w, 0);
	else if (r < 0)
		worker_answer(w, r);
}

/* A socket of the host that was granted by path: what is connected to is on record. */
static void reach_unix(struct worker *w, const struct sockaddr *sa, size_t len)
{
	struct watch *watch = w->watch;
	struct sockaddr_un un = { 0 };
	char path[sizeof(un.sun_path) + 1] = "";
	if (len > sizeof(un) || len <= sizeof(sa_family_t) || !watch->policy->allow_unix.count) {
		connect_on(w, sa, len);
		return;
	}
	memcpy(&un, sa, len);
	memcpy(path, un.sun_path, len - sizeof(sa_family_t));
	struct place *p = &w->place[0];
	bool granted = false;
	if (path[0] && place_resolve(&watch->env, w->task, AT_FDCWD, path, PLACE_FOLLOW, p) == 0 &&
	    p->exists)
		for (unsigned i = 0; i < watch->policy->allow_unix.count; i++)
			granted |= pattern_matches(&watch->policy->allow_unix.items[i].pattern,
						   p->path);
	if (!granted) { /* a socket of the sandbox's own, or none */
		connect_on(w, sa, len);
		return;
	}
	w->action = (struct action){ .type = ACTION_NETWORK_REQUEST,
				     .op = OP_CONNECT,
				     .resource = p->path,
				     .protocol = "unix",
				     .size_bytes = -1 };
	int r = watch_decide(w);
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	watch_done(w, EVENT_RESULT_PENDING);
	connect_on(w, sa, len);
}

void reach_connect(struct worker *w, const struct sockaddr *sa, size_t len)
{
	struct net_address to;
	__attribute__((cleanup(finish_caller))) struct caller caller = { .fd = -1 };
	int r = net_address_parse(sa, len, &to);
	if (r < 0) { /* other families; what the kernel refuses */
		if (len >= sizeof(sa_family_t) && sa->sa_family == AF_UNIX)
			reach_unix(w, sa, len);
		else
			connect_on(w, sa, len);
		return;
	}
	if (stays_inside(w->watch, &to)) {
		connect_on(w, sa, len);
		return;
	}
	r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = look_at_socket(w, &caller);
	if (r == 0 && !caller.own)
		r = caller.type == SOCK_STREAM ? handover_state(caller.fd) : -EPERM;
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	if (!caller.idle) { /* EISCONN, EALREADY: no new connection comes of it */
		connect_on(w, sa, len);
		return;
	}
	reach(w, &to, OP_CONNECT, caller.type == SOCK_STREAM ? BROKER_TCP : BROKER_UDP, &caller);
}

/*
 * The address of one message in the caller's memory. 1; 0: none, or none of the internet; else what
 * the kernel would answer: -EFAULT, -EINVAL.
 */
static int message_address(struct worker *w, uint64_t at, size_t len, struct net_address *ret)
{
	struct sockaddr_storage sa = { 0 };
	if (!at || !len)
		return 0;
	int r = tracee_read(w->task->tid, at, &sa, len);
	if (r < 0)
		return r;
	/* AF_UNSPEC is AF_INET to a UDP socket. */
	if (sa.ss_family == AF_UNSPEC && len >= sizeof(struct sockaddr_in))
		sa.ss_family = AF_INET;
	return net_address_parse((const struct sockaddr *)&sa, len, ret) == 0;
}

/* What the messages of one call name and nobody has opened yet. */
struct destinations {
	struct net_address to[DESTINATIONS_MAX];
	unsigned count;
};

/* Puts the address of one message into @d. 0, or -errno to answer. */
static int add_destination(struct worker *w, uint64_t at, size_t len, struct destinations *d)
{
	struct network *n = w->watch->network;
	struct net_address a;
	int r = message_address(w, at, len, &a);
	if (r <= 0 || stays_inside(w->watch, &a) || (n && network_is_open(n, &a)))
		return r < 0 ? r : 0;
	for (unsigned i = 0; i < d->count; i++)
		if (net_address_equal(&d->to[i], &a))
			return 0;
	if (d->count == DESTINATIONS_MAX)
		return -ENOBUFS;
	d->to[d->count++] = a;
	return 0;
}

/* As add_destination, of a message header: its length of the name is read as the kernel reads it. */
static int add_header(struct worker *w, uint64_t at, struct destinations *d)
{
	struct msghdr h;
	int r = tracee_read(w->task->tid, at, &h, sizeof(h));
	if (r < 0)
		return r;
	if (h.msg_name && (int)h.msg_namelen < 0)
		return -EINVAL;
	size_t len = h.msg_namelen < sizeof(struct sockaddr_storage)
			     ? h.msg_namelen
			     : sizeof(struct sockaddr_storage);
	return add_destination(w, (uint64_t)(uintptr_t)h.msg_name, len, d);
}

/* Destinations named that are not open yet. 0, or -errno to answer. */
static int new_destinations(struct worker *w, struct destinations *d)
{
	const __u64 *args = w->n.notif.data.args;
	unsigned count = 1;
	int r = 0;
	if (w->n.notif.data.nr == __NR_sendto) {
		int len = worker_int(w, 5);
		if (len < 0 || (size_t)len > sizeof(struct sockaddr_storage))
			return -EINVAL;
		return add_destination(w, args[4], (size_t)len, d);
	}
	if (w->n.notif.data.nr == __NR_sendmmsg) {
		count = (unsigned)worker_int(w, 2);
		count = count < MESSAGES_MAX ? count : MESSAGES_MAX;
	}
	/* One that cannot be read fails the call before any is sent; the kernel would send those before it. */
	for (unsigned i = 0; r == 0 && i < count; i++)
		r = add_header(w, args[1] + i * sizeof(struct mmsghdr), d);
	return r;
}

void reach_send(struct worker *w)
{
	struct destinations d = { .count = 0 };
	__attribute__((cleanup(finish_caller))) struct caller caller = { .fd = -1 };
	int unread = new_destinations(w, &d);
	if (unread == 0 && !d.count) {
		go_on(w);
		return;
	}
	int r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = look_at_socket(w, &caller);
	if (r == 0) /* a descriptor that is none comes first, as in the kernel */
		r = unread;
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	if (caller.type == SOCK_STREAM) { /* its destination is its peer */
		go_on(w);
		return;
	}
	if (!caller.own) {
		worker_answer(w, -EPERM);
		return;
	}
	/* One call in a hundred thousand names several: all but the last are opened without waiting. */
	for (unsigned i = 0; i + 1 < d.count; i++) {
		describe_named(w, &d.to[i], OP_SEND);
		r = watch_decide(w);
		if (r == 0) {
			watch_done(w, EVENT_RESULT_PENDING);
			if (w->watch->network)
				r = network_prepare(w->watch->network, w, &d.to[i]);
		}
		if (r < 0) {
			worker_answer(w, r);
			return;
		}
	}
	reach(w, &d.to[d.count - 1], OP_SEND, BROKER_UDP, &caller);
}
