#include "sandbox/network.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "sandbox/network_private.h"

enum {
	LISTENER_BACKLOG = 4096,
	SWEEP_MS = 1000,  /* between looks for listeners nobody uses */
	FINISH_MS = 5000, /* for what ended programs have written to be sent */
};

uint64_t network_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

bool network_owns(const struct network *n, int socket_fd)
{
	return n->cookie && network_cookie(socket_fd) == n->cookie;
}

bool network_resolves(const struct network *n)
{
	return n->resolver;
}

int network_tell(struct network *n, struct broker_message *m, const char *text, const int *fds,
		 unsigned fd_count)
{
	int r = n->broker == NETWORK_ASLEEP ? network_wake(n) : 0;
	if (r == 0)
		r = n->fd < 0 ? -EPIPE
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

bool network_at_once(const struct policy *p)
{
	return p->publish_count || inspection(p) != BROKER_INSPECT_NONE ||
	       p->workspace == WORKSPACE_DIRECT || p->direct.count;
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

void network_lost(struct network *n, const char *what)
{
	scope_close(&n->fd);
	n->fd = -1;
	network_connection_refuse_held(n);
	pthread_cond_broadcast(&n->lent);
	if (!n->watch->closing)
		watch_notice(n->watch, "%s: every destination is refused from now on", what);
}

static void on_unable(struct network *n, const struct broker_packet *p)
{
	char why[256];
	if (n->broker != NETWORK_WAKING)
		return;
	snprintf(why, sizeof(why), "the network broker cannot be started (%.160s: %s)", p->text,
		 strerrordesc_np(p->m.error));
	network_lost(n, why);
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
		network_ready(n);
		break;
	case BROKER_UNABLE:
		on_unable(n, p);
		break;
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

void *network_main(void *arg)
{
	struct network *n = arg;
	uint64_t sweep_ms = clock_ms() + SWEEP_MS;
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
		while (n->fd >= 0 && ready > 0 && p[0].revents) {
			/* Who opens a connection meanwhile does not wait for it: @fd and @packet are this thread's. */
			pthread_mutex_unlock(&n->lock);
			int r = broker_receive(p[0].fd, MSG_DONTWAIT, &n->packet);
			pthread_mutex_lock(&n->lock);
			if (r == -EAGAIN)
				break;
			if (r <= 0) {
				network_lost(n, "the network broker died");
				break;
			}
			on_packet(n, &n->packet);
			broker_packet_finish(&n->packet);
		}
		uint64_t now = clock_ms();
		if (n->broker == NETWORK_WAKING && n->fd >= 0 && now >= n->ready_by_ms)
			network_lost(n, "the network broker does not get ready");
		network_connection_look(n, now);
		if (now >= sweep_ms) {
			network_connection_sweep(n, now);
			sweep_ms = now + SWEEP_MS;
		}
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

void network_finish(struct network *n)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	struct broker_message m = { .type = BROKER_FINISH };
	if (n->broker != NETWORK_ASLEEP)
		network_tell(n, &m, NULL, NULL, 0);
	uint64_t until = clock_ms() + FINISH_MS;
	while (n->connection_count && n->fd >= 0 && clock_ms() < until) {
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
