/*
 * What the parts of the monitor's end of the broker share: network_start.c has its beginning, network.c its
 * life, network_connection.c what is open and who waits, network_names.c the names, network_statement.c what
 * only shows on the wire. Private to network*.c; everything here wants the lock to be held.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/dns.h"
#include "net/names.h"
#include "sandbox/network.h"

enum { NETWORK_BUCKETS = 1024, NETWORK_VERDICTS = 16, NETWORK_SPARES = 16 };

struct opening;

/* How far the broker is. */
enum network_broker {
	NETWORK_ASLEEP, /* not started: nothing was sent to it */
	NETWORK_WAKING, /* told what it is for; READY or UNABLE will follow */
	NETWORK_AWAKE,
};

/* From its decision to its end. */
struct connection {
	struct connection *next; /* in its bucket */
	struct connection *next_held;
	uint64_t id;
	uint64_t notif_id;               /* held call; 0: answered */
	const struct listener *listener; /* that it came from */
	uint64_t deadline_ms;
	struct tracee task; /* of a held blocking call: with a handle of its own */
	/* Of a held call that is made here: a duplicate of its socket, owned; -1: the kernel makes it. */
	int call_fd;
	struct sockaddr_storage call_to;
	socklen_t call_len;
	bool call_blocks, calling; /* calling: made, and in progress */
	struct opening *opening;
	unsigned standing;            /* statements that may pass unasked, as last granted */
	bool waiting;                 /* counted in opening->waiting */
	uint64_t bytes_out, bytes_in; /* so far, as last told */
	struct action action;         /* its strings are the fields below */
	char resource[320], address[NET_ADDRESS_TEXT], protocol[64];
};

/* A name judged a moment ago. */
struct verdict_memory {
	char name[DNS_NAME_SIZE];
	uint64_t until_ms;
	int error;
};

struct network {
	struct watch *watch;
	int fd;         /* owned; -1: the broker is gone */
	int wake_fd[2]; /* a held call was added that the thread would look at too late */
	int bell_fd;    /* epoll set: dns_fds, while the broker is asleep; owned, -1 none */
	const struct network_plan *plan;
	bool resolver;
	uint64_t cookie;      /* of the network namespace */
	pthread_mutex_t lock; /* everything below */
	enum network_broker broker;
	uint64_t ready_by_ms; /* while it is waking */
	int dns_fds
		[BROKER_DNS_COUNT]; /* the resolver's sockets, until the broker has them; owned */
	unsigned dns_count;
	struct names *names;
	struct opening *openings[NETWORK_BUCKETS];
	struct connection *connections[NETWORK_BUCKETS];
	struct connection *held;
	uint64_t busy_until_ms; /* a call was held not long ago, another may follow */
	uint64_t wakes_ms;      /* when the thread looks by itself */
	unsigned connection_count;
	unsigned standing; /* of all connections */
	uint64_t last_connection;
	uint32_t last_opening;
	struct verdict_memory verdicts[NETWORK_VERDICTS];
	unsigned next_verdict;
	/* sockets of the host to be connected, [0] of IPv4, [1] of IPv6; owned */
	int spares[2][NETWORK_SPARES];
	unsigned spare_count[2];
	bool lending[2];    /* asked for, not here yet */
	int lend_errors[2]; /* errno of the last answer; 0 none */
	pthread_cond_t lent;
	struct broker_packet packet; /* of the thread */
};

/* Tells the broker, which is woken by the first word; @text NULL none. -ENETDOWN when there is none. */
int network_tell(struct network *n, struct broker_message *m, const char *text, const int *fds,
		 unsigned fd_count);
/* A socket of the sandbox's network at exactly this address; the agent cannot have it as well. -errno. */
int network_bound_socket(const struct net_address *a, int type);
/* Which network namespace a socket is of; 0 not known. */
uint64_t network_cookie(int fd);
/* The thread that hears the broker; @network: struct network. */
void *network_main(void *network);
/* There is no broker any more, as @what says to a person: whoever waits for it fails, and everybody after. */
void network_lost(struct network *n, const char *what);

/* network_start.c: tells the broker what it is for, by which it is started, and waits for nothing. -errno: lost. */
int network_wake(struct network *n);
/* It is set up. */
void network_ready(struct network *n);

/* What is to be looked into, bits of enum broker_inspect: follows from what the policy says. */
uint32_t network_inspection(const struct watch *watch);

/* network_connection.c. NULL: it is over. */
struct connection *network_connection_find(struct network *n, uint64_t id);
/* What the broker says of a connection. */
void network_connection_told(struct network *n, const struct broker_packet *p);
/* The broker is there: from now on calls are held as long as it may take to dial. */
void network_connection_dialling(struct network *n);
/* The broker is gone: whoever waits for it fails. */
void network_connection_refuse_held(struct network *n);
/* Held calls whose time is over, or whose caller has a signal to see to. */
void network_connection_look(struct network *n, uint64_t now_ms);
/* Listeners nobody has come to for a while are closed. */
void network_connection_sweep(struct network *n, uint64_t now_ms);
/* Milliseconds until the next held call is to be looked at. */
int network_connection_wait_ms(struct network *n);

/* network_lend.c: asks for the first sockets of the host; takes those that were lent. */
void network_lend_start(struct network *n);
void network_lend_told(struct network *n, struct broker_packet *p);
/*
 * Dials @to with a socket of the host that lies ready; waits for nothing. enum broker_server, with the socket in
 * @ret_fd, which the caller owns, unless it is BROKER_SERVER_NONE: none lay there. -errno: refused.
 */
int network_dial(struct network *n, const struct net_address *to, int *ret_fd);

/* network_names.c: a name the agent asks for; what it leads to. */
void network_names_asked(struct network *n, const struct broker_packet *p);
void network_names_found(struct network *n, const struct broker_packet *p);

/* network_statement.c: a request or statement that waits for its verdict; those that passed under one. */
void network_statement_asked(struct network *n, const struct broker_packet *p);
void network_statement_repeated(struct network *n, const struct broker_packet *p);
