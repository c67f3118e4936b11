/*
 * The resolver that the sandbox sees, on port 53 of every address there, so that no program
 * has to be told of it. A question is put to the monitor; what it permits is asked
 * of the host's resolvers by c-ares; addresses that come back are put to the monitor again, which
 * remembers them and says which may be answered.
 */
#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/broker/private.h"
#include "net/dns.h"

enum {
	LOOKUPS_MAX = 512,
	CLIENTS_MAX = 64, /* over TCP */
	CLIENT_IDLE_MS = 10000,
	BATCH = 32,
	TRY_MS = 2000,
	TRIES = 3,
	SVCB = 64,
	HTTPS = 65,
};

/* A connection over TCP; freed when neither descriptor nor lookup is left. */
struct client {
	struct corpse corpse; /* first */
	struct source source;
	struct client *next;
	unsigned lookups;
	uint64_t used_ms;
	size_t len;
	uint8_t bytes[2 + DNS_QUERY_MAX];
};

/* Where a datagram came from and which address of ours it was sent to. */
struct asker {
	int fd; /* borrowed: one of the resolver's sockets */
	struct sockaddr_storage from;
	socklen_t from_len;
	union {
		struct in_pktinfo v4;
		struct in6_pktinfo v6;
	} to;
};

struct lookup {
	struct lookup *next;
	struct resolver *resolver;
	uint64_t ask;
	struct client *client; /* NULL: @asker */
	struct asker asker;
	struct dns_query query;
	struct dns_answer answer;
};

/* A socket of c-ares; closed by c-ares. */
struct upstream {
	struct corpse corpse; /* first */
	struct source source;
	struct upstream *next;
};

struct resolver {
	struct broker *broker;
	struct source dns[BROKER_DNS_COUNT];
	ares_channel channel;
	struct lookup *lookups;
	unsigned lookup_count;
	struct client *clients;
	unsigned client_count;
	struct upstream *upstreams;
	uint64_t last_ask;
};

static void send_datagram(const struct asker *a, uint8_t *bytes, size_t len)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
	bool v4 = a->from.ss_family == AF_INET;
	size_t info_len = v4 ? sizeof(a->to.v4) : sizeof(a->to.v6);
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct sockaddr_storage to = a->from;
	struct msghdr msg = { .msg_name = &to,
			      .msg_namelen = a->from_len,
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(info_len) };
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	control.header.cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
	control.header.cmsg_len = CMSG_LEN(info_len);
	memcpy(CMSG_DATA(&control.header), &a->to, info_len);
	/* As any resolver: an answer that cannot be sent is lost, and asked for again. */
	(void)!sendmsg(a->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void drop_client(struct broker *b, struct client *c)
{
	source_close(&c->source);
	if (c->lookups)
		return;
	struct resolver *r = b->resolver;
	struct client **at = &r->clients;
	while (*at && *at != c)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = c->next;
	r->client_count--;
	broker_bury(b, &c->corpse);
}

/* Answers and forgets. @bytes has two bytes of room before it. */
static void answer(struct lookup *l, uint8_t *bytes, size_t len)
{
	struct resolver *r = l->resolver;
	struct lookup **at = &r->lookups;
	if (l->client) {
		struct client *c = l->client;
		uint8_t *framed = bytes - 2;
		framed[0] = (uint8_t)(len >> 8);
		framed[1] = (uint8_t)len;
		c->lookups--;
		bool sent = c->source.fd >= 0 &&
			    send(c->source.fd, framed, len + 2, MSG_DONTWAIT | MSG_NOSIGNAL) ==
				    (ssize_t)(len + 2);
		if (!sent)
			drop_client(r->broker, c);
	} else {
		send_datagram(&l->asker, bytes, len);
	}
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	r->lookup_count--;
	free(l);
}

enum { FRAME = 2 };

/* The room of an answer: what the transport takes. */
static size_t room_of(const struct lookup *l)
{
	return l->client ? DNS_MESSAGE_MAX : l->query.udp_size;
}

static void answer_error(struct lookup *l, unsigned rcode, int ede, const char *text)
{
	uint8_t bytes[FRAME + 2048];
	size_t room = room_of(l) < 2048 ? room_of(l) : 2048;
	size_t len = dns_error(&l->query, rcode, ede, text, bytes + FRAME, room);
	answer(l, bytes + FRAME, len);
}

static void answer_addresses(struct lookup *l)
{
	uint8_t bytes[FRAME + 8192];
	size_t room = room_of(l) < 8192 ? room_of(l) : 8192;
	size_t len = dns_write_addresses(&l->query, &l->answer, bytes + FRAME, room);
	answer(l, bytes + FRAME, len);
}

/* The host's resolvers have answered. */
static void on_upstream_answer(void *arg, int status, int timeouts, unsigned char *raw, int raw_len)
{
	static uint8_t bytes[FRAME + DNS_MESSAGE_MAX]; /* large for a stack */
	struct lookup *l = arg;
	(void)timeouts;
	if (status == ARES_EDESTRUCTION)
		return;
	bool whole = raw && raw_len > 0 &&
		     dns_parse_answer(raw, (size_t)raw_len, &l->query, &l->answer) == 0;
	if (!whole) {
		answer_error(l, DNS_SERVFAIL, DNS_EDE_NETWORK,
			     "the host's resolvers do not answer");
		return;
	}
	if (!l->answer.address_count) {
		size_t len = dns_write_raw(&l->query, &l->answer, raw, (size_t)raw_len,
					   bytes + FRAME, room_of(l));
		answer(l, bytes + FRAME, len);
		return;
	}
	struct broker_message m = { .type = BROKER_ADDRESSES,
				    .ask = l->ask,
				    .ttl_s = l->answer.ttl_s,
				    .address_count = l->answer.address_count };
	memcpy(m.addresses, l->answer.addresses, l->answer.address_count * sizeof(m.addresses[0]));
	broker_tell(l->resolver->broker, &m, l->query.name, strlen(l->query.name));
}

static struct lookup *find(struct resolver *r, uint64_t ask)
{
	struct lookup *l = r ? r->lookups : NULL;
	while (l && l->ask != ask)
		l = l->next;
	return l;
}

void resolver_verdict(struct broker *b, const struct broker_packet *p)
{
	struct lookup *l = find(b->resolver, p->m.ask);
	if (!l)
		return;
	if (p->m.error) {
		answer_error(l, DNS_NXDOMAIN, DNS_EDE_PROHIBITED, p->text);
		return;
	}
	if (p->m.op) { /* the monitor knows it all */
		l->answer = (struct dns_answer){ .ttl_s = p->m.ttl_s };
		l->answer.address_count = p->m.address_count;
		memcpy(l->answer.addresses, p->m.addresses,
		       p->m.address_count * sizeof(p->m.addresses[0]));
		if (l->query.type == DNS_PTR && p->text[0]) {
			uint8_t bytes[FRAME + 2048];
			size_t room = room_of(l) < 2048 ? room_of(l) : 2048;
			size_t len = dns_write_ptr(&l->query, p->text, bytes + FRAME, room);
			answer(l, bytes + FRAME, len);
		} else if (l->query.type == DNS_PTR) {
			answer_error(l, DNS_NXDOMAIN, DNS_EDE_NONE, NULL);
		} else {
			answer_addresses(l);
		}
		return;
	}
	/* Their hints are addresses that no name was remembered for: programs do without. */
	if (l->query.type == SVCB || l->query.type == HTTPS) {
		answer_error(l, DNS_NOERROR, DNS_EDE_NONE, NULL);
		return;
	}
	ares_query(b->resolver->channel, l->query.name, 1, l->query.type, on_upstream_answer, l);
}

void resolver_permitted(struct broker *b, const struct broker_packet *p)
{
	struct lookup *l = find(b->resolver, p->m.ask);
	if (!l || !l->answer.address_count)
		return;
	l->answer.address_count = p->m.address_count;
	memcpy(l->answer.addresses, p->m.addresses, p->m.address_count * sizeof(p->m.addresses[0]));
	if (p->m.address_count)
		answer_addresses(l);
	else
		answer_error(l, DNS_NXDOMAIN, DNS_EDE_PROHIBITED, p->text);
}

/* One question. @client NULL: @asker. */
static void ask(struct broker *b, const uint8_t *bytes, size_t len, struct client *client,
		const struct asker *asker)
{
	struct resolver *r = b->resolver;
	struct dns_query query;
	int rcode = dns_parse_query(bytes, len, &query);
	if (rcode < 0 || r->lookup_count == LOOKUPS_MAX)
		return;
	struct lookup *l = calloc(1, sizeof(*l));
	if (!l)
		return;
	l->resolver = r;
	l->query = query;
	l->client = client;
	if (client)
		client->lookups++;
	else
		l->asker = *asker;
	l->ask = ++r->last_ask;
	l->next = r->lookups;
	r->lookups = l;
	r->lookup_count++;
	if (rcode > 0) {
		answer_error(l, (unsigned)rcode, DNS_EDE_NONE, NULL);
		return;
	}
	struct broker_message m = { .type = BROKER_RESOLVE, .ask = l->ask, .op = query.type };
	broker_tell(b, &m, query.name, strlen(query.name));
}

static bool pktinfo(struct msghdr *msg, struct asker *a)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&a->to.v4, CMSG_DATA(c), sizeof(a->to.v4));
			a->to.v4.ipi_spec_dst = a->to.v4.ipi_addr; /* answer from there */
			a->to.v4.ipi_ifindex = 0;
			return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&a->to.v6, CMSG_DATA(c), sizeof(a->to.v6));
			return true;
		}
	}
	return false;
}

static void on_datagram(struct broker *b, struct source *s, uint32_t events)
{
	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		uint8_t bytes[DNS_QUERY_MAX + 1];
		char control[256];
		struct asker a = { .fd = s->fd };
		struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
		struct msghdr msg = { .msg_name = &a.from,
				      .msg_namelen = sizeof(a.from),
				      .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
		if (n < 0)
			return;
		a.from_len = msg.msg_namelen;
		if (pktinfo(&msg, &a))
			ask(b, bytes, (size_t)n, NULL, &a);
	}
}

static void on_client(struct broker *b, struct source *s, uint32_t events)
{
	struct client *c = (void *)((char *)s - offsetof(struct client, source));
	(void)events;
	ssize_t n = recv(s->fd, c->bytes + c->len, sizeof(c->bytes) - c->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop_client(b, c);
		return;
	}
	c->used_ms = b->now_ms;
	c->len += (size_t)n;
	while (c->len >= FRAME && c->source.fd >= 0) {
		size_t want = (size_t)c->bytes[0] << 8 | c->bytes[1];
		if (want > DNS_QUERY_MAX) {
			drop_client(b, c);
			return;
		}
		if (c->len < FRAME + want)
			return;
		ask(b, c->bytes + FRAME, want, c, NULL);
		c->len -= FRAME + want;
		memmove(c->bytes, c->bytes + FRAME + want, c->len);
	}
}

static void on_accept(struct broker *b, struct source *s, uint32_t events)
{
	struct resolver *r = b->resolver;
	(void)events;
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *c = fd < 0 || r->client_count == CLIENTS_MAX ? NULL : calloc(1, sizeof(*c));
	if (!c) {
		if (fd >= 0)
			close(fd);
		return;
	}
	c->source = (struct source){ .ready = on_client, .fd = fd };
	c->used_ms = b->now_ms;
	if (source_add(b, &c->source, EPOLLIN) < 0) {
		close(fd);
		free(c);
		return;
	}
	c->next = r->clients;
	r->clients = c;
	r->client_count++;
}

static void on_upstream(struct broker *b, struct source *s, uint32_t events)
{
	ares_process_fd(b->resolver->channel,
			events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? s->fd : ARES_SOCKET_BAD,
			events & EPOLLOUT ? s->fd : ARES_SOCKET_BAD);
}

/* c-ares tells what it waits for on a socket of its own. */
static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolver *r = data;
	struct upstream **at = &r->upstreams;
	uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
	while (*at && (*at)->source.fd != fd)
		at = &(*at)->next;
	struct upstream *u = *at;
	if (u && events) {
		source_change(r->broker, &u->source, events);
	} else if (u) {
		*at = u->next;
		source_forget(r->broker, &u->source);
		u->source.fd = -1; /* c-ares closes it */
		broker_bury(r->broker, &u->corpse);
	} else if (events) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return; /* the try ends by its time */
		u->source = (struct source){ .ready = on_upstream, .fd = fd };
		u->next = r->upstreams;
		r->upstreams = u;
		if (source_add(r->broker, &u->source, events) < 0)
			r->broker->over = true;
	}
}

static int set_servers(struct resolver *r, const struct broker_message *m)
{
	char list[BROKER_ADDRESSES_MAX * (NET_ADDRESS_TEXT + 1)] = "";
	for (unsigned i = 0; i < m->address_count; i++) {
		char text[NET_ADDRESS_TEXT];
		strcat(list, i ? "," : "");
		strcat(list, net_address_text(&m->addresses[i], text));
	}
	return ares_set_servers_ports_csv(r->channel, list) == ARES_SUCCESS ? 0 : -EINVAL;
}

int resolver_prepare(struct broker *b)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct ares_options options = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
						 ARES_FLAG_EDNS | ARES_FLAG_NOCHECKRESP,
					.timeout = TRY_MS,
					.tries = TRIES,
					.ednspsz = DNS_UDP_MAX,
					.sock_state_cb = on_socket_state,
					.sock_state_cb_data = r };
	static char dns_only[] = "b";
	options.lookups = dns_only;
	if (!r)
		return -ENOMEM;
	r->broker = b;
	b->resolver = r;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&r->channel, &options,
			      ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
				      ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB |
				      ARES_OPT_LOOKUPS) != ARES_SUCCESS)
		return -ENOMEM;
	return 0;
}

int resolver_start(struct broker *b, struct broker_packet *p)
{
	struct resolver *r = b->resolver;
	if ((p->fd_count != BROKER_DNS_COUNT && p->fd_count != BROKER_DNS_UDP6) ||
	    !p->m.address_count)
		return -EINVAL;
	for (unsigned i = 0; i < p->fd_count; i++) {
		bool tcp = i == BROKER_DNS_TCP4 || i == BROKER_DNS_TCP6;
		r->dns[i] =
			(struct source){ .ready = tcp ? on_accept : on_datagram, .fd = p->fds[i] };
		int rc = source_add(b, &r->dns[i], EPOLLIN);
		if (rc < 0)
			return rc;
	}
	p->fd_count = 0;
	return set_servers(r, &p->m);
}

int resolver_timeout(struct broker *b, int most)
{
	struct timeval max = { .tv_sec = most / 1000, .tv_usec = most % 1000 * 1000 }, left;
	if (!b->resolver || !b->resolver->lookups)
		return most;
	const struct timeval *t = ares_timeout(b->resolver->channel, &max, &left);
	return (int)(t->tv_sec * 1000 + t->tv_usec / 1000) + 1;
}

void resolver_tick(struct broker *b)
{
	struct resolver *r = b->resolver;
	if (!r)
		return;
	if (r->lookups)
		ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	for (struct client *c = r->clients, *next; c; c = next) {
		next = c->next;
		if (!c->lookups && (c->source.fd < 0 || b->now_ms - c->used_ms >= CLIENT_IDLE_MS))
			drop_client(b, c);
	}
}
