/* What a call of the agent reaches in the sandbox's own network. Private to sandbox/. */
#pragma once

#include <sys/socket.h>

#include "net/address.h"
#include "sandbox/watch.h"

/*
 * Fills w->action for a destination; the texts live in @w. @name: what led to it, NULL an
 * address nobody resolved.
 */
void reach_describe(struct worker *w, const struct net_address *to, const char *name,
		    enum action_op op);

/* connect(2) with this copy of its address. Answers the notification. */
void reach_connect(struct worker *w, const struct sockaddr *sa, size_t len);
/* sendto, sendmsg, sendmmsg. Answers the notification. */
void reach_send(struct worker *w);
