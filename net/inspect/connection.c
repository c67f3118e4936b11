/* One inspected connection: two sockets, and the machine between them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/inspect/inspect.h"
#include "net/wire/sniff.h"

enum {
	BUCKETS = 4096,
	READ_SIZE = 65536,
	WRITE_HIGH = 256 * 1024, /* no more is read for a side that has this much to hear */
	ROUNDS = 8,
};

struct end {
	struct inspected *of; /* first: what epoll is given is the end */
	int fd;               /* owned */
	bool readable, writable, eof, shut;
	bool run_dry; /* an end or an urgent byte makes reads short: to be read until nothing is there */
	struct wire_bytes unread; /* read, not yet taken by the machine */
	uint64_t bytes;           /* written to it */
};

struct inspected {
	struct inspected *next, *next_dead;
	uint64_t id, ask;
	struct end ends[WIRE_SIDE_COUNT];
	struct wire_conn *wire; /* owned; NULL until it is known what is spoken */
	struct stand stand,
		asked_of; /* the verdict that stands; what the question would make of it */
	uint16_t port;
	uint32_t inspect; /* of enum broker_inspect */
	bool asked, over;
};

static struct inspected *dead; /* freed after the batch */

static enum wire_side other(enum wire_side side)
{
	return side == WIRE_CLIENT ? WIRE_SERVER : WIRE_CLIENT;
}

static struct inspected **find(struct inspect_loop *l, uint64_t id)
{
	struct inspected **at;

	if (!l->by_id)
		l->by_id = calloc(BUCKETS, sizeof(struct inspected *));
	if (!l->by_id)
		abort(); /* at the first connection, or never */
	for (at = &l->by_id[id % BUCKETS]; *at && (*at)->id != id; at = &(*at)->next)
		;
	return at;
}

static void tell(struct inspect_loop *l, struct broker_message *m, const char *text, size_t len)
{
	l->over |= broker_queue_send(&l->out, m, text, len, NULL, 0) < 0;
}

/* A socket closed with unread bytes is reset, and the peer may lose our last words. */
static void drain(int fd)
{
	enum { DRAIN_ROUNDS = 64 };
	static uint8_t nobody[READ_SIZE];

	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < DRAIN_ROUNDS; i++)
		if (recv(fd, nobody, sizeof(nobody), MSG_DONTWAIT) <= 0)
			return;
}

static void end_connection(struct inspect_loop *l, struct inspected *c, int error)
{
	struct broker_message m = { .type = BROKER_CLOSED,
				    .id = c->id,
				    .error = error,
				    .bytes_out = c->ends[WIRE_SERVER].bytes,
				    .bytes_in = c->ends[WIRE_CLIENT].bytes };
	const char *why = c->wire ? c->wire->closed_why : NULL;

	if (c->over)
		return;
	c->over = true;
	if (!error && why)
		m.error = EPROTO;
	if (c->wire)
		l->over |= stand_tell(&c->stand, &l->out, c->id, c->wire->protocol->name) < 0;
	*find(l, c->id) = c->next;
	if (c->wire && c->wire->closing)
		drain(c->ends[WIRE_CLIENT].fd);
	for (unsigned s = 0; s < WIRE_SIDE_COUNT; s++) {
		close(c->ends[s].fd);
		wire_bytes_finish(&c->ends[s].unread);
	}
	tell(l, &m, why, why ? strlen(why) : 0);
	c->next_dead = dead;
	dead = c;
}

void inspected_bury(struct inspect_loop *l)
{
	(void)l;
	while (dead) {
		struct inspected *c = dead;

		dead = c->next_dead;
		wire_free(c->wire);
		free(c);
	}
}

/* Puts the machine's question. */
static void ask(struct inspect_loop *l, struct inspected *c)
{
	static uint64_t last;
	const struct wire_question *q = &c->wire->question;
	uint32_t flags = q->flags;
	char text[BROKER_TEXT_MAX];
	size_t n = strlen(c->wire->protocol->name) + 1, m = strlen(c->wire->database) + 1;
	size_t len = q->len;

	if (len > sizeof(text) - 1 - n - m) {
		len = sizeof(text) - 1 - n - m;
		flags |= STATEMENT_CUT;
	}
	memcpy(text, c->wire->protocol->name, n);
	memcpy(text + n, c->wire->database, m);
	memcpy(text + n + m, q->text, len);
	struct broker_message message = { .type = BROKER_STATEMENT,
					  .id = c->id,
					  .ask = ++last,
					  .action_type = q->type ? q->type
								 : action_type_of_statement(flags),
					  .op = OP_QUERY,
					  .statement_flags = flags };
	c->ask = message.ask;
	c->asked = true;
	stand_of(c->wire, l->empty, &c->asked_of);
	tell(l, &message, text, n + m + len);
}

static void classified(struct inspect_loop *l, const struct inspected *c, const struct sniff *s)
{
	struct broker_message m = { .type = BROKER_CLASSIFIED, .id = c->id };
	char text[64 + sizeof(s->name)];
	const char *protocol = s->encrypted_hello ? "tls-ech" : sniff_name(s->protocol);
	size_t n = strlen(protocol) + 1, len = strlen(s->name);

	memcpy(text, protocol, n);
	memcpy(text + n, s->name, len);
	tell(l, &m, text, n + len);
}

/*
 * Where requests are to be seen, what a client says first is one, unless it is known to be
 * something else: a server may take for HTTP what we do not recognise.
 */
static const struct wire_protocol *api_protocol(const struct sniff *s, bool server_first)
{
	switch (s->protocol) {
	case SNIFF_TLS:
		return &wire_tls;
	case SNIFF_HTTP1:
	case SNIFF_HTTP2: /* refused there: its first line is no request of 1.1 */
		return &wire_http;
	case SNIFF_UNKNOWN:
		return server_first ? NULL : &wire_http;
	case SNIFF_MORE:
	case SNIFF_SSH:
	case SNIFF_POSTGRESQL:
	case SNIFF_MYSQL:
	case SNIFF_REDIS:
	case SNIFF_MONGODB:
	case SNIFF_COUNT:
		break;
	}
	return NULL;
}

/* What is spoken, from what either side has said so far. 1 known, 0 not yet, -errno closed. */
static int identify(struct inspect_loop *l, struct inspected *c)
{
	struct sniff s = { 0 };
	const struct wire_bytes *client = &c->ends[WIRE_CLIENT].unread;
	const struct wire_bytes *server = &c->ends[WIRE_SERVER].unread;

	/* A port says nothing where databases are not looked for. */
	bool databases = c->inspect & BROKER_INSPECT_DATABASE;
	sniff_peers(wire_bytes_at(client), client->len, wire_bytes_at(server), server->len,
		    databases ? c->port : 0, &s);
	if (s.protocol == SNIFF_MORE)
		return c->ends[WIRE_CLIENT].eof || c->ends[WIRE_SERVER].eof ? -EPROTO : 0;
	classified(l, c, &s);
	/* Where a database listens nothing passes that is not understood. */
	if (databases && !s.wire && sniff_database_port(c->port))
		return -EPROTO;
	if (!databases)
		s.wire = NULL;
	if (!s.wire && c->inspect & BROKER_INSPECT_API)
		s.wire = api_protocol(&s, server->len > 0);
	c->wire = wire_new(s.wire ? s.wire : &wire_opaque, &l->setup);
	return c->wire ? 1 : -ENOMEM;
}

/* 1 moved, 0 not, -errno. */
static int write_end(struct inspected *c, enum wire_side side)
{
	struct end *e = &c->ends[side];
	struct wire_bytes *out = &c->wire->out[side];

	if (!e->writable || !out->len)
		return 0;
	ssize_t n = send(e->fd, wire_bytes_at(out), out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0) {
		e->bytes += (uint64_t)n;
		wire_bytes_take(out, (size_t)n);
		return 1;
	}
	if (errno != EAGAIN)
		return errno == EINTR ? 1 : -errno;
	e->writable = false;
	return 0;
}

static int read_end(struct inspected *c, enum wire_side side)
{
	static uint8_t buffer[READ_SIZE];
	struct end *e = &c->ends[side];

	if (!e->readable || e->eof || e->unread.len >= READ_SIZE ||
	    (c->wire && c->wire->out[other(side)].len >= WRITE_HIGH))
		return 0;
	ssize_t n = recv(e->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	if (n < 0) {
		if (errno != EAGAIN)
			return errno == EINTR ? 1 : -errno;
		e->readable = false;
		return 0;
	}
	e->eof = n == 0;
	/* Less than there was room for is all there was; what comes now is a new edge. */
	if ((size_t)n < sizeof(buffer) && !e->run_dry)
		e->readable = false;
	const uint8_t *bytes = buffer;
	size_t len = (size_t)n;
	if (c->wire && !e->unread.len) { /* what the machine takes at once is not copied */
		size_t taken = wire_feed(c->wire, side, bytes, len);
		bytes += taken;
		len -= taken;
	}
	wire_bytes_put(&e->unread, bytes, len);
	return e->unread.failed ? -ENOMEM : 1;
}

/* What was read and not taken is offered again: the machine may have been waiting for the other side. */
static int offer(struct inspected *c, enum wire_side side)
{
	struct end *e = &c->ends[side];
	size_t n = wire_feed(c->wire, side, wire_bytes_at(&e->unread), e->unread.len);

	if (n)
		wire_bytes_take(&e->unread, n);
	return n > 0;
}

/* Answers what needs no asking. */
static bool pass_standing(struct inspect_loop *l, struct inspected *c)
{
	if (!c->wire->asking || c->asked || !stand_passes(&c->stand, c->wire, l->empty, l->now_ms))
		return false;
	l->passing = true;
	wire_answer(c->wire, true, "");
	return true;
}

/* The end of one way: what was said has been heard, so the other side is told. */
static void pass_eof(struct inspected *c, enum wire_side side)
{
	struct end *from = &c->ends[side], *dst = &c->ends[other(side)];

	if (!from->eof || dst->shut || c->wire->out[other(side)].len || c->asked)
		return;
	dst->shut = true;
	shutdown(dst->fd, SHUT_WR);
}

static bool finished(const struct inspected *c)
{
	const struct wire_conn *w = c->wire;

	if (w->closing)
		return (!w->out[WIRE_CLIENT].len || c->ends[WIRE_SERVER].shut) &&
		       !w->out[WIRE_SERVER].len;
	return c->ends[WIRE_CLIENT].shut && c->ends[WIRE_SERVER].shut;
}

/* One turn of everything that can move. 1 moved, 0 not, -errno. */
static int turn(struct inspect_loop *l, struct inspected *c)
{
	int moved = 0;

	for (enum wire_side s = WIRE_CLIENT; s < WIRE_SIDE_COUNT; s++) {
		int r = read_end(c, s);
		if (r < 0)
			return r;
		moved |= r;
	}
	if (!c->wire) {
		int r = identify(l, c);
		if (r <= 0)
			return r < 0 ? r : moved;
		moved = 1;
	}
	/* The server first: it may be what the client's side waits for. */
	moved |= offer(c, WIRE_SERVER);
	do
		moved |= offer(c, WIRE_CLIENT);
	while (pass_standing(l, c));
	for (enum wire_side s = WIRE_CLIENT; s < WIRE_SIDE_COUNT; s++) {
		int r = write_end(c, s);
		if (r < 0)
			return r;
		moved |= r;
		if (c->wire->out[s].failed)
			return -ENOMEM;
	}
	if (c->wire->asking && !c->asked)
		ask(l, c);
	if (!c->wire->closing) {
		pass_eof(c, WIRE_CLIENT);
		pass_eof(c, WIRE_SERVER);
	}
	return moved;
}

static void pump(struct inspect_loop *l, struct inspected *c)
{
	int r = 1;

	while (r > 0 && !c->over) {
		r = turn(l, c);
		if (r < 0)
			end_connection(l, c, -r);
		else if (c->wire && finished(c))
			end_connection(l, c, 0);
	}
}

void inspected_ready(struct inspect_loop *l, void *tag, uint32_t events)
{
	struct end *e = tag;

	if (e->of->over)
		return;
	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		e->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		e->writable = true;
	e->run_dry |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0;
	pump(l, e->of);
}

void inspected_verdict(struct inspect_loop *l, const struct broker_packet *p)
{
	struct inspected *c = *find(l, p->m.id);

	if (!c || !c->asked || c->ask != p->m.ask)
		return;
	c->asked = false;
	if (p->m.error == 0 && p->m.repeats) {
		l->over |= stand_tell(&c->stand, &l->out, c->id, c->wire->protocol->name) < 0;
		stand_begin(&c->stand, &c->asked_of, p->m.repeats, l->now_ms);
	}
	wire_answer(c->wire, p->m.error == 0, *p->text ? p->text : "refused by the policy");
	pump(l, c);
}

void inspected_cut(struct inspect_loop *l, uint64_t id)
{
	struct inspected *c = *find(l, id);

	if (c)
		end_connection(l, c, ECONNRESET);
}

void inspected_tick(struct inspect_loop *l)
{
	bool more = false;

	for (unsigned i = 0; l->by_id && i < BUCKETS; i++) {
		for (struct inspected *c = l->by_id[i]; c; c = c->next) {
			if (!c->stand.passed)
				continue;
			if (l->now_ms >= c->stand.until_ms)
				l->over |= stand_tell(&c->stand, &l->out, c->id,
						      c->wire->protocol->name) < 0;
			more |= c->stand.passed > 0;
		}
	}
	l->passing = more;
}

static int watch_end(struct inspect_loop *l, struct inspected *c, enum wire_side side, int fd)
{
	struct end *e = &c->ends[side];
	struct epoll_event event = { .events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = e };

	*e = (struct end){ .of = c, .fd = fd, .readable = true, .writable = true };
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void inspected_open(struct inspect_loop *l, struct broker_packet *p)
{
	struct inspected **at = find(l, p->m.id);
	struct inspected *c = p->fd_count == 2 && !*at ? calloc(1, sizeof(*c)) : NULL;
	struct broker_message failed = { .type = BROKER_CLOSED, .id = p->m.id, .error = ENOBUFS };

	if (!c) {
		tell(l, &failed, NULL, 0);
		return;
	}
	c->id = p->m.id;
	c->port = p->m.address.port;
	c->inspect = p->m.inspect;
	*at = c;
	p->fd_count = 0; /* ours now */
	int first = watch_end(l, c, WIRE_CLIENT, p->fds[0]);
	int second = watch_end(l, c, WIRE_SERVER, p->fds[1]);
	l->setup.nonce = l->setup.nonce * UINT64_C(6364136223846793005) + 1442695040888963407u;
	if (first < 0 || second < 0)
		end_connection(l, c, ENOBUFS);
	else
		pump(l, c);
}
