/* Does this fit what the agent usually does? Silent until there is a baseline to differ from. */
#include <string.h>

#include "scoring/dimensions.h"
#include "scoring/history_impl.h"
#include "scoring/resource.h"

/* Several novelties at once count more than the strongest, and never less. */
static void novelty(struct finding *f, float *strongest, float x, const char *why)
{
	f->x = 1 - (1 - f->x) * (1 - x);
	if (x > *strongest) {
		*strongest = x;
		f->why = why;
	}
}

static bool unusual_hour(const struct baseline *b, unsigned hour)
{
	/* The neighbours belong to it: work that runs past the hour is no news. */
	return !b->hours[hour] && !b->hours[(hour + 1) % BASELINE_HOURS] &&
	       !b->hours[(hour + BASELINE_HOURS - 1) % BASELINE_HOURS];
}

struct finding context_of(const struct action *a, const struct history *h)
{
	const struct baseline *b = &h->baseline;
	struct finding f = { 0 };
	float strongest = 0;

	if (!baseline_ready(b))
		return f;
	if (!b->by_type[a->type])
		novelty(&f, &strongest, .40f, "a type of action this agent has never taken");
	if (unusual_hour(b, baseline_hour(a)))
		novelty(&f, &strongest, context_hour_most,
			"an hour at which this agent never works");

	switch (a->type) {
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
		/* What the session makes lies where it made it, and libraries lie where they lie. */
		if (a->provenance == PROVENANCE_CREATED || a->op == OP_CREATE ||
		    a->op == OP_MKDIR ||
		    (a->provenance == PROVENANCE_SYSTEM && a->type == ACTION_FILE_READ))
			break;
		if (!baseline_knows(b, BASELINE_DIRS, resource_hash_dir(a->resource)))
			novelty(&f, &strongest, .15f, "a directory new to this agent");
		break;
	case ACTION_CODE_EXECUTION:
		if (!baseline_knows(b, BASELINE_PROGRAMS,
				    resource_hash(a->resource, strlen(a->resource))))
			novelty(&f, &strongest, .30f, "a program new to this agent");
		break;
	case ACTION_API_CALL:
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
	case ACTION_NETWORK_REQUEST: {
		struct resource_host host = resource_host(a->resource);

		if (!host.local && !baseline_knows(b, BASELINE_HOSTS, resource_hash_host(&host)))
			novelty(&f, &strongest, .50f, "a host new to this agent");
		break;
	}
	case ACTION_NONE:
	case ACTION_TYPE_COUNT:
		break;
	}
	return f;
}
