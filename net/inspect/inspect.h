/*
 * vsandbox-inspect: the process that sees what goes to a database. It is handed
 * both ends of a connection and holds nothing else: no file, no program, no way to
 * open a socket. What it asks, and what it says, goes to the broker over
 * net/broker.h's protocol; the monitor decides.
 *
 *   broker                                  inspector
 *   OPEN {id, address, inspect, name; fds: agent's end, server's end} -->
 *                                       <-- CLASSIFIED {protocol NUL detail}
 *                                       <-- STATEMENT {ask, action_type, op, flags;
 *                                                      protocol NUL database NUL text}
 *   VERDICT {id, ask, error, repeats; why} -->
 *                                       <-- REPEATED {repeats, …as STATEMENT}
 *   CUT {id} -->
 *                                       <-- CLOSED {id, bytes; why}
 *
 * The broker holds both ends too: a connection that has ended with an error, but without words for the client, it
 * resets on both sides, and one that is to be cut at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/broker.h"
#include "net/inspect/stand.h"
#include "net/wire/wire.h"

struct inspected;

struct inspect_loop {
	int channel_fd, epoll_fd;
	struct broker_queue out;  /* to the broker */
	bool awaits_room;         /* the set tells when there is, for what is kept in it */
	struct inspected **by_id; /* owned; buckets */
	struct wire_setup setup;
	struct history *empty; /* owned; what statements are weighed against */
	uint64_t now_ms;       /* of this batch */
	bool passing; /* some connection may have passed statements that are not told yet */
	bool over;    /* the broker is gone */
};

/* connection.c. Takes the packet's descriptors; a connection that cannot be made is closed. */
void inspected_open(struct inspect_loop *l, struct broker_packet *p);
void inspected_verdict(struct inspect_loop *l, const struct broker_packet *p);
void inspected_cut(struct inspect_loop *l, uint64_t id);
/* @tag: what epoll was given for a descriptor of a connection. */
void inspected_ready(struct inspect_loop *l, void *tag, uint32_t events);
/* Tells what passed under verdicts that stand no longer. */
void inspected_tick(struct inspect_loop *l);
/* After a batch of events, which may name a connection more than once. */
void inspected_bury(struct inspect_loop *l);

/* confine.c: from now on nothing but the descriptors held, for every thread. 0, -errno. */
int confine_inspector(void);
