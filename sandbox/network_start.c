/* The network's start: its sockets inside, what the broker is told first, and the thread that hears it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/network_private.h"

enum { READY_MS = 10000, SEND_SECONDS = 5, DNS_PORT = 53 };

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
