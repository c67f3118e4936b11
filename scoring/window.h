/*
 * Sliding windows of 1 s, 10 s and 60 s over a few counters.
 *
 * Exactness: a window is 64 ticks (1/64 of its length each) and a count covers
 * the running tick and the 64 before it. So it never misses an action of the
 * window and may include some that are up to one tick too old: 15.6 ms, 156 ms
 * and 0.94 s. Erring to the strict side is what a limit wants.
 */
#pragma once

#include <stdint.h>

#include "base/action.h"

enum window_span { WINDOW_SECOND, WINDOW_TEN, WINDOW_MINUTE, WINDOW_COUNT };

/* The first ACTION_TYPE_COUNT counters are the types; ACTION_NONE's counts all of them. */
enum window_counter {
	COUNTER_ALL = ACTION_NONE,
	COUNTER_DELETE_FOUND = ACTION_TYPE_COUNT, /* deletes of what this session did not make */
	COUNTER_OVERWRITE_FOUND,                  /* truncates and renames of the same */
	COUNTER_COUNT,
};

enum { WINDOW_TICKS = 64, WINDOW_SLOTS = WINDOW_TICKS + 1 };

struct window {
	uint64_t tick; /* number of the newest slot; 0: nothing noted yet */
	uint32_t sum[COUNTER_COUNT];
	uint32_t slot[WINDOW_SLOTS][COUNTER_COUNT];
};

struct windows {
	struct window span[WINDOW_COUNT];
};

/* Adds one to every counter whose bit is set in @counters. A clock that steps back counts as still. */
void windows_note(struct windows *w, uint32_t counters, uint64_t mono_ns);

/* What the counter stands at for somebody who looks at @mono_ns. */
unsigned windows_count(const struct windows *w, enum window_span span, enum window_counter counter,
		       uint64_t mono_ns);
