/*
 * Sockets of the host in the agent's hands, where the policy says "handover".
 *
 * Theory of operation. The monitor connects a socket of the host's network to the address that was
 * decided and puts it over the caller's descriptor. It is the host's own, with its speed and its errors, and
 * what could be done with it would be done in the host's network. So in such a sandbox
 *
 *   - connect(2), bind(2) and listen(2) are never the kernel's to carry out for the agent, whatever the socket:
 *     the monitor takes a duplicate, looks whose network it is of, and makes the call on that very
 *     duplicate with its copy of the address. A descriptor or an address that is swapped meanwhile changes nothing.
 *   - a socket of the host's network is refused all three; connect(2) tells its state, as the kernel would.
 *   - setsockopt(2) and ioctl(2) pass the filter only with options and requests that cannot lead elsewhere
 *     or tell of the host's devices (base/syscall_pairs.h, filter_rows.c): both stand in registers.
 *   - MSG_FASTOPEN is refused by the filter in every sandbox, and TCP looks at no address of a message.
 *
 * Datagrams are never handed over: a datagram socket can be sent from to anywhere.
 */
#pragma once

#include "net/address.h"
#include "sandbox/watch.h"

enum { HANDOVER_NOT = 1 }; /* this socket cannot be replaced: the connection is relayed */

/* Is the connection of w->action, which was allowed, to be handed over? */
bool handover_wanted(const struct worker *w, const struct net_address *to);
/*
 * Connects a socket of the host to @to and puts it over the caller's descriptor, of which @fd is a duplicate. What
 * to answer, 0 or -errno; HANDOVER_NOT. May step down.
 */
int handover_connect(struct worker *w, int fd, const struct net_address *to);
/* What connect(2) says of a socket that was handed over: -errno. */
int handover_state(int fd);
