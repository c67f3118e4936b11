/*
 * Network calls with the host's network, and with one of the sandbox's own where sockets of the host are
 * handed over: each is made here, on a duplicate of the caller's socket, with the copied address.
 */
#include "sandbox/connect.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/creds.h"
#include "sandbox/handover.h"
#include "sandbox/network.h"
#include "sandbox/reach.h"
#include "sandbox/watch.h"

enum {
	SEND_MAX = 262144, /* bytes taken over at once; a stream's caller sends the rest again */
	CONTROL_MAX = 4096,
	PASSED_MAX = 253, /* SCM_MAX_FD */
	RESTART = -512,   /* ERESTARTSYS: only while a signal is pending */
	WAIT_SLICE_MS = 20,
};

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

static int read_address(struct worker *w, uint64_t addr, int len, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (len < 0 || (size_t)len > sizeof(ret->storage))
		return -EINVAL;
	return tracee_read(w->task->tid, addr, ret, (size_t)len);
}

/* Waits, no longer leading, until the socket can go on. 0, RESTART, -ENOENT. */
static int wait_ready(struct worker *w, int fd, short events)
{
	uint64_t id = w->n.notif.id;
	int r;
	worker_step_down(w);
	do {
		struct pollfd p = { .fd = fd, .events = events };
		r = poll(&p, 1, WAIT_SLICE_MS);
		if (r > 0)
			r = 1;
		else if (listener_valid(w->listener, id) < 0)
			r = -ENOENT;
		else if (tracee_signalled(w->task))
			r = RESTART;
	} while (r == 0);
	return r > 0 ? 0 : r;
}

int connect_wait(struct worker *w, int fd)
{
	int error = 0, r = wait_ready(w, fd, POLLOUT);
	socklen_t size = sizeof(error);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0)
		r = -error;
	return r;
}

/* connect(2) on our duplicate; blocking sockets are waited for without blocking anybody else. */
static int connect_duplicate(struct worker *w, int fd, const union address *a, socklen_t len)
{
	int flags = fcntl(fd, F_GETFL);
	bool blocking = flags >= 0 && !(flags & O_NONBLOCK);
	/* The file status flags are shared with the caller, who sleeps in this very call. */
	if (blocking)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	int r = connect(fd, &a->sa, len) < 0 ? -errno : 0;
	/* EALREADY: begun before a signal or an attach cut the call short, which is made again now */
	if (blocking && (r == -EINPROGRESS || r == -EALREADY))
		r = connect_wait(w, fd);
	if (blocking)
		fcntl(fd, F_SETFL, flags);
	return r;
}

/*
 * A UNIX name to reach, for a call of ours in the host's network namespace: the pinned object by its number
 * in /proc/self/fd, which is this worker's directory. Abstract names of the host's network are the host's: none
 * is reached. Nothing is changed for other families.
 */
static int pin_unix(struct worker *w, union address *a, socklen_t *len)
{
	struct place *p = &w->place[0];
	char path[sizeof(a->un.sun_path) + 1] = "";
	if (a->sa.sa_family != AF_UNIX || *len <= sizeof(sa_family_t))
		return 0;
	if (a->un.sun_path[0] == '\0') /* an attached process was never kept from them */
		return w->watch->plan->attach || w->watch->network ? 0 : -ECONNREFUSED;
	if (*len > sizeof(a->un))
		return -EINVAL;
	memcpy(path, a->un.sun_path, *len - sizeof(sa_family_t));
	int r = place_resolve(&w->watch->env, w->task, AT_FDCWD, path, PLACE_FOLLOW | PLACE_OBJECT,
			      p);
	if (r < 0)
		return r;
	if (!p->exists)
		return -ENOENT;
	int n = snprintf(a->un.sun_path, sizeof(a->un.sun_path), "%d", p->object_fd);
	*len = (socklen_t)(sizeof(sa_family_t) + (size_t)n + 1);
	return 0;
}

/* A UNIX name to make: absolute, because the directory it would be relative to is the caller's. */
static int place_unix(struct worker *w, union address *a, socklen_t *len)
{
	struct place *p = &w->place[0];
	char path[sizeof(a->un.sun_path) + 1] = "";
	if (a->sa.sa_family != AF_UNIX || *len <= sizeof(sa_family_t) || a->un.sun_path[0] == '\0')
		return 0;
	if (*len > sizeof(a->un))
		return -EINVAL;
	memcpy(path, a->un.sun_path, *len - sizeof(sa_family_t));
	int r = place_resolve(&w->watch->env, w->task, AT_FDCWD, path, PLACE_NOFOLLOW, p);
	if (r < 0)
		return r;
	if (p->exists)
		return -EADDRINUSE;
	if (strlen(p->path) >= sizeof(a->un.sun_path))
		return -ENAMETOOLONG;
	strcpy(a->un.sun_path, p->path);
	*len = (socklen_t)(sizeof(sa_family_t) + strlen(p->path) + 1);
	return worker_umask(w);
}

/*
 * An attached process sees the host's sockets, so they are decided on: by the path that was resolved, as a
 * network request; abstract ones by "@name".
 */
static int decide_unix(struct worker *w, const union address *a, socklen_t len, enum action_op op)
{
	struct action *act = &w->action;
	const struct place *p = &w->place[0];
	if (a->sa.sa_family != AF_UNIX || len <= sizeof(sa_family_t) || !w->watch->plan->attach)
		return 0;
	size_t room = len - sizeof(sa_family_t);
	if (a->un.sun_path[0] == '\0' && room <= sizeof(a->un.sun_path)) {
		snprintf(w->text, sizeof(w->text), "@%.*s", (int)room - 1, a->un.sun_path + 1);
		act->resource = w->text;
	} else {
		act->resource = p->path;
		act->alias = *p->alias ? p->alias : NULL;
	}
	act->type = ACTION_NETWORK_REQUEST;
	act->op = op;
	act->protocol = "unix";
	act->provenance = PROVENANCE_UNKNOWN;
	act->size_bytes = -1;
	return watch_decide(w);
}

/* connect and bind with the host's network: on a duplicate, with the copy, whatever the family. */
static int call_here(struct worker *w, enum action_op op, const union address *a, socklen_t len)
{
	const struct network *own = w->watch->network;
	cleanup_fd int fd = tracee_getfd(w->task, worker_int(w, 0));
	if (fd < 0)
		return -EBADF;
	/* Looked at on the very duplicate that is used. */
	if (own && !network_owns(own, fd))
		return op == OP_BIND ? -EINVAL : handover_state(fd);
	int r = creds_assume(&w->watch->env,
			     w->task); /* ports below 1024, and what a UNIX server is told */
	if (r == 0 && op == OP_BIND)
		r = bind(fd, &a->sa, len) < 0 ? -errno : 0;
	else if (r == 0)
		r = connect_duplicate(w, fd, a, len);
	creds_resume(&w->watch->env);
	return r;
}

void connect_here(struct worker *w, const struct sockaddr *sa, size_t len)
{
	union address a = { 0 };
	socklen_t used = (socklen_t)len;
	memcpy(&a, sa, len < sizeof(a) ? len : sizeof(a));
	int r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = w->row->op == OP_BIND ? place_unix(w, &a, &used) : pin_unix(w, &a, &used);
	if (r == 0)
		r = call_here(w, w->row->op, &a, used);
	worker_answer(w, r);
}

/* listen(2) names nothing, but a socket of the host's network must not do it. */
static void listen_here(struct worker *w)
{
	int r = listener_valid(w->listener, w->n.notif.id);
	cleanup_fd int fd = r < 0 ? r : tracee_getfd(w->task, worker_int(w, 0));
	if (r == 0 && fd < 0)
		r = -EBADF;
	else if (r == 0 && !network_owns(w->watch->network, fd))
		r = -EINVAL;
	else if (r == 0)
		r = listen(fd, worker_int(w, 1)) < 0 ? -errno : 0;
	worker_answer(w, r);
}

void carry_connect(struct worker *w)
{
	struct watch *watch = w->watch;
	union address a;
	if (w->n.notif.data.nr == __NR_listen) {
		listen_here(w);
		return;
	}
	int len = worker_int(w, 2);
	int r = read_address(w, w->n.notif.data.args[1], len, &a);
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	if (watch->plan->box->net != NET_HOST) {
		if (w->row->op == OP_BIND)
			connect_here(w, &a.sa, (size_t)len);
		else
			reach_connect(w, &a.sa, (size_t)len);
		return;
	}
	struct net_address to;
	enum action_op op = w->row->op;
	const union address shown = a;
	socklen_t used = (socklen_t)len;
	r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0 && net_address_parse(&a.sa, (size_t)len, &to) == 0) {
		reach_describe(w, &to, NULL, op);
		r = watch_decide(w);
	} else if (r == 0) { /* only with the host's network */
		r = op == OP_BIND ? place_unix(w, &a, &used) : pin_unix(w, &a, &used);
		if (r == 0)
			r = decide_unix(w, &shown, (socklen_t)len, op);
	}
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	r = call_here(w, op, &a, used);
	watch_done(w, r);
	worker_answer(w, r);
}

/* A message taken over whole: address, data, control. */
struct message {
	union address name;
	socklen_t name_len;
	char *data;                 /* owned */
	size_t data_len, whole_len; /* taken; as sent */
	int flags;
	_Alignas(struct cmsghdr) char control[CONTROL_MAX];
	size_t control_len;
};

static int read_data(struct worker *w, uint64_t addr, uint64_t len, struct message *m)
{
	size_t room = SEND_MAX - m->data_len;
	size_t take = len < room ? (size_t)len : room;
	int r = tracee_read(w->task->tid, addr, m->data + m->data_len, take);
	if (r == 0)
		m->data_len += take;
	m->whole_len += (size_t)len;
	return r;
}

static int read_msghdr(struct worker *w, uint64_t addr, struct message *m)
{
	struct msghdr h;
	int r = tracee_read(w->task->tid, addr, &h, sizeof(h));
	if (r < 0)
		return r;
	if (h.msg_iovlen > 1024)
		return -EMSGSIZE;
	if (h.msg_controllen > sizeof(m->control))
		return -ENOBUFS;
	m->control_len = h.msg_controllen;
	r = tracee_read(w->task->tid, (uint64_t)(uintptr_t)h.msg_control, m->control,
			m->control_len);
	if (r == 0 && h.msg_name && h.msg_namelen > 0) {
		socklen_t len = h.msg_namelen, most = sizeof(m->name.storage);
		/* Beyond all names it is cut, as the kernel cuts it; a negative one is refused. */
		m->name_len = len > most && (int)len > 0 ? most : len;
		r = read_address(w, (uint64_t)(uintptr_t)h.msg_name, (int)m->name_len, &m->name);
	}
	for (size_t i = 0; r == 0 && i < h.msg_iovlen; i++) {
		struct iovec iov;
		r = tracee_read(w->task->tid, (uint64_t)(uintptr_t)(h.msg_iov + i), &iov,
				sizeof(iov));
		if (r == 0)
			r = read_data(w, (uint64_t)(uintptr_t)iov.iov_base, iov.iov_len, m);
	}
	return r;
}

/* sendto with an address, sendmsg, and the first message of sendmmsg (callers send the rest again). */
static int read_message(struct worker *w, struct message *m)
{
	const __u64 *args = w->n.notif.data.args;
	switch (w->n.notif.data.nr) {
	case __NR_sendto: {
		m->flags = worker_int(w, 3);
		m->name_len = (socklen_t)worker_int(w, 5);
		int r = read_address(w, args[4], worker_int(w, 5), &m->name);
		return r < 0 ? r : read_data(w, args[1], args[2], m);
	}
	case __NR_sendmsg:
		m->flags = worker_int(w, 2);
		return read_msghdr(w, args[1], m);
	case __NR_sendmmsg:
		m->flags = worker_int(w, 3);
		return read_msghdr(w, args[1], m); /* mmsghdr begins with its msghdr */
	default:
		return -ENOSYS;
	}
}

/* Descriptors of ours that a message carries in place of the caller's. */
struct passed {
	int fds[PASSED_MAX];
	unsigned count;
};

static void close_passed(struct passed *p)
{
	for (unsigned i = 0; i < p->count; i++)
		close(p->fds[i]);
}

/*
 * Makes the copied control data ours: descriptors are fetched from the caller's table. Credentials
 * are dropped, since only the sender itself can give them: the receiver then sees the monitor's.
 */
static int translate_control(struct worker *w, struct message *m, struct passed *passed)
{
	size_t kept = 0, space;
	for (size_t at = 0; at + sizeof(struct cmsghdr) <= m->control_len; at += space) {
		struct cmsghdr *c = (void *)(m->control + at);
		if (c->cmsg_len < sizeof(*c) || c->cmsg_len > m->control_len - at)
			return -EINVAL;
		space = CMSG_ALIGN(c->cmsg_len);
		bool credentials = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS;
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			for (size_t i = 0; i < count; i++) {
				int fd;
				memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
				fd = passed->count < PASSED_MAX ? tracee_getfd(w->task, fd)
								: -EINVAL;
				if (fd < 0)
					return fd == -EINVAL ? fd : -EBADF;
				passed->fds[passed->count++] = fd;
				memcpy(CMSG_DATA(c) + i * sizeof(fd), &fd, sizeof(fd));
			}
		}
		if (!credentials) {
			memmove(m->control + kept, c, space);
			kept += space;
		}
	}
	m->control_len = kept;
	return 0;
}

/* @type: of the socket. */
static ssize_t send_here(struct worker *w, int fd, int type, struct message *m)
{
	__attribute__((cleanup(close_passed))) struct passed passed = { .count = 0 };
	if (type != SOCK_STREAM && m->whole_len > m->data_len)
		return -EMSGSIZE; /* a datagram is sent whole or not at all */
	int r = translate_control(w, m, &passed);
	if (r < 0)
		return r;
	struct iovec iov = { .iov_base = m->data, .iov_len = m->data_len };
	struct msghdr h = {
		.msg_name = m->name_len ? &m->name : NULL,
		.msg_namelen = m->name_len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = m->control_len ? m->control : NULL,
		.msg_controllen = m->control_len,
	};
	for (;;) {
		ssize_t n = sendmsg(fd, &h, m->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
		int error = errno;
		int status = fcntl(fd, F_GETFL);
		if (n < 0 && error == EPIPE && !(m->flags & MSG_NOSIGNAL))
			kill((pid_t)w->n.notif.pid,
			     SIGPIPE); /* as the kernel does for the sender */
		if (n >= 0 || error != EAGAIN || (m->flags & MSG_DONTWAIT) || status < 0 ||
		    (status & O_NONBLOCK))
			return n >= 0 ? n : -error;
		r = wait_ready(w, fd, POLLOUT);
		if (r < 0)
			return r;
	}
}

/* Where a datagram goes. AF_UNSPEC is AF_INET to sendto(2) of a UDP socket. false: nowhere named. */
static bool destination(const struct message *m, struct net_address *ret)
{
	union address a = m->name;
	if (a.sa.sa_family == AF_UNSPEC && m->name_len >= sizeof(a.in))
		a.sa.sa_family = AF_INET;
	return m->name_len && net_address_parse(&a.sa, m->name_len, ret) == 0;
}

void carry_send(struct worker *w)
{
	if (w->watch->plan->box->net != NET_HOST) {
		reach_send(w);
		return;
	}
	/* As in the kernel the socket comes before what is read for it. */
	cleanup_fd int fd = tracee_getfd(w->task, worker_int(w, 0));
	cleanup_free char *data = malloc(SEND_MAX);
	struct message m = { .data = data };
	int type = 0;
	socklen_t size = sizeof(type);
	int r = fd < 0 ? -EBADF : data ? 0 : -ENOMEM;
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		r = -errno;
	if (r == 0 && w->n.notif.data.nr == __NR_sendmmsg && worker_int(w, 2) == 0) {
		worker_answer(w, 0); /* no message, whatever the vector */
		return;
	}
	if (r == 0)
		r = read_message(w, &m);
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	struct net_address to;
	const union address shown = m.name;
	socklen_t shown_len = m.name_len;
	if (destination(&m, &to)) {
		reach_describe(w, &to, NULL, OP_SEND);
		w->action.size_bytes = (int64_t)m.data_len;
		r = listener_valid(w->listener, w->n.notif.id);
		if (r == 0)
			r = watch_decide(w);
		if (r < 0) {
			worker_answer(w, r);
			return;
		}
	}
	int64_t sent = pin_unix(w, &m.name, &m.name_len);
	if (sent == 0)
		sent = decide_unix(w, &shown, shown_len, OP_SEND);
	if (sent == 0)
		sent = creds_assume(&w->watch->env, w->task);
	if (sent == 0)
		sent = send_here(w, fd, type, &m);
	creds_resume(&w->watch->env);
	watch_done(w, sent);
	if (sent >= 0 && w->n.notif.data.nr == __NR_sendmmsg) {
		/* msg_len of the first entry stands behind its msghdr */
		uint32_t len = (uint32_t)sent;
		uint64_t at = w->n.notif.data.args[1] + sizeof(struct msghdr);
		sent = tracee_write(w->task->tid, at, &len, sizeof(len)) < 0 ? -EFAULT : 1;
	}
	worker_answer(w, sent);
}
