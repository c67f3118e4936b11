/* The five dimensions, one file each. Every one is pure and never lowers what it was given. */
#pragma once

#include "base/action.h"
#include "scoring/history.h"

/* The strongest of what a dimension found; why is static text. */
struct finding {
	float x;
	const char *why;
};

static inline void finding_raise(struct finding *f, float x, const char *why)
{
	if (x > f->x) {
		f->x = x;
		f->why = why;
	}
}

/* 0 at @low and below, 1 at @high and above, a line between. */
static inline float finding_ramp(float value, float low, float high)
{
	if (value <= low)
		return 0;
	return value >= high ? 1 : (value - low) / (high - low);
}

struct finding severity_of(const struct action *a);
struct finding sensitivity_of(const struct action *a);
struct finding payload_of(const struct action *a, const struct history *h);
/* The most that being fast alone can find in an action that is no file's. */
float frequency_most(enum action_type type);
/* What an hour at which the agent never works adds. */
static const float context_hour_most = .25f;

struct finding frequency_of(const struct action *a, const struct history *h);
struct finding context_of(const struct action *a, const struct history *h);
