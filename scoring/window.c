#include "scoring/window.h"

#include <assert.h>
#include <string.h>

static const uint64_t tick_ns[] = {
	[WINDOW_SECOND] = UINT64_C(1000000000) / WINDOW_TICKS,
	[WINDOW_TEN] = UINT64_C(10000000000) / WINDOW_TICKS,
	[WINDOW_MINUTE] = UINT64_C(60000000000) / WINDOW_TICKS,
};
static_assert(sizeof(tick_ns) / sizeof(tick_ns[0]) == WINDOW_COUNT, "a tick for every window");
static_assert(COUNTER_COUNT <= 32, "counters are named by a 32-bit set");

/* Ticks are numbered from WINDOW_SLOTS so that 0 can mean "never". */
static uint64_t tick_of(enum window_span span, uint64_t mono_ns)
{
	return mono_ns / tick_ns[span] + WINDOW_SLOTS;
}

static void window_advance(struct window *w, uint64_t tick)
{
	if (tick <= w->tick)
		return;
	if (tick - w->tick >= WINDOW_SLOTS) {
		memset(w->sum, 0, sizeof(w->sum));
		memset(w->slot, 0, sizeof(w->slot));
		w->tick = tick;
		return;
	}
	while (w->tick < tick) {
		uint32_t *slot = w->slot[++w->tick % WINDOW_SLOTS];

		for (unsigned c = 0; c < COUNTER_COUNT; c++)
			w->sum[c] -= slot[c];
		memset(slot, 0, sizeof(w->slot[0]));
	}
}

void windows_note(struct windows *w, uint32_t counters, uint64_t mono_ns)
{
	for (unsigned s = 0; s < WINDOW_COUNT; s++) {
		struct window *span = &w->span[s];

		window_advance(span, tick_of((enum window_span)s, mono_ns));
		for (uint32_t set = counters; set; set &= set - 1) {
			unsigned c = (unsigned)__builtin_ctz(set);

			span->slot[span->tick % WINDOW_SLOTS][c]++;
			span->sum[c]++;
		}
	}
}

unsigned windows_count(const struct windows *w, enum window_span span, enum window_counter counter,
		       uint64_t mono_ns)
{
	const struct window *win = &w->span[span];
	uint64_t tick = tick_of(span, mono_ns);
	uint32_t count = win->sum[counter];

	if (tick <= win->tick)
		return count;
	if (tick - win->tick >= WINDOW_SLOTS)
		return 0;
	/* The reader must not change the ring: it leaves out the slots that time has passed. */
	for (uint64_t t = win->tick + 1; t <= tick; t++)
		count -= win->slot[t % WINDOW_SLOTS][counter];
	return count;
}
