/*
 * sendto, sendmsg, sendmmsg with memory and lengths a careful caller never gives: one line for each
 * case, what came of it. The suite runs it outside and inside and compares.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

enum { ECHO_PORT = 7007, MANY = 1024 };

static int udp, tcp;
static struct sockaddr_in to;
static char text[] = "message";
static struct iovec iov = { text, sizeof(text) };
static char *hole; /* what is before it can be read, what is after it cannot */

static void say(const char *what, long rc)
{
	printf("%s: %s\n", what, rc < 0 ? strerrorname_np(errno) : "sent");
}

/* A message that was sent has come back from the echo. */
static void came(const char *what, long rc)
{
	char got[sizeof(text)];
	if (rc >= 0 && recv(udp, got, sizeof(got), 0) != (ssize_t)sizeof(text))
		printf("%s: lost\n", what);
	else
		say(what, rc);
}

static struct msghdr plain(void)
{
	return (struct msghdr){
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1
	};
}

static long send_header(const void *h)
{
	return syscall(SYS_sendmsg, udp, h, 0);
}

static void headers(void)
{
	struct msghdr h = plain();
	say("no header", send_header(NULL));
	say("header that cannot be read", send_header(hole));
	say("half a header", send_header(hole - sizeof(h) / 2));
	memcpy(hole - sizeof(h), &h, sizeof(h));
	came("header up to the last byte that can be read", send_header(hole - sizeof(h)));
	h.msg_name = hole;
	say("name that cannot be read", send_header(&h));
	h.msg_name = hole - 8;
	say("half a name", send_header(&h));
	h = plain();
	h.msg_namelen = (socklen_t)-1;
	say("negative length of the name", send_header(&h));
	h.msg_namelen = 4;
	say("short name", send_header(&h));
	h = plain();
	h.msg_iov = (struct iovec *)(void *)hole;
	say("vector that cannot be read", send_header(&h));
	h.msg_iov = &iov;
	h.msg_iovlen = (size_t)1 << 32 | 1;
	say("vector longer than any", send_header(&h));
	struct iovec bad = { hole, 8 };
	h.msg_iov = &bad;
	h.msg_iovlen = 1;
	say("data that cannot be read", send_header(&h));
	h = plain();
	h.msg_control = hole;
	h.msg_controllen = 64;
	say("control messages that cannot be read", send_header(&h));
	struct cmsghdr small = { .cmsg_len = 3, .cmsg_level = SOL_SOCKET, .cmsg_type = 1 };
	h.msg_control = &small;
	h.msg_controllen = sizeof(small);
	say("control message shorter than its head", send_header(&h));
	small = (struct cmsghdr){ .cmsg_len = (size_t)1 << 33,
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = 99 };
	say("control message longer than all of them", send_header(&h));
	struct {
		struct cmsghdr head;
		int hops;
		int : 32;
		struct cmsghdr next;
	} two = { .head = { CMSG_LEN(sizeof(int)), IPPROTO_IP, IP_TTL },
		  .hops = 60,
		  .next = { 64, IPPROTO_IP, IP_TTL } };
	h.msg_control = &two;
	h.msg_controllen = sizeof(two);
	say("the second of two longer than what is left", send_header(&h));
	h.msg_controllen = (size_t)1 << 40;
	say("control messages longer than any", send_header(&h));
	h = plain();
	say("header that cannot be read, of no descriptor", syscall(SYS_sendmsg, 999, hole, 0));
	say("header that cannot be read, of a pipe", syscall(SYS_sendmsg, 0, hole, 0));
	say("header that cannot be read, of a stream", syscall(SYS_sendmsg, tcp, hole, 0));
}

static void addresses(void)
{
	const long high = (long)0xdead000000000000;
	came("high bits of a length",
	     syscall(SYS_sendto, udp, text, sizeof(text), 0, &to, high | (long)sizeof(to)));
	came("high bits of a descriptor",
	     syscall(SYS_sendto, high | udp, text, sizeof(text), 0, &to, sizeof(to)));
	came("high bits of flags",
	     syscall(SYS_sendto, udp, text, sizeof(text), high, &to, sizeof(to)));
	say("negative length", syscall(SYS_sendto, udp, text, sizeof(text), 0, &to, -1));
	say("length beyond all", syscall(SYS_sendto, udp, text, sizeof(text), 0, &to, 4096));
	say("address that cannot be read",
	    syscall(SYS_sendto, udp, text, sizeof(text), 0, hole, sizeof(to)));
	say("text that cannot be read", syscall(SYS_sendto, udp, hole, 8, 0, &to, sizeof(to)));
}

static void vectors(void)
{
	static struct mmsghdr m[MANY + 1];
	const long high = (long)0x100000000;
	m[0].msg_hdr = plain();
	say("vector of none", syscall(SYS_sendmmsg, udp, hole, 0, 0));
	say("vector of messages that cannot be read", syscall(SYS_sendmmsg, udp, hole, 1, 0));
	came("high bits of a count", syscall(SYS_sendmmsg, udp, m, high | 1, 0));
}

/* The first word to the destination has a name longer than any: the kernel takes what a name can be. */
static void long_name(void)
{
	char room[sizeof(struct sockaddr_storage)] = { 0 };
	struct msghdr h = plain();
	memcpy(room, &to, sizeof(to));
	h.msg_name = room;
	h.msg_namelen = 4096;
	came("length of the name beyond all names", send_header(&h));
}

/* The first word to the destination is the last that the kernel takes; the others go to our own loopback. */
static void last_of_many(void)
{
	static struct mmsghdr m[MANY + 1];
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_port = htons(9),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (unsigned i = 0; i < MANY; i++) {
		m[i].msg_hdr = plain();
		m[i].msg_hdr.msg_name = &here;
	}
	m[MANY - 1].msg_hdr = plain();
	long sent = 0, rc = 1;
	while (sent < MANY && rc > 0) {
		rc = syscall(SYS_sendmmsg, udp, m + sent, MANY + 1 - sent, 0);
		if (rc < 0 && errno == ECONNREFUSED) /* of an earlier one: nobody is at that port */
			rc = 1;
		sent += rc > 0 ? rc : 0;
	}
	came("the last of as many as there can be", rc);
}

/* The second message cannot be read: what comes of the first. */
static void partial(void)
{
	struct mmsghdr m = { .msg_hdr = plain() };
	memcpy(hole - sizeof(m), &m, sizeof(m));
	long rc = syscall(SYS_sendmmsg, udp, hole - sizeof(m), 2, 0);
	printf("%s\n", rc == 1 ? "one" : rc < 0 ? strerrorname_np(errno) : "other");
}

int main(int argc, char **argv)
{
	const struct timeval patience = { .tv_sec = 60 };
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *pages =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int pipe_fds[2];
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	tcp = socket(AF_INET, SOCK_STREAM, 0);
	if (pages == MAP_FAILED || munmap(pages + page, page) < 0 || udp < 0 || tcp < 0 ||
	    pipe(pipe_fds) < 0 || dup2(pipe_fds[0], 0) < 0 ||
	    setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
		perror("messages");
		return 1;
	}
	hole = pages + page;
	to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(ECHO_PORT) };
	inet_pton(AF_INET, "203.0.113.10", &to.sin_addr);
	static const struct {
		const char *name;
		void (*run)(void);
	} parts[] = { { "headers", headers }, { "addresses", addresses }, { "vectors", vectors },
		      { "long", long_name },  { "last", last_of_many },   { "partial", partial } };
	for (size_t i = 0; argc > 1 && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcmp(argv[1], parts[i].name) == 0)
			parts[i].run();
	return 0;
}
