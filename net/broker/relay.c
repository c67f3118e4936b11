/*
 * Connections, from the monitor's OPEN to their end.
 *
 * Theory of operation. A relay begins by dialling, unless the monitor has dialled; the monitor lets the agent's
 * connect(2) go on when it is told DIALLED, or earlier when that takes long. The agent's end comes in at a
 * listener (listener.c). When both ends are connected bytes move; the first error on either is a reset on both.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/broker/relay.h"

enum { CLAIM_MS = 10000 }; /* from the monitor's word to the agent's connection */

static const uint32_t both_ways = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;

struct relays *relays_new(void)
{
	struct relays *rs = calloc(1, sizeof(*rs));
	if (rs)
		rs->run_end = &rs->run;
	return rs;
}

static struct relay *find(struct relays *rs, uint64_t id)
{
	struct relay *r = rs->by_id[id % BUCKETS];
	while (r && r->id != id)
		r = r->next_same;
	return r;
}

static void relay_queue(struct relay *r)
{
	struct relays *rs = r->broker->relays;
	if (r->queued || r->over)
		return;
	r->queued = true;
	r->next_run = NULL;
	*rs->run_end = r;
	rs->run_end = &r->next_run;
}

struct relay *relay_new(struct broker *b, uint64_t id)
{
	struct relays *rs = b->relays;
	struct relay *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->id = id;
	r->broker = b;
	for (unsigned i = 0; i < 2; i++) {
		r->ends[i].relay = r;
		r->ends[i].source.fd = -1;
		r->ways[i].pipe[0] = r->ways[i].pipe[1] = -1;
	}
	r->next_same = rs->by_id[id % BUCKETS];
	rs->by_id[id % BUCKETS] = r;
	return r;
}

void relay_reset_socket(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	(void)connect(fd, &nobody, sizeof(nobody));
}

static void close_ends(struct relay *r)
{
	for (unsigned i = 0; i < 2; i++)
		source_close(&r->ends[i].source);
}

void relay_end(struct relay *r, int error)
{
	struct broker *b = r->broker;
	struct relays *rs = b->relays;
	if (r->over)
		return;
	r->over = true;
	listener_leave(r);
	for (unsigned i = 0; error && i < 2; i++)
		if (r->ends[i].source.fd >= 0)
			relay_reset_socket(r->ends[i].source.fd);
	close_ends(r);
	struct relay **at = &rs->by_id[r->id % BUCKETS];
	while (*at != r)
		at = &(*at)->next_same;
	*at = r->next_same;
	if (r->id & BROKER_ID_PUBLISHED)
		rs->published--;
	struct broker_message m = { .type = r->dialled ? BROKER_CLOSED : BROKER_FAILED,
				    .id = r->id,
				    .error = error,
				    .bytes_out = r->ways[TO_SERVER].bytes,
				    .bytes_in = r->ways[TO_CLIENT].bytes };
	stream_finish(r, &rs->pool);
	free(r->name);
	r->name = NULL;
	if (r->dialled && !rs->finishing)
		broker_tell_later(b, &m);
	else
		broker_tell(b, &m, NULL, 0);
	if (!r->queued) /* else relays_run does */
		broker_bury(b, &r->corpse);
}

/*
 * The first error on either end is a reset on both; but what was said before it has arrived, as in a kernel that
 * keeps what it received.
 */
static void break_off(struct relay *r, int error)
{
	if (r->ends[AGENT].connected && r->ends[SERVER].connected)
		stream_last_words(r, &r->broker->relays->pool);
	relay_end(r, error);
}

static void move_on(struct relay *r)
{
	if (r->over || r->inspected || !r->ends[AGENT].connected || !r->ends[SERVER].connected)
		return;
	int state = stream_pump(r, &r->broker->relays->pool);
	if (state < 0)
		break_off(r, -state);
	else if (state == STREAM_DONE || (r->broker->relays->finishing && r->ends[SERVER].shut))
		relay_end(r, 0);
	else if (state == STREAM_MORE)
		relay_queue(r);
}

bool relays_run(struct broker *b)
{
	struct relays *rs = b->relays;
	struct relay *list = rs->run;
	rs->run = NULL;
	rs->run_end = &rs->run;
	while (list) {
		struct relay *r = list;
		list = r->next_run;
		r->queued = false;
		if (r->over)
			broker_bury(b, &r->corpse);
		else
			move_on(r);
	}
	return rs->run != NULL;
}

/*
 * The inspector gets the ends. They are held here as well, so that they can be ended whatever becomes of it: it can
 * only read, write and close.
 */
static void hand_over(struct relay *r)
{
	struct broker_message m = {
		.type = BROKER_OPEN, .id = r->id, .inspect = r->inspect, .address = r->address
	};
	int rc = inspector_open(r->broker, &m, r->name ? r->name : "", r->ends[AGENT].source.fd,
				r->ends[SERVER].source.fd);
	if (rc < 0) {
		relay_end(r, -rc);
		return;
	}
	r->inspected = true;
	for (unsigned i = 0; i < 2; i++)
		source_forget(r->broker, &r->ends[i].source);
}

bool relays_inspected(struct broker *b, struct broker_packet *p)
{
	struct relay *r = find(b->relays, p->m.id);
	if (!r || !r->inspected)
		return r != NULL || p->m.type == BROKER_STATEMENT || p->m.type == BROKER_REPEATED ||
		       p->m.type == BROKER_CLOSED;
	if (p->m.type == BROKER_CLOSED) {
		r->ways[TO_SERVER].bytes = p->m.bytes_out;
		r->ways[TO_CLIENT].bytes = p->m.bytes_in;
		if (p->m.text_len) /* its last words say why: they must arrive */
			close_ends(r);
		relay_end(r, p->m.error);
	} else if (p->m.type == BROKER_STATEMENT || p->m.type == BROKER_REPEATED ||
		   p->m.type == BROKER_CLASSIFIED) {
		broker_tell(b, &p->m, p->m.text_len ? p->text : NULL,
			    p->m.text_len ? p->m.text_len - 1 : 0);
	} else {
		return false;
	}
	return true;
}

void relays_uninspected(struct broker *b)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct relay *next;
		for (struct relay *r = b->relays->by_id[i]; r; r = next) {
			next = r->next_same;
			if (r->inspected)
				relay_end(r, ECONNABORTED);
		}
	}
}

void relay_begin(struct relay *r)
{
	r->deadline_ms = 0;
	if (r->inspect & (BROKER_INSPECT_DATABASE | BROKER_INSPECT_API)) {
		hand_over(r);
		return;
	}
	move_on(r);
}

static void on_end(struct broker *b, struct source *s, uint32_t events)
{
	struct stream_end *e = (struct stream_end *)s;
	struct relay *r = e->relay;
	(void)b;
	if (r->inspected) /* told in the batch in which it was handed over */
		return;
	int rc = stream_event(e, events);
	if (rc < 0) {
		break_off(r, -rc);
		return;
	}
	move_on(r);
}

void relay_set_options(int fd)
{
	const int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void server_connected(struct relay *r)
{
	struct stream_end *e = &r->ends[SERVER];
	e->connected = true;
	e->source.ready = on_end;
	e->readable = e->writable = true;
	relay_set_options(e->source.fd);
	r->dialled = true;
	if (!(r->id & BROKER_ID_PUBLISHED))
		r->deadline_ms = r->broker->now_ms + CLAIM_MS;
	if (r->ends[AGENT].connected)
		relay_begin(r);
}

/* The monitor has to know: a caller may be held until then. */
static void dialled(struct relay *r)
{
	struct broker_message m = { .type = BROKER_DIALLED, .id = r->id };
	if (!(r->id & BROKER_ID_PUBLISHED))
		broker_tell(r->broker, &m, NULL, 0);
	server_connected(r);
}

static void on_dialled(struct broker *b, struct source *s, uint32_t events)
{
	struct stream_end *e = (struct stream_end *)s;
	int error = 0;
	socklen_t len = sizeof(error);
	(void)b;
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error)
		relay_end(e->relay, error);
	else
		dialled(e->relay);
}

/* The server's end is connected, or on its way. */
static void watch_server(struct relay *r)
{
	struct stream_end *e = &r->ends[SERVER];
	e->source.ready = on_dialled;
	int rc = source_add(r->broker, &e->source, both_ways);
	if (rc < 0)
		relay_end(r, -rc);
}

/* Connects the server's end, whose socket is there. */
static void dial(struct relay *r, const struct net_address *to)
{
	struct sockaddr_storage sa;
	socklen_t len = net_address_sockaddr(to, &sa);
	if (connect(r->ends[SERVER].source.fd, (struct sockaddr *)&sa, len) < 0 &&
	    errno != EINPROGRESS)
		relay_end(r, errno);
	else
		watch_server(r);
}

int relay_take_agent(struct relay *r, int fd)
{
	struct stream_end *e = &r->ends[AGENT];
	e->source = (struct source){ .ready = on_end, .fd = fd };
	e->connected = e->readable = e->writable = true;
	return source_add(r->broker, &e->source, both_ways);
}

static void fail(struct broker *b, uint64_t id, int error)
{
	struct broker_message m = { .type = BROKER_FAILED, .id = id, .error = error };
	broker_tell(b, &m, NULL, 0);
}

/* The socket of the server's end: the last that came, or one of ours. The caller owns it. -errno. */
static int server_end(struct broker_packet *p)
{
	if (p->m.op != BROKER_SERVER_NONE)
		return p->fd_count ? p->fds[--p->fd_count] : -EPROTO;
	int fd = socket(p->m.address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

void relays_open(struct broker *b, struct broker_packet *p)
{
	struct listener *l = listener_find(b->relays, p->m.listener);
	int fd = server_end(p);
	if (!l && p->fd_count == 1) {
		l = listener_new(b, p->m.listener, p->fds[0]);
		if (l)
			p->fd_count = 0; /* ours now */
	}
	struct relay *r = !l || fd < 0 || find(b->relays, p->m.id) ? NULL : relay_new(b, p->m.id);
	if (!r) {
		if (fd >= 0)
			close(fd);
		fail(b, p->m.id, fd < 0 ? -fd : ENOBUFS);
		return;
	}
	r->ends[SERVER].source.fd = fd;
	r->address = p->m.address;
	r->inspect = p->m.inspect;
	r->name = strdup(p->text);
	listener_wait(l, r);
	if (p->m.op == BROKER_SERVER_NONE)
		dial(r, &r->address);
	else
		watch_server(r);
	if (p->m.op == BROKER_SERVER_CONNECTED && !r->over)
		server_connected(r);
}

void relays_cancel(struct broker *b, uint64_t id)
{
	struct relay *r = find(b->relays, id);
	if (r && !r->ends[AGENT].connected)
		relay_end(r, ECANCELED);
}

void relays_cut(struct broker *b, uint64_t id)
{
	struct relay *r = find(b->relays, id);
	if (!r)
		return;
	if (r->inspected)
		inspector_cut(b, id);
	relay_end(r, ECONNRESET);
}

void relays_verdict(struct broker *b, const struct broker_packet *p)
{
	struct relay *r = find(b->relays, p->m.id);
	if (r && r->inspected)
		inspector_verdict(b, p);
}

void relays_finish(struct broker *b)
{
	b->relays->finishing = true;
	listeners_accept(b);
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct relay *next;
		for (struct relay *r = b->relays->by_id[i]; r; r = next) {
			next = r->next_same;
			if (r->ends[AGENT].connected && r->ends[SERVER].connected)
				relay_queue(r);
			else
				relay_end(r, ECANCELED);
		}
	}
}

/* Nobody waits for the word: it goes out with the others, so that it wakes the monitor once a second. */
static void tell_accepted(struct relay *r)
{
	struct broker_message m = { .type = BROKER_ACCEPTED, .id = r->id };
	if (!r->untold)
		return;
	r->untold = false;
	broker_tell_later(r->broker, &m);
}

static void tell_bytes(struct relay *r)
{
	uint64_t out = r->ways[TO_SERVER].bytes, in = r->ways[TO_CLIENT].bytes;
	struct broker_message m = {
		.type = BROKER_BYTES, .id = r->id, .bytes_out = out, .bytes_in = in
	};
	if (out + in == r->told_bytes || r->id & BROKER_ID_PUBLISHED)
		return;
	r->told_bytes = out + in;
	broker_tell(r->broker, &m, NULL, 0);
}

void relays_tick(struct broker *b)
{
	bool tell = b->now_ms - b->relays->told_ms >= BROKER_BYTES_MS;
	if (tell)
		b->relays->told_ms = b->now_ms;
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct relay *next;
		for (struct relay *r = b->relays->by_id[i]; r; r = next) {
			next = r->next_same;
			tell_accepted(r);
			if (r->deadline_ms && b->now_ms >= r->deadline_ms)
				relay_end(r, ECANCELED);
			else if (tell)
				tell_bytes(r);
		}
	}
}

void relays_socket(struct broker *b, struct broker_packet *p)
{
	struct relay *r = find(b->relays, p->m.id);
	if (!r || r->ends[SERVER].source.fd >= 0 || !(p->m.id & BROKER_ID_PUBLISHED))
		return;
	if (p->fd_count != 1) {
		relay_end(r, p->m.error ? p->m.error : ENOBUFS);
		return;
	}
	r->ends[SERVER].source.fd = p->fds[0];
	p->fd_count = 0;
	dial(r, &r->address);
}
