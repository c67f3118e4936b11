#include "scoring/baseline.h"

#include <assert.h>

#include "scoring/resource.h"
#include "scoring/sql.h"

enum {
	SET_FULL = BASELINE_SET_SIZE / 4 * 3,
	SET_PROBES = 32, /* a run of chosen collisions must not cost more than this */
};
static_assert((BASELINE_SET_SIZE & (BASELINE_SET_SIZE - 1)) == 0, "slots are found by a mask");

static const uint64_t minute_ns = UINT64_C(60000000000);

bool baseline_knows(const struct baseline *b, enum baseline_set set, uint64_t hash)
{
	const struct baseline_hashes *s = &b->sets[set];

	if (s->count >= SET_FULL)
		return true;
	for (unsigned i = 0; i < SET_PROBES; i++) {
		uint64_t found = s->slot[(hash + i) & (BASELINE_SET_SIZE - 1)];

		if (found == hash)
			return true;
		if (!found)
			return false;
	}
	return true;
}

void baseline_add(struct baseline *b, enum baseline_set set, uint64_t hash)
{
	struct baseline_hashes *s = &b->sets[set];

	if (s->count >= SET_FULL || !hash)
		return;
	for (unsigned i = 0; i < SET_PROBES; i++) {
		uint64_t *slot = &s->slot[(hash + i) & (BASELINE_SET_SIZE - 1)];

		if (*slot == hash)
			return;
		if (!*slot) {
			*slot = hash;
			s->count++;
			return;
		}
	}
}

void baseline_moments_add(struct baseline_moments *m, double value)
{
	double delta = value - m->mean;

	m->n++;
	m->mean += delta / (double)m->n;
	m->m2 += delta * (value - m->mean);
}

double baseline_excess(const struct baseline_moments *m, double value)
{
	if (m->n < BASELINE_MIN_SAMPLES || value <= m->mean)
		return 0;
	double variance = m->m2 / (double)(m->n - 1);
	double delta = value - m->mean;

	/* An agent of very even habits must not alarm over one bit. */
	return delta * delta / (variance > 1 ? variance : 1);
}

unsigned baseline_hour(const struct action *a)
{
	int64_t minutes = (int64_t)(a->wall_ns / minute_ns) + a->utc_offset_min;

	return (unsigned)((minutes / 60 % BASELINE_HOURS + BASELINE_HOURS) % BASELINE_HOURS);
}

static void learn_minute(struct baseline *b, const struct action *a)
{
	uint64_t number = a->mono_ns / minute_ns;

	if (number != b->minute_number) {
		for (unsigned t = 0; t < ACTION_TYPE_COUNT; t++) {
			if (b->minute_count[t])
				baseline_moments_add(&b->minute[t], b->minute_count[t]);
			b->minute_count[t] = 0;
		}
		b->minute_number = number;
	}
	b->minute_count[a->type]++;
}

void baseline_learn(struct baseline *b, const struct action *a)
{
	b->actions++;
	b->by_type[a->type]++;
	b->hours[baseline_hour(a)]++;
	learn_minute(b, a);
	if (a->size_bytes >= 0)
		baseline_moments_add(&b->size[a->type], baseline_bits((uint64_t)a->size_bytes));

	switch (a->type) {
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
		baseline_add(b, BASELINE_DIRS, resource_hash_dir(a->resource));
		break;
	case ACTION_CODE_EXECUTION:
		baseline_add(b, BASELINE_PROGRAMS,
			     resource_hash(a->resource, __builtin_strlen(a->resource)));
		if (a->argv)
			baseline_moments_add(&b->argv, baseline_bits(a->argv_len));
		break;
	case ACTION_API_CALL:
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
	case ACTION_NETWORK_REQUEST: {
		struct resource_host host = resource_host(a->resource);

		baseline_add(b, BASELINE_HOSTS, resource_hash_host(&host));
		if (a->statement)
			baseline_add(b, BASELINE_STATEMENTS, sql_fingerprint(a->statement));
		break;
	}
	case ACTION_NONE:
	case ACTION_TYPE_COUNT:
		break;
	}
}
