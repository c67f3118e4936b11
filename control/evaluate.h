/*
 * The monitor's evaluator for what clients ask and post: the agent's profile and the rules of the
 * store as a policy, the agent's log as its history.
 *
 * Theory of operation. For each agent that was seen lately the evaluator keeps the policy made of profile and
 * rules (until either has a new version) and a history: the fold of the agent's actions in
 * the store. Both are caches of what the store says, so a server that starts, or one of several,
 * decides like any other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/actions.h"
#include "scoring/judge.h"

struct evaluator;
struct json_object;

struct inquiry {
	const char *type; /* one of the words of the API, older clients' included */
	const char *resource;
	struct json_object *payload; /* NULL none */
	int64_t at_us;
};

struct evaluation {
	enum verdict verdict;
	enum reason why;
	double risk;
	char breakdown[BREAKDOWN_SIZE]; /* JSON text */
	char reason[REASON_SIZE];       /* a sentence */
	char rule[128];                 /* the rule or pattern that bit; "" none */
};

struct evaluator *evaluator_new(void);
void evaluator_free(struct evaluator *e);

/*
 * @rules: rule_version() of this moment, which a batch asks once. @note: the action is being logged: from now on
 * it is part of the history.
 */
int evaluate(struct evaluator *e, struct db *db, const struct agent *a, int64_t rules,
	     const struct inquiry *q, bool note, struct evaluation *ret, struct err *err);

/* The agent's profile and all rules as the policy that is judged by, in the words of a policy file. @ret is the
 * caller's, also when the store failed. */
int evaluate_policy(struct db *db, const struct agent *a, struct json_object **ret,
		    struct err *err);

/* Whether a profile or a rule makes a policy at all: 0, or -EINVAL with what is wrong with it. */
int evaluate_check_profile(const struct agent *a, struct err *err);
int evaluate_check_rule(struct json_object *rule, struct err *err);

/* A policy of that rule alone (policy_free), and whether it answers an action that scored @risk. */
int evaluate_rule(struct json_object *rule, struct policy **ret, struct err *err);
bool evaluate_rule_bites(const struct policy *rule, const struct inquiry *q, double risk);

/* The word of the API for a type: its own eight and those of older clients. ACTION_NONE: no action of
 * a policy (session_start …). -EINVAL: unknown. */
int evaluate_type(const char *word, enum action_type *ret);
