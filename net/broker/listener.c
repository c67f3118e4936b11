/*
 * Where connections come in: the agent's ends at the listeners of the sandbox, the host's at those published.
 *
 * Theory of operation. An agent's end is given to the relay that has waited longest at its listener, one that has
 * its server before one that has not. An end for which no relay waits was decided by nobody: it is reset.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/broker/relay.h"

enum { PUBLISHED_MAX = 4096 };

void listener_wait(struct listener *l, struct relay *r)
{
	r->listener = l;
	*l->last = r;
	l->last = &r->next_waiting;
}

void listener_leave(struct relay *r)
{
	if (!r->listener)
		return;
	for (struct relay **at = &r->listener->first; *at; at = &(*at)->next_waiting) {
		if (*at != r)
			continue;
		*at = r->next_waiting;
		if (!*at)
			r->listener->last = at;
		break;
	}
	r->listener = NULL;
}

/* The relay that has waited longest, one that has its server before one that has not. NULL none. */
static struct relay *longest_waiting(const struct listener *l)
{
	for (struct relay *c = l->first; c; c = c->next_waiting)
		if (c->dialled)
			return c;
	return l->first;
}

static struct relay *claim(struct broker *b, struct listener *l)
{
	struct relay *r = longest_waiting(l);
	if (!r || !r->dialled) { /* the word about this connection may still lie in the channel */
		broker_hear(b);
		r = longest_waiting(l);
	}
	if (r)
		listener_leave(r);
	return r;
}

/* The next connection that came to the listening socket; negative when there is none. */
static int accept_next(int fd)
{
	int came;
	do
		came = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (came < 0 && (errno == EINTR || errno == ECONNABORTED));
	return came;
}

static void on_listener(struct broker *b, struct source *s, uint32_t events)
{
	struct listener *l = (void *)((char *)s - offsetof(struct listener, source));
	(void)events;
	for (int fd; (fd = accept_next(s->fd)) >= 0;) {
		struct relay *r = claim(b, l);
		if (!r) { /* nobody decided this one */
			relay_reset_socket(fd);
			close(fd);
			continue;
		}
		r->untold = true;
		r->deadline_ms = 0;
		int rc = relay_take_agent(r, fd);
		if (rc < 0)
			relay_end(r, -rc);
		else if (r->ends[SERVER].connected)
			relay_begin(r);
	}
}

void listeners_accept(struct broker *b)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct listener *l = b->relays->listeners[i]; l; l = l->next)
			if (l->source.ready == on_listener)
				on_listener(b, &l->source, EPOLLIN);
}

struct listener *listener_find(struct relays *rs, uint32_t id)
{
	struct listener *l = rs->listeners[id % BUCKETS];
	while (l && l->id != id)
		l = l->next;
	return l;
}

struct listener *listener_new(struct broker *b, uint32_t id, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->source = (struct source){ .ready = on_listener, .fd = fd };
	l->id = id;
	l->last = &l->first;
	relay_set_options(fd); /* which each accepted socket inherits */
	if (source_add(b, &l->source, EPOLLIN | EPOLLET) < 0) {
		free(l);
		return NULL;
	}
	l->next = b->relays->listeners[id % BUCKETS];
	b->relays->listeners[id % BUCKETS] = l;
	return l;
}

void listener_end(struct broker *b, uint32_t id)
{
	struct listener **at = &b->relays->listeners[id % BUCKETS];
	while (*at && (*at)->id != id)
		at = &(*at)->next;
	struct listener *l = *at;
	if (!l)
		return;
	*at = l->next;
	while (l->first)
		relay_end(l->first, ECONNABORTED);
	source_close(&l->source);
	broker_bury(b, &l->corpse);
}

/* A connection from the host: the outer end takes the agent's place, a socket inside the server's. */
static void on_published(struct broker *b, struct source *s, uint32_t events)
{
	struct listener *l = (void *)((char *)s - offsetof(struct listener, source));
	struct relays *rs = b->relays;
	(void)events;
	for (int fd; (fd = accept_next(s->fd)) >= 0;) {
		struct relay *r = rs->published < PUBLISHED_MAX
					  ? relay_new(b, BROKER_ID_PUBLISHED | ++rs->last_published)
					  : NULL;
		rs->published += r != NULL;
		if (!r || relay_take_agent(r, fd) < 0) {
			relay_reset_socket(fd);
			if (!r)
				close(fd);
			else
				relay_end(r, ENOBUFS);
			continue;
		}
		r->address = (struct net_address){ .family = AF_INET,
						   .port = l->inside,
						   .bytes = { 127, 0, 0, 1 } };
		struct broker_message m = { .type = BROKER_NEED_SOCKET,
					    .id = r->id,
					    .address = r->address };
		broker_tell(b, &m, NULL, 0);
	}
}

int listener_publish(struct broker *b, const struct net_address *address, uint16_t inside)
{
	struct sockaddr_storage sa;
	const int on = 1;
	socklen_t len = net_address_sockaddr(address, &sa);
	int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, SOMAXCONN) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	struct listener *l = listener_new(
		b, UINT32_MAX - address->port * 2u - (len == sizeof(struct sockaddr_in)), fd);
	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->source.ready = on_published;
	l->inside = inside;
	return 0;
}
