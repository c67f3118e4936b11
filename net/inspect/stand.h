/*
 * The verdict that stands for a connection: what has been allowed a moment ago, and what follows
 * that is no riskier (scoring/standing.h), passes and is counted. The monitor grants it, bounded in
 * number and time; what passed is told with one message.
 */
#pragma once

#include "net/broker_queue.h"
#include "net/wire/wire.h"
#include "scoring/standing.h"

enum { STAND_TEXT = 256 };

struct stand {
	unsigned left;   /* statements that may still pass */
	unsigned passed; /* not told yet */
	uint64_t until_ms;
	struct standing_risk risk;
	uint32_t flags;
	char text[STAND_TEXT]; /* of the first, cut */
	char database[WIRE_NAME_SIZE];
};

/* Granted: @count statements from @now_ms on. @asked: of the statement that was asked about, as it was then. */
void stand_begin(struct stand *s, const struct stand *asked, unsigned count, uint64_t now_ms);
/* What would stand, were @wire's question allowed. */
void stand_of(const struct wire_conn *wire, const struct history *empty, struct stand *ret);
/* Whether @wire's question needs no asking; it is counted then. */
bool stand_passes(struct stand *s, const struct wire_conn *wire, const struct history *empty,
		  uint64_t now_ms);
/* Tells the monitor what passed. 0, -errno as broker_queue_send. */
int stand_tell(struct stand *s, struct broker_queue *out, uint64_t id, const char *protocol);
