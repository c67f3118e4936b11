/*
 * The monitor's end of the broker: what the sandbox may reach is opened here, and nowhere else.
 *
 * Theory of operation. Every address is local inside, and nothing listens there but the
 * agent's own servers. A destination that was decided gets a socket bound to exactly its address and
 * port, made here, in the sandbox's network namespace, and handed to the broker, which dials and
 * relays. So connect(2) may go on with whatever address is in the caller's memory by then.
 *
 * A held connect(2) is no thread's: it lies in a table with its deadline until the
 * broker tells how the dialling went. One thread reads the broker, answers, and judges what
 * only the network shows: names and statements.
 *
 * Most runs open no connection: the broker is started with the first that is decided, or with the first question to
 * the resolver. It is the gateway's to start, for it alone is in the host's namespaces, and it does so when its
 * end of the channel becomes readable; until the broker is there what it is told lies in the channel. So
 * nothing here waits for it but what needs it.
 *
 * When the broker is gone, cannot be started or is not ready in time, everything is refused with ENETDOWN, and the
 * log says so.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "net/address.h"
#include "net/broker.h"
#include "sandbox/watch.h"

enum {
	NETWORK_HOLD_MS = 50, /* a non-blocking connect waits so long for a quick refusal */
	NETWORK_RESOLVERS_MAX = 3,
	NETWORK_NAMES_MAX = 8, /* names of one address that are tried */
};

/* Made by the gateway before the fork; borrowed. */
struct network_plan {
	int channel_fd; /* to the broker, or to who starts it */
	struct net_address resolvers[NETWORK_RESOLVERS_MAX];
	unsigned resolver_count;
	char *hosts; /* text of the host's /etc/hosts; NULL none */
};

struct network;

/*
 * Does a run under @p want its broker from the start? Where its ports are the host's, and where connections are looked
 * into: a port that is taken and a program that is missing are to stop the run, not its first connection. And where
 * the agent's writes are real: it could put another program in the broker's place.
 */
bool network_at_once(const struct policy *p);

/*
 * After box_enter: what must be there before the agent runs is made inside. A broker that is wanted at once is told
 * what it is for, without waiting; the agent must not run before network_serve says that it is
 * ready. @watch must outlive both.
 */
int network_start(struct watch *watch, const struct network_plan *plan, struct network **ret,
		  struct err *err);
int network_serve(struct network *n, struct err *err);

/* Readable when somebody inside asks the resolver and nobody answers yet: then network_rung. -1 never. */
int network_bell_fd(const struct network *n);
void network_rung(struct network *n);

/* Everything inside has ended: waits shortly for the last connections' ends to be in the log. */
void network_finish(struct network *n);

/* Is there a resolver on port 53 of every address inside? */
bool network_resolves(const struct network *n);

/* Is all that @p speaks of (requests, statements) looked into on connections that begin now? */
bool network_shows(const struct network *n, const struct policy *p);

/* Names that led to @address, the last first; copied into @ret. */
unsigned network_names(struct network *n, const struct net_address *address,
		       char ret[NETWORK_NAMES_MAX][256]);

enum network_answer {
	NETWORK_HELD = 1, /* the notification will be answered; it is no longer the caller's */
	NETWORK_OPEN = 2, /* what was asked for is there: let the call go on */
	NETWORK_DONE = 3, /* the call was made on @call_fd: answer 0 */
};
/*
 * Opens @to for the notification of @w, whose action was decided and is described in w->action. @status: flags of
 * its socket. @call_fd -1: the kernel may go on with the call; else a duplicate of the socket, taken in any case,
 * on which connect(2) is made when it is time. enum network_answer, or -errno to answer.
 */
int network_open(struct network *n, struct worker *w, const struct net_address *to,
		 enum broker_transport transport, int status, int call_fd);
/* The same for datagrams, without holding anything: what is sent waits for the broker. 0, -errno. */
int network_prepare(struct network *n, struct worker *w, const struct net_address *to);
/* Is the datagram destination open already? */
bool network_is_open(struct network *n, const struct net_address *to);
/*
 * The policy allows less from now on. A destination of datagrams that it does not allow any more is closed: unlike a
 * connection it has no end of its own, and what is sent to an open one is not decided on.
 */
void network_narrowed(struct network *n);
/* Whether connections may be handed over: nothing has to be looked into. */
bool network_hands_over(const struct network *n);
/*
 * An unconnected, non-blocking stream socket of the host's network; the caller owns it. May step @w down. -errno.
 */
int network_borrow(struct network *n, struct worker *w, int family);
/* Is this the cookie of the sandbox's own network namespace? */
bool network_owns(const struct network *n, int socket_fd);
