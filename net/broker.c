#include "net/broker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *const type_names[BROKER_TYPE_COUNT] = {
	[BROKER_SETUP] = "setup",         [BROKER_PUBLISH] = "publish",
	[BROKER_OPEN] = "open",           [BROKER_UNLISTEN] = "unlisten",
	[BROKER_CANCEL] = "cancel",       [BROKER_VERDICT] = "verdict",
	[BROKER_PERMITTED] = "permitted", [BROKER_SOCKET] = "socket",
	[BROKER_FINISH] = "finish",       [BROKER_CUT] = "cut",
	[BROKER_READY] = "ready",         [BROKER_UNABLE] = "unable",
	[BROKER_DIALLED] = "dialled",     [BROKER_FAILED] = "failed",
	[BROKER_ACCEPTED] = "accepted",   [BROKER_CLASSIFIED] = "classified",
	[BROKER_STATEMENT] = "statement", [BROKER_BYTES] = "bytes",
	[BROKER_CLOSED] = "closed",       [BROKER_RESOLVE] = "resolve",
	[BROKER_ADDRESSES] = "addresses", [BROKER_NEED_SOCKET] = "need_socket",
	[BROKER_REPEATED] = "repeated",   [BROKER_LEND] = "lend",
	[BROKER_LENT] = "lent",
};

const char *broker_type_name(uint32_t type)
{
	return type > 0 && type < BROKER_TYPE_COUNT ? type_names[type] : "invalid";
}

static bool valid_address(const struct net_address *a)
{
	return a->family == 0 || a->family == AF_INET || a->family == AF_INET6;
}

bool broker_valid(const struct broker_message *m, size_t packet_len)
{
	if (m->type == 0 || m->type >= BROKER_TYPE_COUNT || m->error < 0 || m->error > 4095 ||
	    m->text_len > BROKER_TEXT_MAX || m->address_count > BROKER_ADDRESSES_MAX ||
	    packet_len != sizeof(*m) + m->text_len || !valid_address(&m->address) ||
	    m->action_type >= ACTION_TYPE_COUNT)
		return false;
	for (unsigned i = 0; i < m->address_count; i++)
		if (m->addresses[i].family == 0 || !valid_address(&m->addresses[i]))
			return false;
	return true;
}

int broker_send(int fd, struct broker_message *m, const char *text, size_t text_len, const int *fds,
		unsigned fd_count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * BROKER_FDS_MAX)];
	} control;
	static const char nul = '\0';
	if (text && text_len >= BROKER_TEXT_MAX)
		return -EMSGSIZE;
	m->text_len = text ? (uint32_t)text_len + 1 : 0;
	union {
		const char *in;
		void *out;
	} body = { .in = text }, end = { .in = &nul };
	struct iovec iov[] = { { .iov_base = m, .iov_len = sizeof(*m) },
			       { .iov_base = body.out, .iov_len = text ? text_len : 0 },
			       { .iov_base = end.out, .iov_len = text ? 1 : 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	if (fd_count) {
		memset(&control, 0, sizeof(control));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * fd_count);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

void broker_packet_finish(struct broker_packet *p)
{
	for (unsigned i = 0; i < p->fd_count; i++)
		if (p->fds[i] >= 0)
			close(p->fds[i]);
	p->fd_count = 0;
}

static void take_fds(struct broker_packet *p, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (p->fd_count < BROKER_FDS_MAX)
				p->fds[p->fd_count++] = fd;
			else
				close(fd);
		}
	}
}

int broker_receive(int fd, int flags, struct broker_packet *ret)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * BROKER_FDS_MAX)];
	} control;
	struct iovec iov[] = { { .iov_base = &ret->m, .iov_len = sizeof(ret->m) },
			       { .iov_base = ret->text, .iov_len = sizeof(ret->text) } };
	struct msghdr msg = { .msg_iov = iov,
			      .msg_iovlen = 2,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ret->fd_count = 0;
	ssize_t n;
	unsigned resets = 0;
	do
		n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	/* ECONNRESET is told once, before the last words: the other end had not read all of ours */
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !resets++)));
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	take_fds(ret, &msg);
	if (n == 0)
		return 0;
	bool good = (size_t)n >= sizeof(ret->m) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
		    broker_valid(&ret->m, (size_t)n) &&
		    (ret->m.text_len == 0 || ret->text[ret->m.text_len - 1] == '\0');
	if (!good) {
		broker_packet_finish(ret);
		return -EPROTO;
	}
	if (ret->m.text_len == 0)
		ret->text[0] = '\0';
	return 1;
}
