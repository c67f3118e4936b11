/*
 * The segment of a log, shared by its writer and its reader. Private to base/eventlog*.c.
 *
 * Theory of operation. events.ring is one page of header and EVENTLOG_RING_SIZE bytes of
 * records. Positions are counters that only grow; their remainder by EVENTLOG_RING_SIZE
 * is the place. A record is a frame {size, kind} and a packed event, both
 * multiples of 8, and never goes around the end: a pad frame fills what is left.
 *
 *	tail <= head <= begun <= tail + EVENTLOG_RING_SIZE
 *
 * [tail, head) is published and the reader's; [head, begun) is the record under
 * way, complete in bytes but not yet answered for; the rest is the writer's. The
 * writer alone moves begun and head, the reader alone moves tail. begun moves
 * only once the record is whole, so recovery never meets half a record.
 *
 * The reader trusts none of it: it copies a record out before it looks inside,
 * and a frame that makes no sense costs the records up to head, which a notice
 * in the log then says.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/event.h"

#define EVENTLOG_RING_SIZE (UINT64_C(1) << 20)
enum { EVENTLOG_HEADER_SIZE = 4096, EVENTLOG_CACHE_LINE = 64 };

enum eventlog_frame_kind {
	FRAME_EVENT = 0x45564e54, /* so that zeroes are no frame */
	FRAME_PAD = 0x20504144,
};

struct eventlog_frame {
	uint32_t size; /* with this header */
	uint32_t kind;
};

/* Each side's words have a cache line of their own. */
struct eventlog_ring {
	char magic[8];
	uint32_t version, header_size;
	uint64_t data_size;
	_Alignas(EVENTLOG_CACHE_LINE) _Atomic uint64_t begun; /* writer */
	_Atomic uint64_t head;                                /* writer */
	_Atomic uint64_t refused;                             /* writer */
	_Alignas(EVENTLOG_CACHE_LINE) _Atomic uint64_t tail;  /* reader */
	_Atomic uint32_t sleeping; /* set by the reader, cleared by either */
	_Atomic uint32_t stuck;    /* reader: what is published cannot be written */
	_Alignas(EVENTLOG_CACHE_LINE) _Atomic uint64_t seq; /* last number given out, by either */
	_Alignas(EVENTLOG_HEADER_SIZE) unsigned char data[];
};
_Static_assert(sizeof(struct eventlog_ring) == EVENTLOG_HEADER_SIZE, "the data begin on a page");
_Static_assert((EVENTLOG_RING_SIZE & (EVENTLOG_RING_SIZE - 1)) == 0, "places are remainders");
_Static_assert(EVENTLOG_RING_SIZE >= 4 * (uint64_t)EVENT_PACKED_MAX, "several events fit");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock in shared memory would survive its holder");

/* The place of a position, and how far it is from there to the segment's end. */
static inline unsigned char *eventlog_ring_at(struct eventlog_ring *ring, uint64_t position)
{
	return ring->data + (position & (EVENTLOG_RING_SIZE - 1));
}

static inline uint64_t eventlog_ring_to_end(uint64_t position)
{
	return EVENTLOG_RING_SIZE - (position & (EVENTLOG_RING_SIZE - 1));
}

/* Maps DIR/events.ring; eventlog_ring_unmap is the caller's to call. 0, -errno. */
int eventlog_ring_map(int dirfd, struct eventlog_ring **ret, struct err *err);
/* NULL is nothing. */
void eventlog_ring_unmap(struct eventlog_ring *ring);
