/*
 * Five dimensions, each 0..1: score = 1 - prod(1 - w_d * x_d). Pure: the
 * history is a value handed in, the clock comes with the action.
 */
#pragma once

#include "base/action.h"
#include "base/verdict.h"
#include "scoring/history.h"

/*
 * Scores @a against what is known of the agent. Does not change @h. No
 * allocation, no system call; at most a microsecond for a file action.
 */
void score_action(const struct action *a, const struct history *h, struct score *ret);

/* The combination alone, and the weight of one dimension: for tests and explanations. */
float score_total(const float x[static DIMENSION_COUNT]);
float score_weight(enum dimension d);
