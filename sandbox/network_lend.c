/*
 * Sockets of the host's network that the broker lends, to be handed over. A few lie ready, so that a
 * connection does not wait for one.
 */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "base/scope.h"
#include "sandbox/network_private.h"

enum { BORROW_SECONDS = 5 };

static unsigned row_of(int family)
{
	return family == AF_INET6;
}

static int ask(struct network *n, unsigned row)
{
	struct broker_message m = { .type = BROKER_LEND,
				    .address.family = row ? AF_INET6 : AF_INET };
	return network_tell(n, &m, NULL, NULL, 0);
}

bool network_hands_over(const struct network *n)
{
	return network_inspection(n->watch) == BROKER_INSPECT_NONE;
}

void network_lend_start(struct network *n)
{
	for (unsigned row = 0; row < 2; row++)
		for (unsigned i = 0; i < NETWORK_SPARES; i++)
			ask(n, row);
}

void network_lend_told(struct network *n, struct broker_packet *p)
{
	unsigned row = row_of(p->m.address.family);
	n->lend_errors[row] = p->m.error;
	if (p->fd_count == 1 && n->spare_count[row] < NETWORK_SPARES) {
		n->spares[row][n->spare_count[row]++] = p->fds[0];
		p->fd_count = 0;
	}
	pthread_cond_broadcast(&n->lent);
}

int network_borrow(struct network *n, struct worker *w, int family)
{
	unsigned row = row_of(family);
	struct timespec until;
	int r = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += BORROW_SECONDS;
	pthread_mutex_lock(&n->lock);
	if (!n->spare_count[row] && n->lend_errors[row]) { /* what failed then may go now */
		n->lend_errors[row] = 0;
		r = ask(n, row);
	}
	if (!n->spare_count[row]) { /* what the broker needs nobody else waits for */
		pthread_mutex_unlock(&n->lock);
		watch_step_down(w);
		pthread_mutex_lock(&n->lock);
	}
	while (r == 0 && n->fd >= 0 && !n->spare_count[row] && !n->lend_errors[row])
		r = -pthread_cond_timedwait(&n->lent, &n->lock, &until);
	if (r == 0 && n->spare_count[row]) {
		r = n->spares[row][--n->spare_count[row]];
		ask(n, row);
	} else if (r == 0) {
		r = n->fd < 0 ? -ENETDOWN : -n->lend_errors[row];
	}
	pthread_mutex_unlock(&n->lock);
	return r;
}
