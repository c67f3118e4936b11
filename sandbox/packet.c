#include "sandbox/packet.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HEAD = offsetof(struct packet, text) };

int packet_send(int fd, enum packet_type type, int value, uint32_t ticket, const char *text,
		enum packet_flags flags)
{
	static const char nul = '\0';
	struct {
		int32_t type, value;
		uint32_t ticket;
	} head = { (int32_t)type, value, ticket };
	static_assert(sizeof(head) == HEAD, "a packet begins with its head");
	size_t len = text ? strnlen(text, PACKET_TEXT - 1) : 0;
	union {
		const void *in;
		void *out;
	} parts[] = { { .in = text }, { .in = &nul } }; /* sendmsg only reads them */
	struct iovec iov[] = { { &head, sizeof(head) },
			       { parts[0].out, len },
			       { parts[1].out, 1 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	int how = MSG_NOSIGNAL | (flags & PACKET_NOWAIT ? MSG_DONTWAIT : 0);
	ssize_t n;
	do
		n = sendmsg(fd, &msg, how);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int packet_receive(int fd, struct packet *ret)
{
	ssize_t n;
	do
		n = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (n <= HEAD)
		return -EPROTO;
	((char *)ret)[n - 1] = '\0';
	return 1;
}
