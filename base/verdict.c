#include "base/verdict.h"

static const char *const verdict_names[] = {
	[VERDICT_ALLOW] = "allow",       [VERDICT_ALERT] = "alert", [VERDICT_PAUSE] = "pause",
	[VERDICT_ROLLBACK] = "rollback", [VERDICT_BLOCK] = "block",
};
_Static_assert(sizeof(verdict_names) / sizeof(verdict_names[0]) == VERDICT_COUNT, "a name each");

static const char *const reason_names[] = {
	[REASON_NONE] = "none",
	[REASON_AGENT_STATE] = "agent_state",
	[REASON_TYPE] = "type",
	[REASON_BLOCKED] = "blocked",
	[REASON_NOT_ALLOWED] = "not_allowed",
	[REASON_MAX_RISK] = "max_risk",
	[REASON_SPAWN] = "spawn",
	[REASON_RULE] = "rule",
	[REASON_THRESHOLD] = "threshold",
	[REASON_RATE] = "rate",
	[REASON_INTERNAL] = "internal",
};
_Static_assert(sizeof(reason_names) / sizeof(reason_names[0]) == REASON_COUNT, "a name each");

static const char *const dimension_names[] = {
	[DIMENSION_SEVERITY] = "action_severity", [DIMENSION_SENSITIVITY] = "resource_sensitivity",
	[DIMENSION_PAYLOAD] = "payload_anomaly",  [DIMENSION_FREQUENCY] = "frequency",
	[DIMENSION_CONTEXT] = "context",
};
_Static_assert(sizeof(dimension_names) / sizeof(dimension_names[0]) == DIMENSION_COUNT,
	       "a name each");

float score_unit(float x)
{
	if (x >= 0.0f && x <= 1.0f)
		return x;
	return x < 0.0f ? 0.0f : 1.0f;
}

const char *verdict_name(enum verdict verdict)
{
	return (unsigned)verdict < VERDICT_COUNT ? verdict_names[verdict] : "invalid";
}

const char *reason_name(enum reason reason)
{
	return (unsigned)reason < REASON_COUNT ? reason_names[reason] : "invalid";
}

const char *dimension_name(enum dimension d)
{
	return (unsigned)d < DIMENSION_COUNT ? dimension_names[d] : "invalid";
}
