/* What was decided, and why. Combining two verdicts is taking the larger. */
#pragma once

#include <stdbool.h>

enum verdict {
	VERDICT_ALLOW,
	VERDICT_ALERT, /* allowed, logged as an alert */
	VERDICT_PAUSE, /* held for a person */
	VERDICT_ROLLBACK,
	VERDICT_BLOCK, /* refused; nothing happened */
	VERDICT_COUNT,
};

/* The step of policy-and-scoring.md that decided. */
enum reason {
	REASON_NONE,        /* step 5 */
	REASON_AGENT_STATE, /* 1: agent terminated or paused */
	REASON_TYPE,        /* 2: action type not allowed */
	REASON_BLOCKED,     /* 2: resource blocked */
	REASON_NOT_ALLOWED, /* 2: resource not allowed */
	REASON_MAX_RISK,    /* 2: score above max_risk_score */
	REASON_SPAWN,       /* 2: this policy lets the agent start no program */
	REASON_RULE,        /* 3: a rule */
	REASON_THRESHOLD,   /* 4: score at or above risk_threshold */
	REASON_RATE,        /* 4: more actions a minute than allowed */
	REASON_INTERNAL,    /* an error of ours; always a block */
	REASON_COUNT,
};

enum dimension {
	DIMENSION_SEVERITY,
	DIMENSION_SENSITIVITY,
	DIMENSION_PAYLOAD,
	DIMENSION_FREQUENCY,
	DIMENSION_CONTEXT,
	DIMENSION_COUNT,
};

/* Each x is 0..1; why points to static text or into the policy, NULL where x is 0. */
struct score {
	float total; /* 0..1 */
	float x[DIMENSION_COUNT];
	const char *why[DIMENSION_COUNT];
};

struct decision {
	enum verdict verdict;
	enum reason reason;
	bool observed;  /* --mode observe turned a block into this alert */
	bool ambient;   /* counted, not logged one by one, not scored */
	int deny_errno; /* positive; what a blocked call returns */
	const char *
		rule; /* rule name, or the pattern that bit; NULL: none. Borrowed from the policy */
	const char *file; /* policy file that holds it; NULL: none */
	unsigned line;    /* in that file; 0: none */
	struct score score;
};

/* @x as it may be written down, 0..1. What is no number counts as the worst. */
float score_unit(float x);

const char *verdict_name(enum verdict verdict); /* "allow" "alert" "pause" "rollback" "block" */
const char *reason_name(enum reason reason);    /* "blocked", "not_allowed" … */
const char *dimension_name(enum dimension d);   /* "action_severity" … "context" */
