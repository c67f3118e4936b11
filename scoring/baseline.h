/*
 * What is usual for an agent: learned from allowed actions only, kept between
 * sessions. Everything is bounded; a set that is full stops calling things new.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/action.h"

enum {
	BASELINE_MIN_ACTIONS = 50, /* below, nothing is unusual yet */
	BASELINE_MIN_SAMPLES = 20, /* of one measure, before a deviation from it means anything */
	BASELINE_SET_SIZE = 4096,
	BASELINE_HOURS = 24,
};

enum baseline_set {
	BASELINE_DIRS,
	BASELINE_HOSTS,
	BASELINE_PROGRAMS,
	BASELINE_STATEMENTS, /* shapes, literals left out */
	BASELINE_SET_COUNT,
};

/* Open addressing; 0 is an empty slot, which no hash of ours is. */
struct baseline_hashes {
	uint32_t count;
	uint64_t slot[BASELINE_SET_SIZE];
};

/* Welford's running mean and sum of squared deviations. */
struct baseline_moments {
	uint64_t n;
	double mean, m2;
};

struct baseline {
	uint64_t actions;
	uint64_t by_type[ACTION_TYPE_COUNT];
	uint64_t hours[BASELINE_HOURS];                    /* local hour of the action */
	struct baseline_moments size[ACTION_TYPE_COUNT];   /* bits of the size in bytes */
	struct baseline_moments argv;                      /* bits of argv's length */
	struct baseline_moments minute[ACTION_TYPE_COUNT]; /* actions in a minute that had any */
	struct baseline_hashes sets[BASELINE_SET_COUNT];
	/* the minute being counted; not kept between sessions */
	uint64_t minute_number;
	uint32_t minute_count[ACTION_TYPE_COUNT];
};

void baseline_learn(struct baseline *b, const struct action *a);

static inline bool baseline_ready(const struct baseline *b)
{
	return b->actions >= BASELINE_MIN_ACTIONS;
}

/* False only when it is certain that the set has never seen @hash. */
bool baseline_knows(const struct baseline *b, enum baseline_set set, uint64_t hash);
void baseline_add(struct baseline *b, enum baseline_set set, uint64_t hash);

void baseline_moments_add(struct baseline_moments *m, double value);
/* How far @value lies above the mean, in squared standard deviations (at least 1 unit each). */
double baseline_excess(const struct baseline_moments *m, double value);

/* Sizes are compared by their number of bits: twice as large is one more. */
static inline double baseline_bits(uint64_t value)
{
	return value ? (double)(64 - __builtin_clzll(value)) : 0.0;
}

unsigned baseline_hour(const struct action *a); /* local hour 0..23 */
