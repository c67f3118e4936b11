/*
 * Is the agent unusually fast? Two questions with different weight: how fast it
 * destroys what it found, and how fast it works at all. A build opens and makes
 * ten thousand files a minute, so speed alone never says much.
 */
#include <assert.h>

#include "scoring/dimensions.h"
#include "scoring/history_impl.h"

enum { MINUTES_KNOWN = 5 }; /* minutes of a type before its own rate counts */

struct rate_row {
	float per_minute; /* no surprise from an agent never seen */
	float most;       /* x at four times that and beyond */
	const char *why;
};

static const struct rate_row rates[] = {
	[ACTION_NONE] = { 6000, .20f, "acts unusually fast" },
	[ACTION_FILE_READ] = { 12000, .25f, "reads unusually fast" },
	[ACTION_FILE_WRITE] = { 6000, .30f, "writes unusually fast" },
	[ACTION_FILE_DELETE] = { 6000, .30f, "deletes unusually fast" },
	[ACTION_API_CALL] = { 120, .60f, "calls services unusually fast" },
	[ACTION_DATABASE_QUERY] = { 600, .45f, "queries unusually fast" },
	[ACTION_DATABASE_WRITE] = { 240, .60f, "writes to a database unusually fast" },
	[ACTION_CODE_EXECUTION] = { 3000, .30f, "starts programs unusually fast" },
	[ACTION_NETWORK_REQUEST] = { 240, .60f, "connects unusually fast" },
};
static_assert(sizeof(rates) / sizeof(rates[0]) == ACTION_TYPE_COUNT, "every type has a rate");

/* A window of a burst: nothing at @low actions, the most at @high, the present one included. */
struct burst_row {
	enum window_span span;
	float low, high;
};

static const struct burst_row bursts[] = {
	{ WINDOW_SECOND, 1, 11 },
	{ WINDOW_TEN, 8, 40 },
	{ WINDOW_MINUTE, 25, 120 },
};

/* Share of a minute's actions that may fall into the window: work comes in gusts. */
static const float window_share[] = {
	[WINDOW_SECOND] = 1.0f / 6,
	[WINDOW_TEN] = 1.0f / 2,
	[WINDOW_MINUTE] = 1,
};
static_assert(sizeof(window_share) / sizeof(window_share[0]) == WINDOW_COUNT, "share per window");

static float count_of(const struct history *h, enum window_span span, unsigned counter,
		      const struct action *a)
{
	return 1 +
	       (float)windows_count(&h->windows, span, (enum window_counter)counter, a->mono_ns);
}

static float burst(const struct history *h, enum window_counter counter, const struct action *a)
{
	float x = 0;

	for (unsigned i = 0; i < sizeof(bursts) / sizeof(bursts[0]); i++) {
		float part = finding_ramp(count_of(h, bursts[i].span, counter, a), bursts[i].low,
					  bursts[i].high);

		x = part > x ? part : x;
	}
	return x;
}

static float usual_per_minute(const struct history *h, enum action_type type)
{
	const struct baseline_moments *m = &h->baseline.minute[type];
	float fresh = rates[type].per_minute;

	if (!baseline_ready(&h->baseline) || m->n < MINUTES_KNOWN)
		return fresh;
	/* A slow agent is watched more closely, but never so that an ordinary build stands out. */
	float own = (float)m->mean * 4;
	return own > fresh / 4 ? own : fresh / 4;
}

float frequency_most(enum action_type type)
{
	float all = rates[ACTION_NONE].most;

	return rates[type].most > all ? rates[type].most : all;
}

struct finding frequency_of(const struct action *a, const struct history *h)
{
	const struct rate_row *row = &rates[a->type];
	struct finding f = { 0 };
	float usual = usual_per_minute(h, a->type);

	for (unsigned s = 0; s < WINDOW_COUNT; s++) {
		float n = count_of(h, (enum window_span)s, a->type, a);
		float most = usual * window_share[s];

		finding_raise(&f, row->most * finding_ramp(n, most, 4 * most), row->why);
	}
	if (a->provenance == PROVENANCE_CREATED)
		return f;
	if (a->type == ACTION_FILE_DELETE)
		finding_raise(&f, burst(h, COUNTER_DELETE_FOUND, a), "deletes many files it found");
	else if (a->op == OP_TRUNCATE || a->op == OP_RENAME)
		/* A formatter rewrites a whole tree: noticed, no more. */
		finding_raise(&f, .40f * burst(h, COUNTER_OVERWRITE_FOUND, a),
			      "replaces many files it found");
	return f;
}
