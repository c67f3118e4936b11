#include "sandbox/network.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/network_private.h"

enum {
	LISTENER_BACKLOG = 4096,
	READY_MS = 60000, /* its death is told at once; a busy machine is no death */
	SEND_SECONDS = 5,
	SWEEP_MS = 1000, /* between looks for listeners nobody uses */
	DNS_PORT = 53,
	FINISH_MS = 5000, /* for what ended programs have written to be sent */
};

uint64_t network_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t network_now_ms(void)
{
	return network_now_ns() / 1000000u;
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

/* Tells the broker. -ENETDOWN when there is none. */
int network_tell(struct network *n, struct broker_message *m, const char *text, const int *fds,
		 unsigned fd_count)
{
	int r = n->fd < 0 ? -EPIPE
			  : broker_send(n->fd, m, text, text ? strlen(text) : 0, fds, fd_count);
	return r < 0 ? -ENETDOWN : 0;
}

/* A socket of the sandbox's network at exactly this address; the agent cannot have it as well. */
int network_bound_socket(const struct net_address *a, int type)
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
			inspect |= BROKER_INSPECT_DATABASE;
		if (looks_into(p, UINT32_C(1) << ACTION_API_CALL) || names_url(p))
			inspect |= BROKER_INSPECT_API;
	}
	return inspect;
}

uint32_t network_inspection(const struct watch *watch)
{
	return inspection(watch->policy);
}

bool network_shows(const struct network *n, const struct policy *p)
{
	return !(inspection(p) & ~inspection(n->watch->policy));
}

static void on_need_socket(struct network *n, const struct broker_packet *p)
{
	struct broker_message m = { .type = BROKER_SOCKET, .id = p->m.id };
	cleanup_fd int fd = socket(p->m.address.family == AF_INET6 ? AF_INET6 : AF_INET,
				   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	m.error = fd < 0 ? errno : 0;
	network_tell(n, &m, NULL, &fd, fd >= 0);
}

static void on_packet(struct network *n, struct broker_packet *p)
{
	switch ((enum broker_type)p->m.type) {
	case BROKER_DIALLED:
	case BROKER_FAILED:
	case BROKER_ACCEPTED:
	case BROKER_CLASSIFIED:
	case BROKER_CLOSED:
	case BROKER_BYTES:
		network_connection_told(n, p);
		break;
	case BROKER_RESOLVE:
		network_names_asked(n, p);
		break;
	case BROKER_ADDRESSES:
		network_names_found(n, p);
		break;
	case BROKER_STATEMENT:
		network_statement_asked(n, p);
		break;
	case BROKER_REPEATED:
		network_statement_repeated(n, p);
		break;
	case BROKER_NEED_SOCKET:
		on_need_socket(n, p);
		break;
	case BROKER_LENT:
		network_lend_told(n, p);
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
	case BROKER_LEND:
	case BROKER_TYPE_COUNT:
		break;
	}
}

/* The broker is gone: whoever waits for it fails, and everybody after. */
static void lost(struct network *n)
{
	scope_close(&n->fd);
	n->fd = -1;
	network_connection_refuse_held(n);
	pthread_cond_broadcast(&n->lent);
	if (!n->watch->closing)
		watch_notice(n->watch, "the network broker died: every destination is refused "
				       "from now on");
}

static void *network_main(void *arg)
{
	struct network *n = arg;
	uint64_t sweep_ms = network_now_ms() + SWEEP_MS;
	pthread_mutex_lock(&n->lock);
	while (n->fd >= 0) {
		struct pollfd p[] = { { .fd = n->fd, .events = POLLIN },
				      { .fd = n->wake_fd[0], .events = POLLIN } };
		int wait_ms = network_connection_wait_ms(n);
		pthread_mutex_unlock(&n->lock);
		int ready = poll(p, 2, wait_ms);
		char woken[64];
		if (ready > 0 && p[1].revents)
			(void)!read(n->wake_fd[0], woken, sizeof(woken));
		pthread_mutex_lock(&n->lock);
		while (ready > 0 && p[0].revents) {
			/* Who opens a connection meanwhile does not wait for it: @fd and @packet are this thread's. */
			pthread_mutex_unlock(&n->lock);
			int r = broker_receive(p[0].fd, MSG_DONTWAIT, &n->packet);
			pthread_mutex_lock(&n->lock);
			if (r == -EAGAIN)
				break;
			if (r <= 0) {
				lost(n);
				break;
			}
			on_packet(n, &n->packet);
			broker_packet_finish(&n->packet);
		}
		uint64_t now = network_now_ms();
		network_connection_look(n, now);
		if (now >= sweep_ms) {
			network_connection_sweep(n, now);
			sweep_ms = now + SWEEP_MS;
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
	int fd = network_bound_socket(&any, type);
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
	network_tell(n, &m, NULL, NULL, 0);
}

/* Whether the broker took it all is told by its answer: one that gave up has said why. */
static int set_up_broker(struct network *n, const struct network_plan *plan, struct err *err)
{
	const struct policy *policy = n->watch->policy;
	struct broker_message m = { .type = BROKER_SETUP,
				    .address_count = plan->resolver_count,
				    .inspect = network_inspection(n->watch) };
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
		network_tell(n, &m, tls, fds, fd_count);
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
	pthread_cond_init(&n->lent, NULL);
	if (!n->names || !n->cookie || pipe2(n->wake_fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, ENOMEM, "network");
	if (plan->hosts)
		names_load_hosts(n->names, plan->hosts);
	/* Mustn't wait for ever for a broker that hangs: then there is none. */
	setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int r = set_up_broker(n, plan, err);
	if (r == 0)
		*ret = n;
	return r;
}

int network_serve(struct network *n, struct err *err)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r = await_ready(n, err);
	if (r < 0)
		return r;
	if (box_hands_over(n->watch->plan->box))
		network_lend_start(n);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	r = pthread_create(&thread, &attr, network_main, n);
	pthread_attr_destroy(&attr);
	if (r)
		return err_sys(err, r, "network: no thread");
	return 0;
}

void network_finish(struct network *n)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	struct broker_message m = { .type = BROKER_FINISH };
	network_tell(n, &m, NULL, NULL, 0);
	uint64_t until = network_now_ms() + FINISH_MS;
	while (n->connection_count && n->fd >= 0 && network_now_ms() < until) {
		pthread_mutex_unlock(&n->lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&n->lock);
	}
	for (unsigned i = 0; i < NETWORK_BUCKETS; i++)
		for (struct connection *c = n->connections[i]; c; c = c->next)
			watch_connection_end(n->watch, &c->action, ECANCELED, c->bytes_out,
					     c->bytes_in);
	pthread_mutex_unlock(&n->lock);
}
