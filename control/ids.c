#include "control/ids.h"

#include <stdatomic.h>
#include <time.h>

enum { SEQUENCE_BITS = IDS_NODE_SHIFT };

static const int64_t epoch_ms = 1704067200000; /* 2024-01-01 UTC */

/* One counter for the process, as a clock is one for the machine: time in the upper bits, sequence below. */
static _Atomic int64_t last;
static _Atomic unsigned own_node;

void ids_set_node(unsigned node)
{
	own_node = node % IDS_NODES;
}

unsigned ids_node(void)
{
	return own_node;
}

int64_t ids_now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t ids_at(int64_t wall_us)
{
	int64_t ms = wall_us / 1000 - epoch_ms;
	return ms < 0 ? 0 : ms << IDS_TIME_SHIFT;
}

int64_t ids_next(void)
{
	int64_t now = (ids_now_us() / 1000 - epoch_ms) << SEQUENCE_BITS;
	int64_t seen = atomic_load(&last), next;
	do {
		next = seen + 1 > now ? seen + 1 : now;
	} while (!atomic_compare_exchange_weak(&last, &seen, next));
	int64_t ms = next >> SEQUENCE_BITS, sequence = next & ((1 << SEQUENCE_BITS) - 1);
	return ms << IDS_TIME_SHIFT | (int64_t)own_node << SEQUENCE_BITS | sequence;
}
