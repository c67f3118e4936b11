#include "scoring/history.h"

#include <assert.h>
#include <stdlib.h>

#include "scoring/history_impl.h"

static_assert(sizeof(struct history) <= 150 * 1024, "one history a session: it must stay small");

struct history *history_new(void)
{
	return calloc(1, sizeof(struct history));
}

void history_free(struct history *h)
{
	free(h);
}

static uint32_t counters_of(const struct action *a)
{
	uint32_t set = 1u << COUNTER_ALL | 1u << a->type;

	if (a->provenance == PROVENANCE_CREATED)
		return set;
	if (a->type == ACTION_FILE_DELETE)
		set |= 1u << COUNTER_DELETE_FOUND;
	else if (a->op == OP_TRUNCATE || a->op == OP_RENAME)
		set |= 1u << COUNTER_OVERWRITE_FOUND;
	return set;
}

void history_note(struct history *h, const struct action *a, bool allowed)
{
	windows_note(&h->windows, counters_of(a), a->mono_ns);
	if (allowed)
		baseline_learn(&h->baseline, a);
}

unsigned history_minute(const struct history *h, enum action_type type, uint64_t mono_ns)
{
	return windows_count(&h->windows, WINDOW_MINUTE, (enum window_counter)type, mono_ns);
}
