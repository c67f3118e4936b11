/*
 * What keeps the store from growing for ever: rows that are old and of no more use are removed.
 *
 * Theory of operation. A thread looks at the start and then after each round's time, an hour in the server. Each table has a rule that names a bounded
 * number of rows, oldest first, and is run until none is left; every run is a write of its own (store.h) with a pause
 * after it, so that what is posted meanwhile waits for one of them at most. Servers on one store all do the same, by
 * turns: who comes second finds less. Nothing is in memory, so one that is stopped half way goes on at its next start.
 */
#pragma once

#include "control/metrics.h"
#include "control/store.h"

enum { UPKEEP_DAYS = 90, UPKEEP_ROUND_MS = 3600 * 1000 };

struct upkeep;

/* Starts the thread. What is older than @keep_days goes; 0: nothing but logins that are over and yesterday's feed.
 * It looks again @round_ms after it was done. NULL: no memory or no thread. */
struct upkeep *upkeep_new(unsigned keep_days, int64_t round_ms, struct store *store,
			  struct metrics *metrics);
/* Ends what is under way, and frees. NULL is fine. */
void upkeep_stop(struct upkeep *u);
