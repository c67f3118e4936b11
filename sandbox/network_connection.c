/* What is open inside, and what is on its way: openings, connections, and the calls that are held for them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "sandbox/network_private.h"

enum {
	CONNECTIONS_MAX = 65536,
	LISTENER_IDLE_MS = 2000,
	SLICE_MS = 20, /* between looks for signals of held callers */
	BUSY_MS = 200, /* after a held call: the thread sleeps no longer than SLICE_MS */
	BIND_TRIES = 20,
	RESTART = -512, /* ERESTARTSYS: only while a signal is pending */
};

/* Where the broker accepts, or takes datagrams. */
struct opening {
	struct opening *next;
	struct net_address address;
	uint32_t id, transport;
	unsigned waiting; /* connections that nobody has come for yet */
	uint64_t used_ms;
};

static unsigned bucket_of(const struct net_address *a)
{
	uint32_t h = 2166136261u ^ a->port;
	for (unsigned i = 0; i < sizeof(a->bytes); i++)
		h = (h ^ a->bytes[i]) * 16777619u;
	return (h ^ h >> 15) % NETWORK_BUCKETS;
}

static struct opening *find_opening(struct network *n, const struct net_address *a,
				    uint32_t transport)
{
	struct opening *o = n->openings[bucket_of(a)];
	while (o && (o->transport != transport || !net_address_equal(&o->address, a)))
		o = o->next;
	return o;
}

/* NULL: no memory. */
static struct opening *new_opening(struct network *n, const struct net_address *to,
				   enum broker_transport transport)
{
	struct opening *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->address = *to;
	o->transport = (uint32_t)transport;
	o->id = ++n->last_opening;
	o->next = n->openings[bucket_of(to)];
	n->openings[bucket_of(to)] = o;
	return o;
}

static void drop_opening(struct network *n, struct opening *o)
{
	struct opening **at = &n->openings[bucket_of(&o->address)];
	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	free(o);
}

struct connection *network_connection_find(struct network *n, uint64_t id)
{
	struct connection *c = n->connections[id % NETWORK_BUCKETS];
	while (c && c->id != id)
		c = c->next;
	return c;
}

static void stop_waiting(struct connection *c)
{
	if (c->waiting && c->opening)
		c->opening->waiting--;
	c->waiting = false;
}

static void unhold(struct network *n, struct connection *c)
{
	for (struct connection **at = &n->held; *at; at = &(*at)->next_held) {
		if (*at != c)
			continue;
		*at = c->next_held;
		break;
	}
	scope_close(&c->task.dir_fd);
	scope_close(&c->call_fd);
	c->task.dir_fd = c->call_fd = -1;
	c->notif_id = 0;
}

/* Makes the held call, or looks how it is getting on. 0, -errno to answer, 1 not yet. */
static int make_call(struct connection *c)
{
	int status = fcntl(c->call_fd, F_GETFL), r = 0, error = 0;
	socklen_t len = sizeof(error);
	struct pollfd p = { .fd = c->call_fd, .events = POLLOUT };
	if (!c->calling) {
		/* The flags are shared with the caller, who sleeps in this very call. */
		if (c->call_blocks)
			fcntl(c->call_fd, F_SETFL, status | O_NONBLOCK);
		r = connect(c->call_fd, (struct sockaddr *)&c->call_to, c->call_len) < 0 ? -errno
											 : 0;
		if (c->call_blocks)
			fcntl(c->call_fd, F_SETFL, status);
	} else {
		r = -EINPROGRESS;
	}
	if (r != -EINPROGRESS || !c->call_blocks)
		return r;
	c->calling = true;
	if (poll(&p, 1, 0) != 1)
		return 1; /* our listener has a full queue */
	return getsockopt(c->call_fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

static void cancel(struct network *n, const struct connection *c)
{
	struct broker_message m = { .type = BROKER_CANCEL, .id = c->id };
	network_tell(n, &m, NULL, NULL, 0);
}

/* Who is not there any more makes the call again, or none: this one nobody will claim. */
static void go_on(struct network *n, const struct connection *c, const struct listener *l,
		  uint64_t notif_id)
{
	if (listener_continue(l, notif_id) < 0)
		cancel(n, c);
}

/* Lets the held call go on (0) or fail. */
static void release(struct network *n, struct connection *c, int64_t error)
{
	if (!c->notif_id)
		return;
	if (error == 0 && c->call_fd < 0) {
		go_on(n, c, c->listener, c->notif_id);
	} else {
		if (error == 0)
			error = make_call(c);
		if (error > 0)
			return;
		listener_answer(c->listener, c->notif_id, error);
	}
	unhold(n, c);
}

static void drop_connection(struct network *n, struct connection *c)
{
	struct connection **at = &n->connections[c->id % NETWORK_BUCKETS];
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	stop_waiting(c);
	n->standing -= c->standing;
	n->connection_count--;
	free(c);
}

/* The broker may not have closed yet what it was told to a moment ago. */
static int bound_socket_soon(const struct net_address *a, int type)
{
	int fd = -EADDRINUSE;
	for (unsigned i = 0; fd == -EADDRINUSE && i < BIND_TRIES; i++) {
		if (i)
			usleep(500);
		fd = network_bound_socket(a, type);
	}
	return fd;
}

static struct connection *new_connection(struct network *n, const struct worker *w)
{
	const struct action *a = &w->action;
	struct connection *c = n->connection_count < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return NULL;
	c->id = ++n->last_connection;
	c->task.dir_fd = c->call_fd = -1;
	c->action = (struct action){ .type = a->type,
				     .op = a->op,
				     .port = a->port,
				     .resolved = a->resolved,
				     .pid = a->pid,
				     .tid = a->tid,
				     .start_ticks = a->start_ticks,
				     .program = a->program,
				     .size_bytes = -1,
				     .syscall_nr = a->syscall_nr,
				     .resource = c->resource,
				     .address = c->address,
				     .protocol = c->protocol };
	snprintf(c->resource, sizeof(c->resource), "%s", a->resource);
	snprintf(c->address, sizeof(c->address), "%s", a->address ? a->address : "");
	snprintf(c->protocol, sizeof(c->protocol), "%s", a->protocol ? a->protocol : "");
	c->next = n->connections[c->id % NETWORK_BUCKETS];
	n->connections[c->id % NETWORK_BUCKETS] = c;
	n->connection_count++;
	return c;
}

static void hold(struct network *n, struct connection *c, struct worker *w, bool blocking,
		 const struct net_address *to, int *call_fd)
{
	int family = to->family;
	socklen_t len = sizeof(family);
	c->call_fd = take_fd(call_fd);
	c->call_blocks = blocking;
	if (c->call_fd >= 0) {
		getsockopt(c->call_fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
		c->call_len = net_address_sockaddr_as(to, family, &c->call_to);
	}

	c->notif_id = w->n.notif.id;
	c->listener = w->listener;
	/* who waits for the first connection waits for the broker as well: it alone says what a quick refusal is */
	c->deadline_ms = blocking ? UINT64_MAX
				  : (n->broker == NETWORK_WAKING ? n->ready_by_ms : clock_ms()) +
					    NETWORK_HOLD_MS;
	if (blocking) {
		c->task = *w->task;
		c->task.dir_fd = fcntl(w->task->dir_fd, F_DUPFD_CLOEXEC, 3);
	}
	c->next_held = n->held;
	n->held = c;
}

/*
 * A thread that sleeps longer must look again. Woken for each connection it would only be in the way, so it
 * sleeps short for a while after one.
 */
static void wake_for_held(struct network *n)
{
	n->busy_until_ms = clock_ms() + BUSY_MS;
	if (n->wakes_ms > clock_ms() + SLICE_MS)
		(void)!write(n->wake_fd[1], "", 1);
}

static const char *host_of(const struct action *a, char *text, size_t size)
{
	const char *host = strstr(a->resource, "://");
	host = host ? host + 3 : a->resource;
	snprintf(text, size, "%.*s", (int)strcspn(host, ":"), a->resolved ? host : "");
	return text;
}

/* connect(2) of a datagram socket waits for nobody. */
static int call_at_once(const struct net_address *to, int fd)
{
	struct sockaddr_storage sa;
	int family = to->family;
	socklen_t len = sizeof(family);
	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
	len = net_address_sockaddr_as(to, family, &sa);
	return connect(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : NETWORK_DONE;
}

enum holding { HOLD_NOT, HOLD_SHORTLY, HOLD_BLOCKING };

static int open_locked(struct network *n, struct worker *w, const struct net_address *to,
		       enum broker_transport transport, enum holding holding, int *call_fd)
{
	int type = transport == BROKER_TCP ? SOCK_STREAM : SOCK_DGRAM;
	char name[DNS_NAME_SIZE];
	struct opening *o = find_opening(n, to, transport);
	cleanup_fd int listener = -1, server = -1;
	int fds[2], dialled = BROKER_SERVER_NONE;
	unsigned fd_count = 0;
	if (n->fd < 0)
		return -ENETDOWN;
	if (o && transport == BROKER_UDP) /* bound already: what is sent waits for the broker */
		return *call_fd < 0 ? NETWORK_OPEN : call_at_once(to, *call_fd);
	if (!o) {
		listener = bound_socket_soon(to, type);
		if (listener < 0)
			return listener;
		fds[fd_count++] = listener;
	}
	if (transport == BROKER_TCP)
		dialled = network_dial(n, to, &server);
	if (dialled < 0) {
		watch_connection_end(n->watch, &w->action, -dialled, 0, 0);
		return dialled;
	}
	if (dialled != BROKER_SERVER_NONE)
		fds[fd_count++] = server;
	struct connection *c = new_connection(n, w);
	if (!c)
		return -ENOBUFS;
	if (!o)
		o = new_opening(n, to, transport);
	struct broker_message m = { .type = BROKER_OPEN,
				    .id = c->id,
				    .transport = (uint32_t)transport,
				    .inspect = transport == BROKER_TCP
						       ? network_inspection(n->watch)
						       : 0,
				    .op = (uint32_t)dialled,
				    .address = *to };
	int r = -ENOBUFS;
	if (o) {
		m.listener = o->id;
		r = network_tell(n, &m, host_of(&w->action, name, sizeof(name)), fds, fd_count);
	}
	if (r < 0) {
		drop_connection(n, c);
		return r;
	}
	c->opening = o;
	o->used_ms = clock_ms();
	if (transport == BROKER_TCP) {
		c->waiting = true;
		o->waiting++;
	}
	if (holding == HOLD_NOT)
		return NETWORK_OPEN;
	if (dialled == BROKER_SERVER_CONNECTED && *call_fd < 0) {
		go_on(n, c, w->listener, w->n.notif.id);
		return NETWORK_HELD;
	}
	hold(n, c, w, holding == HOLD_BLOCKING, to, call_fd);
	if (dialled == BROKER_SERVER_CONNECTED)
		release(n, c, 0);
	if (c->notif_id)
		wake_for_held(n);
	return NETWORK_HELD;
}

int network_open(struct network *n, struct worker *w, const struct net_address *to,
		 enum broker_transport transport, int status, int call_fd)
{
	cleanup_fd int fd = call_fd;
	pthread_mutex_lock(&n->lock);
	int r = open_locked(n, w, to, transport, status & O_NONBLOCK ? HOLD_SHORTLY : HOLD_BLOCKING,
			    &fd);
	pthread_mutex_unlock(&n->lock);
	if (r != -EADDRINUSE)
		return r;
	watch_notice(n->watch,
		     "%s cannot be reached: a program inside listens on port %u of every address",
		     w->action.resource, to->port);
	return -EADDRNOTAVAIL;
}

int network_prepare(struct network *n, struct worker *w, const struct net_address *to)
{
	pthread_mutex_lock(&n->lock);
	int none = -1, r = open_locked(n, w, to, BROKER_UDP, HOLD_NOT, &none);
	pthread_mutex_unlock(&n->lock);
	return r < 0 ? r : 0;
}

bool network_is_open(struct network *n, const struct net_address *to)
{
	pthread_mutex_lock(&n->lock);
	const struct opening *o = find_opening(n, to, BROKER_UDP);
	bool open = o != NULL;
	pthread_mutex_unlock(&n->lock);
	return open;
}

void network_narrowed(struct network *n)
{
	pthread_mutex_lock(&n->lock);
	for (unsigned i = 0; i < NETWORK_BUCKETS; i++) {
		for (struct connection *c = n->connections[i]; c; c = c->next) {
			if (!c->opening || c->opening->transport != BROKER_UDP ||
			    watch_allows_still(n->watch, &c->action))
				continue;
			struct broker_message m = { .type = BROKER_CUT, .id = c->id };
			network_tell(n, &m, NULL, NULL, 0);
			drop_opening(n, c->opening); /* who sends there from now on is decided on */
			c->opening = NULL;
		}
	}
	pthread_mutex_unlock(&n->lock);
}

/* The log knows what a connection carried when it ends. */
static void ended(struct network *n, const struct connection *c, const struct broker_message *m)
{
	watch_connection_end(n->watch, &c->action, m->error, m->bytes_out, m->bytes_in);
}

void network_connection_told(struct network *n, const struct broker_packet *p)
{
	struct connection *c = network_connection_find(n, p->m.id);
	if (!c)
		return;
	switch ((int)p->m.type) {
	case BROKER_DIALLED:
		release(n, c, 0);
		break;
	case BROKER_ACCEPTED:
		stop_waiting(c);
		if (c->opening)
			c->opening->used_ms = clock_ms();
		break;
	case BROKER_BYTES:
		c->bytes_out = p->m.bytes_out;
		c->bytes_in = p->m.bytes_in;
		break;
	case BROKER_CLASSIFIED:
		snprintf(c->protocol, sizeof(c->protocol), "%.63s", p->text);
		break;
	case BROKER_FAILED:
	case BROKER_CLOSED:
		release(n, c, p->m.error ? -p->m.error : -ECONNABORTED);
		ended(n, c, &p->m);
		if (c->opening && c->opening->transport == BROKER_UDP)
			drop_opening(n, c->opening);
		drop_connection(n, c);
		break;
	default:
		break;
	}
}

void network_connection_dialling(struct network *n)
{
	for (struct connection *c = n->held; c; c = c->next_held)
		if (c->deadline_ms != UINT64_MAX)
			c->deadline_ms = clock_ms() + NETWORK_HOLD_MS;
}

void network_connection_refuse_held(struct network *n)
{
	while (n->held)
		release(n, n->held, -ENETDOWN);
}

void network_connection_look(struct network *n, uint64_t now)
{
	struct connection *next;
	for (struct connection *c = n->held; c; c = next) {
		next = c->next_held;
		if (c->calling) {
			release(n, c, 0);
			if (!c->notif_id) /* answered */
				continue;
		} else if (now >= c->deadline_ms) {
			release(n, c,
				0); /* what comes of it the connection itself will network_tell */
			continue;
		}
		if (c->deadline_ms != UINT64_MAX)
			continue;
		bool gone = listener_valid(c->listener, c->notif_id) < 0;
		if (!gone && !tracee_signalled(&c->task))
			continue;
		if (gone)
			unhold(n, c);
		else
			release(n, c, RESTART);
		cancel(n, c);
	}
}

void network_connection_sweep(struct network *n, uint64_t now)
{
	for (unsigned i = 0; i < NETWORK_BUCKETS; i++) {
		struct opening *next;
		for (struct opening *o = n->openings[i]; o; o = next) {
			next = o->next;
			if (o->transport != BROKER_TCP || o->waiting ||
			    now - o->used_ms < LISTENER_IDLE_MS)
				continue;
			struct broker_message m = { .type = BROKER_UNLISTEN, .listener = o->id };
			network_tell(n, &m, NULL, NULL, 0);
			for (unsigned b = 0; b < NETWORK_BUCKETS; b++)
				for (struct connection *c = n->connections[b]; c; c = c->next)
					if (c->opening == o)
						c->opening = NULL;
			drop_opening(n, o);
		}
	}
}

int network_connection_wait_ms(struct network *n)
{
	uint64_t now = clock_ms();
	uint64_t next = now + (now < n->busy_until_ms ? SLICE_MS : LISTENER_IDLE_MS);
	for (const struct connection *c = n->held; c; c = c->next_held) {
		uint64_t at = c->deadline_ms == UINT64_MAX ? now + SLICE_MS : c->deadline_ms;
		next = at < next ? at : next;
	}
	n->wakes_ms = next;
	return next > now ? (int)(next - now) : 0;
}
