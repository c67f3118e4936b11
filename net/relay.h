/*
 * The hook of a protocol's inspector in a relayed connection. Both ends of the relay
 * are in the broker; an inspector sees bytes before they go on, holds them, answers
 * in the server's place, asks the monitor. It is pure but for the relay_* calls: no
 * system call, no clock, memory bounded by its state.
 *
 * Without an inspector bytes move by splice(2) and nobody sees them. With one they
 * come to `bytes` in order, each direction for itself, and go on as far as it says.
 *
 * Who calls what, when:
 *   begin      once, when both ends are connected
 *   bytes      when there are new bytes, or old ones held and something has changed
 *              (a verdict came, relay_resume): @buf is all that is held
 *   verdict    the monitor's answer to relay_ask, in order of the questions
 *   end        once, however the connection ends; asks still open are forgotten
 * Callbacks never come from inside a relay_* call.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/action.h"
#include "net/address.h"
#include "net/broker.h"

struct relay; /* opaque: one connection */

enum relay_direction { RELAY_TO_SERVER, RELAY_TO_CLIENT, RELAY_DIRECTIONS };

enum {
	RELAY_HELD_MAX = 65536, /* bytes an inspector can hold in a direction; more: reset */
	RELAY_ASKS_MAX = 64,    /* open questions of a connection */
};

/* What is known when a connection begins. Strings are borrowed until end. */
struct relay_peer {
	const char *name;           /* as resolved; "" an address nobody resolved */
	struct net_address address; /* of the server, with its port */
	uint32_t inspect;           /* enum broker_inspect: what the policy wants */
};

struct relay_inspector {
	const char *name;  /* for CLASSIFIED and messages */
	size_t state_size; /* zeroed bytes per connection; 0 none */

	/* 0: inspect this connection; 1: not mine, try the next inspector; -errno: reset. */
	int (*begin)(void *state, struct relay *r, const struct relay_peer *peer);
	/*
	 * Number of leading bytes of @buf that go on now, 0..@len; the rest is held. After @len with
	 * relay_pass bytes are no longer shown. -errno: reset both ends. @eof: no more will come in
	 * this direction; what is still held then is dropped.
	 */
	ptrdiff_t (*bytes)(void *state, struct relay *r, enum relay_direction direction,
			   const uint8_t *buf, size_t len, bool eof);
	/* @error 0: it may go on; else the errno of the refusal and @why, a line for people. */
	void (*verdict)(void *state, struct relay *r, uint64_t ask, int error, const char *why);
	void (*end)(void *state); /* NULL: nothing to release */
};

/*
 * The next @len bytes held in @direction are dropped, as if they had gone on: a refused
 * statement. Within `bytes` what it returns counts from behind them. -ERANGE: fewer are held.
 */
int relay_drop(struct relay *r, enum relay_direction direction, size_t len);
/* Bytes of ours in @direction, before any that are held. -ENOBUFS: more than RELAY_HELD_MAX. */
int relay_inject(struct relay *r, enum relay_direction direction, const void *bytes, size_t len);
/*
 * Puts a statement to the monitor: @type and @op as they are judged, @text is protocol NUL database
 * NUL statement, of which at most
 * BROKER_TEXT_MAX - 1 bytes are looked at. Returns through @ret_ask what verdict will name.
 * -EBUSY: RELAY_ASKS_MAX are open.
 */
int relay_ask(struct relay *r, enum action_type type, enum action_op op, const char *text,
	      size_t len, uint64_t *ret_ask);
/* Says what it is: protocol ("tls", "http/1.1", "postgresql"), detail (SNI, request line; "" none). */
void relay_classified(struct relay *r, const char *protocol, const char *detail);
/* Nothing more to see in either direction: from now on by splice(2). */
void relay_pass(struct relay *r);
/* `bytes` is to be called again for @direction though nothing new came. */
void relay_resume(struct relay *r, enum relay_direction direction);
/* Ends the connection with a reset on both sides. */
void relay_reset(struct relay *r);

/* The inspectors, tried in order until one takes the connection; NULL-terminated. */
extern const struct relay_inspector *const relay_inspectors[];
