/*
 * What the monitor and the broker say to each other, over one SOCK_SEQPACKET pair.
 *
 * The broker (vsandbox-net) lives in the host's network namespace, dials and relays. It holds no
 * policy: every name, destination and statement is put to the monitor. The monitor lives in the
 * sandbox's network namespace: it makes every socket that the agent's packets can meet there, and
 * hands it over. So the broker can accept only where the monitor has opened, and the agent can
 * reach only where the monitor has decided.
 *
 * A TCP connection, by its id, chosen by the monitor:
 *
 *   monitor                      broker
 *   OPEN {name, address, fds} -> dials
 *                           <--- DIALLED, or FAILED {error} and the id is over
 *   lets connect(2) go on
 *                                accepts one connection at the listener
 *                           <--- ACCEPTED                             within a second
 *                           <--- CLASSIFIED {protocol, detail}        at most once
 *                           <--- STATEMENT {ask, type, op, text}      the relay holds the statement
 *   VERDICT {ask, error}    -->
 *                           <--- BYTES {out, in}                      every BROKER_BYTES_MS of traffic
 *                           <--- CLOSED {out, in, error}              the id is over
 *
 * Where the monitor has a socket of the host's (LENT) it dials itself and sends that along: a destination that
 * answers within the call, as one nearby does, costs its caller nobody's waking up.
 *
 * An accepted connection for which no OPEN of that listener waits is reset: each was decided. OPEN is sent before
 * connect(2) goes on, so the broker hears the monitor out before it resets one.
 * UDP: OPEN hands over a socket bound to the destination; flows are closed when idle.
 *
 * Both ends treat a packet that is not well formed as the other's death: the monitor then refuses
 * every destination, the broker exits.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/action.h"
#include "net/address.h"

enum {
	BROKER_TEXT_MAX = 32768, /* bytes of text in a packet, its NUL included */
	BROKER_ADDRESSES_MAX = 16,
	BROKER_FDS_MAX = 8,
	BROKER_BYTES_MS = 5000,
	BROKER_CHANNEL_FD = 3, /* where the program finds its end */
};

enum broker_type {
	/* monitor -> broker */
	BROKER_SETUP = 1, /* addresses: the host's resolvers; fds: DNS sockets (BROKER_DNS_*;
			     without IPv6 the first two), none: no resolver */
	BROKER_PUBLISH,   /* address: to listen at, on the host; op: port inside */
	BROKER_OPEN,      /* id, listener, address, inspect, op: enum broker_server; text: name;
			fds: a new listener's socket, then the server's end */
	BROKER_UNLISTEN,  /* listener: nothing is accepted there any more */
	BROKER_CANCEL,    /* id: the caller is gone */
	BROKER_VERDICT,   /* ask: of STATEMENT or RESOLVE; error 0 or errno; text: why.
			      RESOLVE: addresses known without asking anybody */
	BROKER_PERMITTED, /* ask: of ADDRESSES; addresses: those that may be answered */
	BROKER_SOCKET,    /* id: of NEED_SOCKET; fd, or error */
	BROKER_FINISH,    /* everything inside has ended: send what it wrote, then close */
	BROKER_CUT, /* id: end the connection now, with a reset; of datagrams: close the destination */
	BROKER_LEND, /* address.family, op: so many stream sockets of the host */
	/* broker -> monitor */
	BROKER_READY,  /* set up; nothing is refused for want of a port */
	BROKER_UNABLE, /* error, text: set-up failed; the broker exits, or who starts it could not */
	BROKER_DIALLED,    /* id: the destination has answered */
	BROKER_FAILED,     /* id, error: it has not */
	BROKER_ACCEPTED,   /* id: the agent's end has met its connection */
	BROKER_CLASSIFIED, /* id; text: protocol NUL detail */
	BROKER_STATEMENT,  /* id, ask, action_type, op, statement_flags;
			       text: protocol NUL database NUL statement */
	BROKER_BYTES,      /* id, bytes_out, bytes_in */
	BROKER_CLOSED,     /* id, error, bytes_out, bytes_in */
	BROKER_RESOLVE,    /* ask; op: query type; text: name without its last dot */
	BROKER_ADDRESSES,  /* ask, ttl_s, addresses, text: name: what the name leads to */
	BROKER_REPEATED, /* id, repeats, and as STATEMENT: so many passed under a verdict that stood */
	BROKER_NEED_SOCKET, /* id, address.family: an unconnected stream socket inside */
	BROKER_LENT,        /* address.family; fds, or error */
	BROKER_TYPE_COUNT,
};

/* Order of the descriptors of SETUP. */
enum { BROKER_DNS_UDP4, BROKER_DNS_TCP4, BROKER_DNS_UDP6, BROKER_DNS_TCP6, BROKER_DNS_COUNT };

/* What the relay is to look into; bits, chosen by the policy. */
enum broker_inspect {
	BROKER_INSPECT_NONE = 0,     /* bytes pass unseen, by splice(2) */
	BROKER_INSPECT_API = 1,      /* every HTTP request, and the name that TLS asks for */
	BROKER_INSPECT_DATABASE = 2, /* every statement is put to the monitor before the server */
};

/* The server's end of a TCP connection, as it comes with OPEN. */
enum broker_server {
	BROKER_SERVER_NONE,       /* the broker dials */
	BROKER_SERVER_CONNECTING, /* the monitor has dialled; DIALLED or FAILED will follow */
	BROKER_SERVER_CONNECTED,  /* the caller may have gone on: DIALLED is not told */
	BROKER_SERVER_COUNT,
};

enum broker_transport { BROKER_TCP = 1, BROKER_UDP };

/* One packet: this head, text_len bytes of text ending in a NUL (0: no text). */
struct broker_message {
	uint32_t type;                /* enum broker_type */
	int32_t error;                /* positive errno; 0 none */
	uint64_t id;                  /* connection */
	uint64_t ask;                 /* question of the broker's; chosen by it */
	uint64_t bytes_out, bytes_in; /* agent to server, server to agent */
	uint32_t listener;
	uint32_t transport;   /* enum broker_transport */
	uint32_t inspect;     /* enum broker_inspect */
	uint32_t action_type; /* enum action_type */
	uint32_t op;          /* enum action_op, query type, or port */
	uint32_t ttl_s;
	uint32_t address_count;
	uint32_t text_len;
	uint32_t statement_flags; /* of enum statement_flag; STATEMENT */
	uint32_t repeats; /* VERDICT of a STATEMENT: how many more of its class need no asking,
			     scoring/standing.h; REPEATED: how many did */
	struct net_address address; /* of the connection: the very one the agent chose */
	struct net_address addresses[BROKER_ADDRESSES_MAX];
};

/* A packet with its text and the descriptors that came with it. */
struct broker_packet {
	struct broker_message m;
	char text[BROKER_TEXT_MAX]; /* "" none; always NUL-terminated */
	int fds[BROKER_FDS_MAX];    /* owned by whoever receives; -1 none */
	unsigned fd_count;
};

const char *broker_type_name(uint32_t type);

/*
 * Sends @m with @text (NULL none; @text_len without its NUL) and @fds. Blocks unless the descriptor
 * does not. 0, -errno; -EMSGSIZE when the text is too long.
 */
int broker_send(int fd, struct broker_message *m, const char *text, size_t text_len, const int *fds,
		unsigned fd_count);
/*
 * One packet; @flags as recvmsg(2). 1, 0 at the end, -errno: -EAGAIN nothing there, -EPROTO not well formed (the
 * descriptors are closed). What @ret owned before is forgotten.
 */
int broker_receive(int fd, int flags, struct broker_packet *ret);
/* Whether head and length agree; pure. */
bool broker_valid(const struct broker_message *m, size_t packet_len);
/* Closes descriptors nobody took. */
void broker_packet_finish(struct broker_packet *p);
