/*
 * Datagrams. An approved destination is a socket bound to it inside; each agent socket that sends
 * there is a flow with a connected socket of its own on the host, so answers find back and
 * nobody else's datagrams come in. Idle flows go, then idle destinations.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/broker/private.h"

enum {
	FLOWS_MAX = 256, /* of a destination */
	DESTINATIONS_MAX = 1024,
	IDLE_MS = 120000,
	BATCH = 64, /* datagrams before others have their turn */
	DATAGRAM_MAX = 65536,
};

struct flow {
	struct corpse corpse; /* first */
	struct source source; /* on the host, connected */
	struct flow *next;
	struct destination *destination;
	struct sockaddr_storage agent;
	socklen_t agent_len;
	uint64_t used_ms;
};

struct destination {
	struct corpse corpse; /* first */
	struct source source; /* inside, bound to the address */
	struct destination *next;
	struct flow *flows;
	unsigned count;
	uint64_t id, used_ms, bytes_out, bytes_in;
	struct net_address address;
};

struct flows {
	struct destination *first;
	unsigned count;
	uint8_t datagram[DATAGRAM_MAX];
};

struct flows *flows_new(void)
{
	return calloc(1, sizeof(struct flows));
}

static void on_answer(struct broker *b, struct source *s, uint32_t events)
{
	struct flow *f = (void *)((char *)s - offsetof(struct flow, source));
	struct destination *d = f->destination;
	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t n = recv(s->fd, b->flows->datagram, DATAGRAM_MAX, MSG_DONTWAIT);
		if (n < 0)
			return; /* nothing more, or an error of the network: datagrams get lost */
		f->used_ms = d->used_ms = b->now_ms;
		if (sendto(d->source.fd, b->flows->datagram, (size_t)n, MSG_DONTWAIT,
			   (struct sockaddr *)&f->agent, f->agent_len) == n)
			d->bytes_in += (uint64_t)n;
	}
}

/* A socket on the host that speaks with @to only. -errno. */
static int host_socket(const struct net_address *to)
{
	struct sockaddr_storage sa;
	socklen_t len = net_address_sockaddr(to, &sa);
	int fd = socket(to->family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static void drop_flow(struct broker *b, struct flow **at)
{
	struct flow *f = *at;
	*at = f->next;
	f->destination->count--;
	source_close(&f->source);
	broker_bury(b, &f->corpse);
}

static struct flow *flow_of(struct broker *b, struct destination *d,
			    const struct sockaddr_storage *agent, socklen_t len)
{
	for (struct flow *f = d->flows; f; f = f->next)
		if (f->agent_len == len && memcmp(&f->agent, agent, len) == 0)
			return f;
	if (d->count == FLOWS_MAX) { /* the one that was quiet longest makes room */
		struct flow **oldest = &d->flows;
		for (struct flow **at = &d->flows; *at; at = &(*at)->next)
			if ((*at)->used_ms < (*oldest)->used_ms)
				oldest = at;
		drop_flow(b, oldest);
	}
	struct flow *f = calloc(1, sizeof(*f));
	int fd = f ? host_socket(&d->address) : -ENOMEM;
	if (fd < 0) {
		free(f);
		return NULL;
	}
	f->source = (struct source){ .ready = on_answer, .fd = fd };
	f->destination = d;
	f->agent = *agent;
	f->agent_len = len;
	if (source_add(b, &f->source, EPOLLIN) < 0) {
		close(fd);
		free(f);
		return NULL;
	}
	f->next = d->flows;
	d->flows = f;
	d->count++;
	return f;
}

static void on_datagram(struct broker *b, struct source *s, uint32_t events)
{
	struct destination *d = (void *)((char *)s - offsetof(struct destination, source));
	(void)events;
	for (unsigned i = 0; i < BATCH; i++) {
		struct sockaddr_storage agent = { 0 };
		socklen_t len = sizeof(agent);
		ssize_t n = recvfrom(s->fd, b->flows->datagram, DATAGRAM_MAX, MSG_DONTWAIT,
				     (struct sockaddr *)&agent, &len);
		if (n < 0)
			return;
		struct flow *f = flow_of(b, d, &agent, len);
		if (!f)
			continue;
		f->used_ms = d->used_ms = b->now_ms;
		if (send(f->source.fd, b->flows->datagram, (size_t)n, MSG_DONTWAIT) == n)
			d->bytes_out += (uint64_t)n;
	}
}

static void drop_destination(struct broker *b, struct destination **at, int error)
{
	struct destination *d = *at;
	struct broker_message m = { .type = BROKER_CLOSED,
				    .id = d->id,
				    .error = error,
				    .bytes_out = d->bytes_out,
				    .bytes_in = d->bytes_in };
	*at = d->next;
	b->flows->count--;
	while (d->flows)
		drop_flow(b, &d->flows);
	source_close(&d->source);
	broker_tell(b, &m, NULL, 0);
	broker_bury(b, &d->corpse);
}

void flows_open(struct broker *b, struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_FAILED, .id = p->m.id, .error = ENOBUFS };
	struct destination *d = NULL;
	/* Tried once, so that "no route" is told to the call that asked. */
	int fd = host_socket(&p->m.address);
	if (fd < 0) {
		m.error = -fd;
	} else {
		close(fd);
		if (p->fd_count == 1 && b->flows->count < DESTINATIONS_MAX)
			d = calloc(1, sizeof(*d));
	}
	if (d) {
		d->source = (struct source){ .ready = on_datagram, .fd = p->fds[0] };
		d->id = p->m.id;
		d->address = p->m.address;
		d->used_ms = b->now_ms;
		if (source_add(b, &d->source, EPOLLIN) < 0) {
			free(d);
		} else {
			p->fd_count = 0;
			d->next = b->flows->first;
			b->flows->first = d;
			b->flows->count++;
			m.type = BROKER_DIALLED;
			m.error = 0;
		}
	}
	broker_tell(b, &m, NULL, 0);
}

void flows_close(struct broker *b, uint64_t id)
{
	for (struct destination **at = &b->flows->first; *at; at = &(*at)->next) {
		if ((*at)->id != id)
			continue;
		drop_destination(b, at, 0);
		return;
	}
}

void flows_finish(struct broker *b)
{
	while (b->flows->first)
		drop_destination(b, &b->flows->first, 0);
}

void flows_tick(struct broker *b)
{
	for (struct destination **at = &b->flows->first; *at;) {
		struct destination *d = *at;
		for (struct flow **f = &d->flows; *f;)
			if (b->now_ms - (*f)->used_ms >= IDLE_MS)
				drop_flow(b, f);
			else
				f = &(*f)->next;
		if (!d->flows && b->now_ms - d->used_ms >= IDLE_MS)
			drop_destination(b, at, 0);
		else
			at = &d->next;
	}
}
