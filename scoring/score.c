#include "scoring/score.h"

#include <assert.h>

#include "scoring/dimensions.h"

/*
 * How much of the score a dimension can carry alone. The calibration in
 * docs/scoring.md holds for these figures together with the dimensions' tables;
 * the unit test scoring_calibration pins it.
 */
static const float weight[] = {
	[DIMENSION_SEVERITY] = 0.90f,
	[DIMENSION_SENSITIVITY] = 0.95f,
	[DIMENSION_PAYLOAD] = 0.85f,
	/* A burst of deletes alone alerts (0.70) without being refused (0.75, coding-agent). */
	[DIMENSION_FREQUENCY] = 0.45f,
	[DIMENSION_CONTEXT] = 0.50f,
};
static_assert(sizeof(weight) / sizeof(weight[0]) == DIMENSION_COUNT,
	      "every dimension has a weight");

float score_weight(enum dimension d)
{
	return weight[d];
}

float score_total(const float x[static DIMENSION_COUNT])
{
	float calm = 1;

	for (unsigned d = 0; d < DIMENSION_COUNT; d++)
		calm *= 1 - weight[d] * x[d];
	return 1 - calm;
}

void score_action(const struct action *a, const struct history *h, struct score *ret)
{
	const struct finding found[] = {
		[DIMENSION_SEVERITY] = severity_of(a),  [DIMENSION_SENSITIVITY] = sensitivity_of(a),
		[DIMENSION_PAYLOAD] = payload_of(a, h), [DIMENSION_FREQUENCY] = frequency_of(a, h),
		[DIMENSION_CONTEXT] = context_of(a, h),
	};

	for (unsigned d = 0; d < DIMENSION_COUNT; d++) {
		ret->x[d] = found[d].x;
		ret->why[d] = found[d].x > 0 ? found[d].why : NULL;
	}
	ret->total = score_total(ret->x);
}
