#include "sandbox/network.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "net/dns.h"
#include "net/names.h"
#include "scoring/standing.h"

enum {
	BUCKETS = 1024,
	CONNECTIONS_MAX = 65536,
	LISTENER_IDLE_MS = 2000,
	LISTENER_BACKLOG = 4096,
	READY_MS = 10000,
	SEND_SECONDS = 5,
	SLICE_MS = 20,     /* between looks for signals of held callers */
	VERDICT_MS = 2000, /* A and AAAA of one name are one question to a person */
	VERDICTS = 16,
	DNS_PORT = 53,
	BIND_TRIES = 20,
	FINISH_MS = 5000, /* for what ended programs have written to be sent */
	RESTART = -512,   /* ERESTARTSYS: only while a signal is pending */
};

/* Where the broker accepts, or takes datagrams. */
struct opening {
	struct opening *next;
	struct net_address address;
	uint32_t id, transport;
	unsigned waiting; /* connections that nobody has come for yet */
	uint64_t used_ms;
};

/* From its decision to its end. */
struct connection {
	struct connection *next; /* in its bucket */
	struct connection *next_held;
	uint64_t id;
	uint64_t notif_id;               /* held call; 0: answered */
	const struct listener *listener; /* that it came from */
	uint64_t deadline_ms;
	struct tracee task; /* of a held blocking call: with a handle of its own */
	struct opening *opening;
	unsigned standing;            /* statements that may pass unasked, as last granted */
	bool waiting;                 /* counted in opening->waiting */
	uint64_t bytes_out, bytes_in; /* so far, as last told */
	struct action action;         /* its strings are the fields below */
	char resource[320], address[NET_ADDRESS_TEXT], protocol[64];
};

/* A name judged a moment ago. */
struct verdict_memory {
	char name[DNS_NAME_SIZE];
	uint64_t until_ms;
	int error;
};

struct network {
	struct watch *watch;
	int fd;         /* owned; -1: the broker is gone */
	int wake_fd[2]; /* a held call was added */
	bool resolver;
	uint64_t cookie;      /* of the network namespace */
	pthread_mutex_t lock; /* everything below */
	struct names *names;
	struct opening *openings[BUCKETS];
	struct connection *connections[BUCKETS];
	struct connection *held;
	unsigned connection_count;
	unsigned standing; /* of all connections */
	uint64_t last_connection;
	uint32_t last_opening;
	struct verdict_memory verdicts[VERDICTS];
	unsigned next_verdict;
	struct broker_packet packet; /* of the thread */
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ms(void)
{
	return now_ns() / 1000000u;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

bool network_owns(const struct network *n, int socket_fd)
{
	return n->cookie && cookie_of(socket_fd) == n->cookie;
}

bool network_resolves(const struct network *n)
{
	return n->resolver;
}

static unsigned bucket_of(const struct net_address *a)
{
	uint32_t h = 2166136261u ^ a->port;
	for (unsigned i = 0; i < sizeof(a->bytes); i++)
		h = (h ^ a->bytes[i]) * 16777619u;
	return (h ^ h >> 15) % BUCKETS;
}

static struct opening *find_opening(struct network *n, const struct net_address *a,
				    uint32_t transport)
{
	struct opening *o = n->openings[bucket_of(a)];
	while (o && (o->transport != transport || !net_address_equal(&o->address, a)))
		o = o->next;
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

static struct connection *find(struct network *n, uint64_t id)
{
	struct connection *c = n->connections[id % BUCKETS];
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
	c->task.dir_fd = -1;
	c->notif_id = 0;
}

/* Lets the held call go on (0) or fail. */
static void release(struct network *n, struct connection *c, int64_t error)
{
	if (!c->notif_id)
		return;
	if (error == 0)
		listener_continue(c->listener, c->notif_id);
	else
		listener_answer(c->listener, c->notif_id, error);
	unhold(n, c);
}

static void drop_connection(struct network *n, struct connection *c)
{
	struct connection **at = &n->connections[c->id % BUCKETS];
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	stop_waiting(c);
	n->standing -= c->standing;
	n->connection_count--;
	free(c);
}

/* Tells the broker. -ENETDOWN when there is none. */
static int tell(struct network *n, struct broker_message *m, const char *text, const int *fds,
		unsigned fd_count)
{
	int r = n->fd < 0 ? -EPIPE
			  : broker_send(n->fd, m, text, text ? strlen(text) : 0, fds, fd_count);
	return r < 0 ? -ENETDOWN : 0;
}

/* A socket of the sandbox's network at exactly this address; the agent cannot have it as well. */
static int bound_socket(const struct net_address *a, int type)
{
	struct sockaddr_storage sa;
	const int on = 1;
	socklen_t len = net_address_sockaddr(a, &sa);
	cleanup_fd int fd = socket(a->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (a->family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	}
	if (type == SOCK_STREAM) /* what is left of earlier connections does not count */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
	    (type == SOCK_STREAM && listen(fd, LISTENER_BACKLOG) < 0))
		return -errno;
	return take_fd(&fd);
}

/* The broker may not have closed yet what it was told to a moment ago. */
static int bound_socket_soon(const struct net_address *a, int type)
{
	int fd = -EADDRINUSE;
	for (unsigned i = 0; fd == -EADDRINUSE && i < BIND_TRIES; i++) {
		if (i)
			usleep(500);
		fd = bound_socket(a, type);
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
	c->task.dir_fd = -1;
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
	c->next = n->connections[c->id % BUCKETS];
	n->connections[c->id % BUCKETS] = c;
	n->connection_count++;
	return c;
}

static void hold(struct network *n, struct connection *c, struct worker *w, bool blocking)
{
	c->notif_id = w->n.notif.id;
	c->listener = w->listener;
	c->deadline_ms = blocking ? UINT64_MAX : now_ms() + NETWORK_HOLD_MS;
	if (blocking) {
		c->task = *w->task;
		c->task.dir_fd = fcntl(w->task->dir_fd, F_DUPFD_CLOEXEC, 3);
	}
	c->next_held = n->held;
	n->held = c;
	/* A thread that sleeps without a deadline must look again. */
	(void)!write(n->wake_fd[1], "", 1);
}

/* A URL in a list or rule that speaks of any type: only a request can meet it. */
static bool names_url(const struct policy *p)
{
	for (unsigned i = 0; i < p->rule_count; i++)
		if (p->rules[i].type == ACTION_NONE &&
		    strncmp(p->rules[i].pattern.text, "http", 4) == 0)
			return true;
	for (unsigned i = 0; i < p->blocked.count; i++)
		if (strncmp(p->blocked.items[i].pattern.text, "http", 4) == 0)
			return true;
	return false;
}

/* Whether the policy answers for some of the types of @set otherwise than for a connection. */
static bool looks_into(const struct policy *p, uint32_t set)
{
	bool wanted = p->allowed_types_present && (p->allowed_types & set) != set;
	for (unsigned i = 0; i < p->rule_count; i++)
		wanted |= p->rules[i].type != ACTION_NONE && set >> p->rules[i].type & 1;
	return wanted;
}

/* What is to be looked into follows from what a policy says of statements and requests. */
static uint32_t inspection(const struct policy *p)
{
	const uint32_t database =
		UINT32_C(1) << ACTION_DATABASE_QUERY | UINT32_C(1) << ACTION_DATABASE_WRITE;
	uint32_t inspect = BROKER_INSPECT_NONE;
	for (; p; p = p->also) {
		if (looks_into(p, database))
			inspect |= BROKER_INSPECT_CLASSIFY | BROKER_INSPECT_DATABASE;
		if (looks_into(p, UINT32_C(1) << ACTION_API_CALL) || names_url(p))
			inspect |= BROKER_INSPECT_CLASSIFY | BROKER_INSPECT_API;
	}
	return inspect;
}

bool network_shows(const struct network *n, const struct policy *p)
{
	return !(inspection(p) & ~inspection(n->watch->policy));
}

static const char *host_of(const struct action *a, char *text, size_t size)
{
	const char *host = strstr(a->resource, "://");
	host = host ? host + 3 : a->resource;
	snprintf(text, size, "%.*s", (int)strcspn(host, ":"), a->resolved ? host : "");
	return text;
}

enum holding { HOLD_NOT, HOLD_SHORTLY, HOLD_BLOCKING };

static int open_locked(struct network *n, struct worker *w, const struct net_address *to,
		       enum broker_transport transport, enum holding holding)
{
	int type = transport == BROKER_TCP ? SOCK_STREAM : SOCK_DGRAM;
	char name[DNS_NAME_SIZE];
	struct opening *o = find_opening(n, to, transport);
	cleanup_fd int fd = -1;
	if (n->fd < 0)
		return -ENETDOWN;
	if (o && transport == BROKER_UDP) /* bound already: what is sent waits for the broker */
		return NETWORK_OPEN;
	if (!o) {
		fd = bound_socket_soon(to, type);
		if (fd < 0)
			return fd;
		o = calloc(1, sizeof(*o));
		if (!o)
			return -ENOBUFS;
		o->address = *to;
		o->transport = (uint32_t)transport;
		o->id = ++n->last_opening;
		o->next = n->openings[bucket_of(to)];
		n->openings[bucket_of(to)] = o;
	}
	struct connection *c = new_connection(n, w);
	if (!c)
		return -ENOBUFS;
	struct broker_message m = { .type = BROKER_OPEN,
				    .id = c->id,
				    .listener = o->id,
				    .transport = (uint32_t)transport,
				    .inspect = transport == BROKER_TCP
						       ? inspection(n->watch->policy)
						       : 0,
				    .address = *to };
	int r = tell(n, &m, host_of(&w->action, name, sizeof(name)), &fd, fd >= 0);
	if (r < 0) {
		drop_connection(n, c);
		return r;
	}
	c->opening = o;
	o->used_ms = now_ms();
	if (transport == BROKER_TCP) {
		c->waiting = true;
		o->waiting++;
	}
	if (holding == HOLD_NOT)
		return NETWORK_OPEN;
	hold(n, c, w, holding == HOLD_BLOCKING);
	return NETWORK_HELD;
}

int network_open(struct network *n, struct worker *w, const struct net_address *to,
		 enum broker_transport transport, bool blocking)
{
	pthread_mutex_lock(&n->lock);
	int r = open_locked(n, w, to, transport, blocking ? HOLD_BLOCKING : HOLD_SHORTLY);
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
	int r = open_locked(n, w, to, BROKER_UDP, HOLD_NOT);
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

unsigned network_names(struct network *n, const struct net_address *address,
		       char ret[NETWORK_NAMES_MAX][DNS_NAME_SIZE])
{
	const char *names[NETWORK_NAMES_MAX];
	pthread_mutex_lock(&n->lock);
	unsigned count = names_of(n->names, address, now_ns(), names, NETWORK_NAMES_MAX);
	for (unsigned i = 0; i < count; i++)
		strcpy(ret[i], names[i]);
	pthread_mutex_unlock(&n->lock);
	return count;
}

/* The log knows what a connection carried when it ends. */
static void ended(struct network *n, const struct connection *c, const struct broker_message *m)
{
	watch_connection_end(n->watch, &c->action, m->error, m->bytes_out, m->bytes_in);
}

static void on_connection(struct network *n, const struct broker_packet *p)
{
	struct connection *c = find(n, p->m.id);
	if (!c)
		return;
	switch ((int)p->m.type) {
	case BROKER_DIALLED:
		release(n, c, 0);
		break;
	case BROKER_ACCEPTED:
		stop_waiting(c);
		if (c->opening)
			c->opening->used_ms = now_ms();
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

/* Suffixes that no public registry gives away: who answers for them is the site itself. */
static bool is_site_name(const char *name)
{
	static const char *const suffixes[] = { "internal", "local", "lan",     "home.arpa", "corp",
						"intranet", "home",  "private", "test" };
	size_t len = strlen(name);
	if (!strchr(name, '.'))
		return true;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t n = strlen(suffixes[i]);
		if (len > n && name[len - n - 1] == '.' && strcmp(name + len - n, suffixes[i]) == 0)
			return true;
	}
	return false;
}

/*
 * May @name lead to @a? Whoever owns a public name can point it at what only we can reach: such
 * addresses must be named themselves.
 */
static bool permitted(const struct watch *watch, const char *name, const struct net_address *a)
{
	char text[NET_ADDRESS_TEXT];
	switch (net_class_of(a)) {
	case NET_CLASS_PUBLIC:
		return true;
	case NET_CLASS_PRIVATE:
		if (is_site_name(name))
			return true;
		break;
	case NET_CLASS_UNSPECIFIED:
	case NET_CLASS_LOOPBACK:
	case NET_CLASS_METADATA:
	case NET_CLASS_LINK_LOCAL:
	case NET_CLASS_MULTICAST:
	case NET_CLASS_COUNT:
		break;
	}
	return policy_names_address(watch->policy, net_address_host(a, text));
}

static void on_addresses(struct network *n, const struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_PERMITTED, .ask = p->m.ask };
	char text[NET_ADDRESS_TEXT], why[192] = "";
	for (unsigned i = 0; i < p->m.address_count; i++) {
		const struct net_address *a = &p->m.addresses[i];
		if (permitted(n->watch, p->text, a)) {
			names_learn(n->names, p->text, a, p->m.ttl_s, now_ns());
			m.addresses[m.address_count++] = *a;
			continue;
		}
		snprintf(why, sizeof(why), "leads to a %s address, %s",
			 net_class_name(net_class_of(a)), net_address_host(a, text));
	}
	if (*why)
		watch_notice(n->watch,
			     "the name %s %s: not given to the sandbox; allow_hosts can "
			     "name the address itself",
			     p->text, why);
	tell(n, &m, m.address_count ? NULL : why, NULL, 0);
}

/* -errno when the name may not be asked for. The judgement of a moment ago holds. */
static int judge_name(struct network *n, const char *name)
{
	struct verdict_memory *v;
	uint64_t now = now_ms();
	for (unsigned i = 0; i < VERDICTS; i++)
		if (n->verdicts[i].until_ms > now && strcmp(n->verdicts[i].name, name) == 0)
			return n->verdicts[i].error;
	struct action a = { .type = ACTION_NETWORK_REQUEST,
			    .op = OP_RESOLVE,
			    .resource = name,
			    .protocol = "dns",
			    .program = "",
			    .size_bytes = -1,
			    .syscall_nr = UINT32_MAX };
	v = &n->verdicts[n->next_verdict++ % VERDICTS];
	snprintf(v->name, sizeof(v->name), "%.255s", name);
	v->until_ms = now + VERDICT_MS;
	v->error = watch_decide_seen(n->watch, &a, NULL, 0);
	return v->error;
}

static bool is_localhost(const char *name)
{
	size_t len = strlen(name);
	return strcmp(name, "localhost") == 0 ||
	       (len > 10 && strcmp(name + len - 10, ".localhost") == 0);
}

/* What is known here without asking anybody. */
static bool answer_known(struct network *n, const char *name, uint32_t type,
			 struct broker_message *m)
{
	uint8_t family = type == DNS_A ? AF_INET : AF_INET6;
	bool addresses = type == DNS_A || type == DNS_AAAA;
	struct net_address other[1];
	if (is_localhost(name)) {
		struct net_address a = { .family = family };
		a.bytes[family == AF_INET ? 0 : 15] = family == AF_INET ? 127 : 1;
		if (family == AF_INET)
			a.bytes[3] = 1;
		if (addresses)
			m->addresses[m->address_count++] = a;
		return true;
	}
	if (!addresses)
		return false;
	m->address_count = names_fixed(n->names, name, family, m->addresses, BROKER_ADDRESSES_MAX);
	return m->address_count ||
	       names_fixed(n->names, name, family == AF_INET ? AF_INET6 : AF_INET, other, 1);
}

static void on_resolve(struct network *n, const struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_VERDICT, .ask = p->m.ask, .ttl_s = 60 };
	const char *text = NULL;
	struct net_address address;
	const char *names[1];
	if (p->m.op == DNS_PTR) {
		m.op = 1; /* only what this sandbox has resolved itself */
		if (dns_reverse(p->text, &address)) {
			if (net_class_of(&address) == NET_CLASS_LOOPBACK)
				text = "localhost";
			else if (names_of(n->names, &address, now_ns(), names, 1))
				text = names[0];
		}
	} else if (!p->text[0] || strchr(p->text, '?')) {
		m.error = EPERM;
		text = "no host name";
	} else if (!is_localhost(p->text) && judge_name(n, p->text) < 0) {
		m.error = EPERM;
		text = "blocked by the policy of vsandbox";
	} else {
		m.op = answer_known(n, p->text, p->m.op, &m);
	}
	tell(n, &m, text, NULL, 0);
}

/* What the inspector tells of, as an action; its strings are @p's and @resource. */
static struct action statement_of(const struct connection *c, const struct broker_packet *p,
				  char *resource, size_t size)
{
	const char *end = p->text + (p->m.text_len ? p->m.text_len - 1 : 0);
	const char *database = p->text + strlen(p->text) + 1;
	const char *text = database < end ? database + strlen(database) + 1 : end;
	struct action a = c->action;
	/* The inspector says what a statement does; never that it is another kind of action. */
	a.type = p->m.action_type == ACTION_DATABASE_QUERY ? ACTION_DATABASE_QUERY
							   : ACTION_DATABASE_WRITE;
	a.op = OP_QUERY;
	snprintf(resource, size, "%.32s://%s/%.255s", p->text, c->action.resource,
		 database < end ? database : "");
	a.resource = resource;
	a.statement = text <= end ? text : "";
	a.statement_flags = p->m.statement_flags ? p->m.statement_flags : STATEMENT_UNKNOWN;
	return a;
}

/*
 * A request: "METHOD /path" of the host it names, which need not be the one that was resolved; then it
 * is judged as a call of that other one. @host "": it named none. False: not well formed.
 */
static bool request_of(const struct connection *c, const struct broker_packet *p, char *resource,
		       size_t size, struct action *ret)
{
	const char *end = p->text + (p->m.text_len ? p->m.text_len - 1 : 0);
	const char *host = p->text + strlen(p->text) + 1;
	const char *text = host < end ? host + strlen(host) + 1 : end;
	bool https = strcmp(p->text, "https") == 0;
	char name[DNS_NAME_SIZE + 64], port[8] = "";
	const char *path = text < end ? strchr(text, '/') : "";
	if (host > end || !path || (!https && strcmp(p->text, "http") != 0))
		return false;
	/* "host:port" or "[v6]:port", as it was decided */
	const char *colon = strrchr(c->action.resource, ':');
	snprintf(name, sizeof(name), "%.*s",
		 (int)(colon ? colon - c->action.resource : (ptrdiff_t)strlen(c->action.resource)),
		 c->action.resource);
	*ret = c->action;
	/* "[v6]" of a URL, or the bare address */
	size_t len = strlen(c->address), bracket = *host == '[';
	bool numeric = len && strncasecmp(host + bracket, c->address, len) == 0 &&
		       strlen(host + bracket) == len + bracket;
	if (*host && !numeric && strcasecmp(host, name) != 0) {
		/* That its address is listed for the name that was resolved says nothing of this one. */
		ret->address = NULL;
		ret->alias = c->action.resource;
		ret->resolved = false;
		snprintf(name, sizeof(name), "%s", host);
	}
	if (c->action.port != (https ? 443 : 80))
		snprintf(port, sizeof(port), ":%u", c->action.port);
	ret->type = ACTION_API_CALL;
	ret->op = OP_CONNECT;
	int n = snprintf(resource, size, "%s://%s%s%s", p->text, name, port, path);
	ret->resource = resource;
	return n > 0 && (size_t)n < size;
}

static void on_request(struct network *n, const struct broker_packet *p)
{
	const struct connection *c = find(n, p->m.id);
	struct broker_message m = {
		.type = BROKER_VERDICT, .id = p->m.id, .ask = p->m.ask, .error = EPERM
	};
	char why[192] = "a request that cannot be read", resource[ACTION_PATH_SIZE + 512];
	struct action a;
	if (!c)
		return;
	if (request_of(c, p, resource, sizeof(resource), &a))
		m.error = -watch_decide_seen(n->watch, &a, why, sizeof(why));
	tell(n, &m, why, NULL, 0);
}

static void on_statement(struct network *n, const struct broker_packet *p)
{
	struct connection *c = find(n, p->m.id);
	struct broker_message m = { .type = BROKER_VERDICT, .id = p->m.id, .ask = p->m.ask };
	char why[192] = "", resource[sizeof(c->resource) + 320];
	if (!c)
		return;
	struct action a = statement_of(c, p, resource, sizeof(resource));
	m.error = -watch_decide_seen(n->watch, &a, why, sizeof(why));
	if (m.error == 0)
		m.repeats = watch_standing(n->watch, &a, n->standing - c->standing);
	if (m.repeats) {
		n->standing += m.repeats - c->standing;
		c->standing = m.repeats;
	}
	tell(n, &m, why, NULL, 0);
}

static void on_repeated(struct network *n, const struct broker_packet *p)
{
	struct connection *c = find(n, p->m.id);
	char resource[sizeof(c->resource) + 320];
	/* More than were granted cannot have passed, whatever is told. */
	if (!c || !c->standing)
		return;
	struct action a = statement_of(c, p, resource, sizeof(resource));
	watch_repeated(n->watch, &a, p->m.repeats < c->standing ? p->m.repeats : c->standing);
}

static void on_need_socket(struct network *n, const struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_SOCKET, .id = p->m.id };
	cleanup_fd int fd = socket(p->m.address.family == AF_INET6 ? AF_INET6 : AF_INET,
				   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	m.error = fd < 0 ? errno : 0;
	tell(n, &m, NULL, &fd, fd >= 0);
}

static void on_packet(struct network *n, const struct broker_packet *p)
{
	switch ((enum broker_type)p->m.type) {
	case BROKER_DIALLED:
	case BROKER_FAILED:
	case BROKER_ACCEPTED:
	case BROKER_CLASSIFIED:
	case BROKER_CLOSED:
	case BROKER_BYTES:
		on_connection(n, p);
		break;
	case BROKER_RESOLVE:
		on_resolve(n, p);
		break;
	case BROKER_ADDRESSES:
		on_addresses(n, p);
		break;
	case BROKER_STATEMENT:
		if (p->m.action_type == ACTION_API_CALL)
			on_request(n, p);
		else
			on_statement(n, p);
		break;
	case BROKER_REPEATED:
		on_repeated(n, p);
		break;
	case BROKER_NEED_SOCKET:
		on_need_socket(n, p);
		break;
	case BROKER_READY:
	case BROKER_UNABLE:
	case BROKER_SETUP:
	case BROKER_PUBLISH:
	case BROKER_OPEN:
	case BROKER_UNLISTEN:
	case BROKER_CANCEL:
	case BROKER_VERDICT:
	case BROKER_PERMITTED:
	case BROKER_SOCKET:
	case BROKER_FINISH:
	case BROKER_CUT:
	case BROKER_TYPE_COUNT:
		break;
	}
}

/* The broker is gone: whoever waits for it fails, and everybody after. */
static void lost(struct network *n)
{
	scope_close(&n->fd);
	n->fd = -1;
	while (n->held)
		release(n, n->held, -ENETDOWN);
	if (!n->watch->closing)
		watch_notice(n->watch, "the network broker died: every destination is refused "
				       "from now on");
}

/* Held calls whose time is over, or whose caller has a signal to see to. */
static void look_at_held(struct network *n, uint64_t now)
{
	struct connection *next;
	for (struct connection *c = n->held; c; c = next) {
		next = c->next_held;
		if (now >= c->deadline_ms) {
			release(n, c, 0); /* what comes of it the connection itself will tell */
			continue;
		}
		if (c->deadline_ms != UINT64_MAX)
			continue;
		bool gone = listener_valid(c->listener, c->notif_id) < 0;
		if (!gone && !tracee_signalled(&c->task))
			continue;
		struct broker_message m = { .type = BROKER_CANCEL, .id = c->id };
		if (gone)
			unhold(n, c);
		else
			release(n, c, RESTART);
		tell(n, &m, NULL, NULL, 0);
	}
}

static void close_idle(struct network *n, uint64_t now)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct opening *next;
		for (struct opening *o = n->openings[i]; o; o = next) {
			next = o->next;
			if (o->transport != BROKER_TCP || o->waiting ||
			    now - o->used_ms < LISTENER_IDLE_MS)
				continue;
			struct broker_message m = { .type = BROKER_UNLISTEN, .listener = o->id };
			tell(n, &m, NULL, NULL, 0);
			for (unsigned b = 0; b < BUCKETS; b++)
				for (struct connection *c = n->connections[b]; c; c = c->next)
					if (c->opening == o)
						c->opening = NULL;
			drop_opening(n, o);
		}
	}
}

/* Until the next held call is to be looked at. */
static int wait_of(const struct network *n)
{
	uint64_t now = now_ms(), next = now + LISTENER_IDLE_MS;
	for (const struct connection *c = n->held; c; c = c->next_held) {
		uint64_t at = c->deadline_ms == UINT64_MAX ? now + SLICE_MS : c->deadline_ms;
		next = at < next ? at : next;
	}
	return next > now ? (int)(next - now) : 0;
}

static void *network_main(void *arg)
{
	struct network *n = arg;
	uint64_t sweep_ms = now_ms() + LISTENER_IDLE_MS;
	pthread_mutex_lock(&n->lock);
	while (n->fd >= 0) {
		struct pollfd p[] = { { .fd = n->fd, .events = POLLIN },
				      { .fd = n->wake_fd[0], .events = POLLIN } };
		int wait_ms = wait_of(n);
		pthread_mutex_unlock(&n->lock);
		int ready = poll(p, 2, wait_ms);
		char woken[64];
		if (ready > 0 && p[1].revents)
			(void)!read(n->wake_fd[0], woken, sizeof(woken));
		pthread_mutex_lock(&n->lock);
		while (ready > 0 && p[0].revents) {
			int r = broker_receive(n->fd, MSG_DONTWAIT, &n->packet);
			if (r == -EAGAIN)
				break;
			if (r <= 0) {
				lost(n);
				break;
			}
			on_packet(n, &n->packet);
			broker_packet_finish(&n->packet);
		}
		uint64_t now = now_ms();
		look_at_held(n, now);
		if (now >= sweep_ms) {
			close_idle(n, now);
			sweep_ms = now + LISTENER_IDLE_MS / 2;
		}
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

/* A wildcard socket on the port of DNS: whatever server a program asks is ours. */
static int dns_socket(uint8_t family, int type, struct err *err)
{
	const struct net_address any = { .family = family, .port = DNS_PORT };
	const int on = 1;
	int fd = bound_socket(&any, type);
	if (fd >= 0 && type == SOCK_DGRAM) {
		if (family == AF_INET)
			setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
		else
			setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	}
	return fd < 0 ? err_sys(err, -fd, "network: cannot listen for DNS inside") : fd;
}

static void send_publish(struct network *n, uint8_t family, const struct policy_publish *p)
{
	struct broker_message m = { .type = BROKER_PUBLISH,
				    .op = p->inside,
				    .address = { .family = family, .port = p->host } };
	if (family == AF_INET) {
		m.address.bytes[0] = 127;
		m.address.bytes[3] = 1;
	} else {
		m.address.bytes[15] = 1;
	}
	tell(n, &m, NULL, NULL, 0);
}

/* Whether the broker took it all is told by its answer: one that gave up has said why. */
static int set_up_broker(struct network *n, const struct network_plan *plan, struct err *err)
{
	const struct policy *policy = n->watch->policy;
	struct broker_message m = { .type = BROKER_SETUP,
				    .address_count = plan->resolver_count,
				    .inspect = inspection(n->watch->policy) };
	const char *tls = policy->database_tls == DATABASE_TLS_WHOLE ? "whole" : NULL;
	int fds[BROKER_DNS_COUNT] = { -1, -1, -1, -1 }, r = 0;
	unsigned fd_count = 0;
	for (unsigned i = 0; i < policy->publish_count; i++) {
		send_publish(n, AF_INET, &policy->publish[i]);
		send_publish(n, AF_INET6, &policy->publish[i]);
	}
	for (unsigned i = 0; n->resolver && r == 0 && i < BROKER_DNS_COUNT; i++) {
		int fd = dns_socket(i < BROKER_DNS_UDP6 ? AF_INET : AF_INET6,
				    i % 2 ? SOCK_STREAM : SOCK_DGRAM, err);
		if (fd == -EAFNOSUPPORT && i == BROKER_DNS_UDP6)
			break; /* a kernel without IPv6 */
		if (fd < 0)
			r = fd;
		else
			fds[fd_count++] = fd;
	}
	memcpy(m.addresses, plan->resolvers, plan->resolver_count * sizeof(m.addresses[0]));
	if (r == 0)
		tell(n, &m, tls, fds, fd_count);
	for (unsigned i = 0; i < BROKER_DNS_COUNT; i++)
		scope_close(&fds[i]);
	return r;
}

static int await_ready(struct network *n, struct err *err)
{
	struct pollfd p = { .fd = n->fd, .events = POLLIN };
	int r = poll(&p, 1, READY_MS) == 1 ? broker_receive(n->fd, 0, &n->packet) : 0;
	if (r <= 0)
		return err_set(err, EPIPE,
			       "network: the broker does not answer (is vsandbox-net "
			       "installed?)");
	broker_packet_finish(&n->packet);
	if (n->packet.m.type == BROKER_UNABLE)
		return err_sys(err, n->packet.m.error, "network: %s", n->packet.text);
	return n->packet.m.type == BROKER_READY ? 0 : err_set(err, EPROTO, "network: broker");
}

int network_start(struct watch *watch, const struct network_plan *plan, struct network **ret,
		  struct err *err)
{
	const struct timeval patience = { .tv_sec = SEND_SECONDS };
	struct network *n = calloc(1, sizeof(*n));
	cleanup_fd int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!n || probe < 0)
		return err_sys(err, ENOMEM, "network");
	n->watch = watch;
	n->fd = plan->channel_fd;
	n->resolver = watch->plan->box->net == NET_ALLOWLIST;
	n->cookie = cookie_of(probe);
	n->names = names_new();
	pthread_mutex_init(&n->lock, NULL);
	if (!n->names || !n->cookie || pipe2(n->wake_fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, ENOMEM, "network");
	if (plan->hosts)
		names_load_hosts(n->names, plan->hosts);
	/* Mustn't wait for ever for a broker that hangs: then there is none. */
	setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int r = set_up_broker(n, plan, err);
	if (r == 0)
		r = await_ready(n, err);
	if (r < 0)
		return r;
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	r = pthread_create(&thread, &attr, network_main, n);
	pthread_attr_destroy(&attr);
	if (r)
		return err_sys(err, r, "network: no thread");
	*ret = n;
	return 0;
}

void network_finish(struct network *n)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	struct broker_message m = { .type = BROKER_FINISH };
	tell(n, &m, NULL, NULL, 0);
	uint64_t until = now_ms() + FINISH_MS;
	while (n->connection_count && n->fd >= 0 && now_ms() < until) {
		pthread_mutex_unlock(&n->lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&n->lock);
	}
	for (unsigned i = 0; i < BUCKETS; i++)
		for (struct connection *c = n->connections[i]; c; c = c->next)
			watch_connection_end(n->watch, &c->action, ECANCELED, c->bytes_out,
					     c->bytes_in);
	pthread_mutex_unlock(&n->lock);
}
