/* The network's start: its sockets inside; when it is needed, what the broker is told first, and who hears it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "sandbox/network_private.h"

enum {
	READY_MS = 30000, /* its death is told at once; a busy machine is no death */
	SEND_SECONDS = 5,
	DNS_PORT = 53,
};

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

/* Before anything runs inside: the agent could have the port, and a question would be lost. */
static int open_resolver(struct network *n, struct err *err)
{
	for (unsigned i = 0; i < BROKER_DNS_COUNT; i++) {
		int fd = dns_socket(i < BROKER_DNS_UDP6 ? AF_INET : AF_INET6,
				    i % 2 ? SOCK_STREAM : SOCK_DGRAM, err);
		if (fd == -EAFNOSUPPORT && i == BROKER_DNS_UDP6)
			break; /* a kernel without IPv6 */
		if (fd < 0)
			return fd;
		n->dns_fds[n->dns_count++] = fd;
	}
	return 0;
}

/* The bell is rung by a question to the resolver. */
static int hang_bell(struct network *n, struct err *err)
{
	n->bell_fd = epoll_create1(EPOLL_CLOEXEC);
	int r = n->bell_fd < 0 ? -errno : 0;
	for (unsigned i = 0; r == 0 && i < n->dns_count; i++) {
		struct epoll_event e = { .events = EPOLLIN };
		if (epoll_ctl(n->bell_fd, EPOLL_CTL_ADD, n->dns_fds[i], &e) < 0)
			r = -errno;
	}
	return r < 0 ? err_sys(err, -r, "network: cannot wait for questions") : 0;
}

/* They live on in the broker: who listens for the bell must not hear of them any more. */
static void give_resolver_away(struct network *n)
{
	while (n->dns_count) {
		int *fd = &n->dns_fds[--n->dns_count];
		if (n->bell_fd >= 0)
			epoll_ctl(n->bell_fd, EPOLL_CTL_DEL, *fd, NULL);
		scope_close(fd);
		*fd = -1;
	}
}

/* Whether the broker took it all is told by its answer: one that gave up has said why. */
static int set_up_broker(struct network *n)
{
	const struct policy *policy = n->watch->policy;
	struct broker_message m = { .type = BROKER_SETUP,
				    .address_count = n->plan->resolver_count,
				    .inspect = network_inspection(n->watch) };
	const char *tls = policy->database_tls == DATABASE_TLS_WHOLE ? "whole" : NULL;
	n->broker = NETWORK_WAKING;
	n->ready_by_ms = clock_ms() + READY_MS;
	for (unsigned i = 0; i < policy->publish_count; i++) {
		send_publish(n, AF_INET, &policy->publish[i]);
		send_publish(n, AF_INET6, &policy->publish[i]);
	}
	memcpy(m.addresses, n->plan->resolvers, n->plan->resolver_count * sizeof(m.addresses[0]));
	int r = network_tell(n, &m, tls, n->dns_fds, n->dns_count);
	give_resolver_away(n);
	return r;
}

static int start_thread(struct network *n)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	int r = pthread_create(&thread, &attr, network_main, n);
	pthread_attr_destroy(&attr);
	return -r;
}

int network_wake(struct network *n)
{
	int r = set_up_broker(n);
	if (r == 0)
		r = start_thread(n);
	if (r < 0)
		network_lost(n, "the network broker cannot be started");
	return r;
}

int network_bell_fd(const struct network *n)
{
	return n ? n->bell_fd : -1;
}

void network_rung(struct network *n)
{
	pthread_mutex_lock(&n->lock);
	if (n->broker == NETWORK_ASLEEP)
		network_wake(n);
	pthread_mutex_unlock(&n->lock);
}

void network_ready(struct network *n)
{
	if (n->broker != NETWORK_WAKING)
		return;
	n->broker = NETWORK_AWAKE;
	network_connection_dialling(n);
	if (box_hands_over(n->watch->plan->box))
		network_lend_start(n);
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
	n->plan = plan;
	n->fd = plan->channel_fd;
	n->bell_fd = -1;
	n->resolver = watch->plan->box->net == NET_ALLOWLIST;
	n->cookie = network_cookie(probe);
	n->names = names_new();
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->lent, NULL);
	if (!n->names || !n->cookie || pipe2(n->wake_fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(err, ENOMEM, "network");
	if (plan->hosts)
		names_load_hosts(n->names, plan->hosts);
	/* Mustn't wait for ever for a broker that hangs: then there is none. */
	setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	int r = n->resolver ? open_resolver(n, err) : 0;
	if (r == 0 && network_at_once(watch->policy))
		(void)set_up_broker(n); /* network_serve hears how it went */
	else if (r == 0 && n->resolver)
		r = hang_bell(n, err);
	if (r == 0)
		*ret = n;
	return r;
}

int network_serve(struct network *n, struct err *err)
{
	if (n->broker == NETWORK_ASLEEP)
		return 0;
	int r = await_ready(n, err);
	if (r < 0)
		return r;
	network_ready(n);
	r = start_thread(n);
	return r < 0 ? err_sys(err, -r, "network: no thread") : 0;
}
