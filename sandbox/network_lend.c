/*
 * Sockets of the host's network that the broker lends, to be handed over, or to be dialled with for a relay. A few lie
 * ready, so that a connection does not wait for one.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "base/scope.h"
#include "sandbox/network_private.h"

enum { BORROW_SECONDS = 5 };

static unsigned row_of(int family)
{
	return family == AF_INET6;
}

/* Asks for more when few are left. 0, -errno. */
static int refill(struct network *n, unsigned row)
{
	struct broker_message m = { .type = BROKER_LEND,
				    .op = BROKER_FDS_MAX,
				    .address.family = row ? AF_INET6 : AF_INET };
	if (n->lending[row] || n->spare_count[row] + BROKER_FDS_MAX > NETWORK_SPARES)
		return 0;
	n->lending[row] = true;
	n->lend_errors[row] = 0; /* what failed then may go now */
	return network_tell(n, &m, NULL, NULL, 0);
}

/* -EAGAIN: none lies ready. */
static int take_spare(struct network *n, unsigned row)
{
	int fd = n->spare_count[row] ? n->spares[row][--n->spare_count[row]] : -EAGAIN;
	refill(n, row); /* of no use to this one */
	return fd;
}

bool network_hands_over(const struct network *n)
{
	return network_inspection(n->watch) == BROKER_INSPECT_NONE;
}

void network_lend_start(struct network *n)
{
	refill(n, 0);
	refill(n, 1);
}

void network_lend_told(struct network *n, struct broker_packet *p)
{
	unsigned row = row_of(p->m.address.family);
	n->lending[row] = false;
	n->lend_errors[row] = p->m.error;
	while (p->fd_count && n->spare_count[row] < NETWORK_SPARES)
		n->spares[row][n->spare_count[row]++] = p->fds[--p->fd_count];
	pthread_cond_broadcast(&n->lent);
}

int network_borrow(struct network *n, struct worker *w, int family)
{
	unsigned row = row_of(family);
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += BORROW_SECONDS;
	pthread_mutex_lock(&n->lock);
	int r = refill(n, row);
	if (!n->spare_count[row]) { /* what the broker needs nobody else waits for */
		pthread_mutex_unlock(&n->lock);
		worker_step_down(w);
		pthread_mutex_lock(&n->lock);
	}
	while (r == 0 && n->fd >= 0 && !n->spare_count[row] && !n->lend_errors[row]) {
		r = refill(n, row); /* others may have had what came */
		if (r == 0)
			r = -pthread_cond_timedwait(&n->lent, &n->lock, &until);
	}
	if (n->fd < 0)
		r = -ENETDOWN;
	else if (r == 0)
		r = n->spare_count[row] ? take_spare(n, row) : -n->lend_errors[row];
	pthread_mutex_unlock(&n->lock);
	return r;
}

int network_dial(struct network *n, const struct net_address *to, int *ret_fd)
{
	cleanup_fd int fd = take_spare(n, row_of(to->family));
	struct sockaddr_storage sa;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = net_address_sockaddr(to, &sa), size = sizeof(int);
	int error = 0;
	if (fd < 0)
		return BROKER_SERVER_NONE;
	if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	/* What is near has answered by now. */
	bool answered = poll(&p, 1, 0) == 1;
	if (answered && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	if (error)
		return -error;
	*ret_fd = take_fd(&fd);
	return answered ? BROKER_SERVER_CONNECTED : BROKER_SERVER_CONNECTING;
}
