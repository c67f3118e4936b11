/*
 * One change of a policy, as small as changes are: what a person would write into the file. Made
 * on a policy in memory, so that what it does can be tried.
 */
#pragma once

#include "base/action.h"
#include "base/err.h"
#include "base/verdict.h"
#include "policies/policy.h"

enum policy_edit_kind {
	EDIT_ADD_TYPE,     /* .type to "allowed_action_types" */
	EDIT_ADD_PATTERN,  /* .text to the list .key */
	EDIT_DROP_PATTERN, /* .text from where it stands, .at */
	EDIT_DROP_RULE,    /* the rule .text at .at */
	EDIT_RULE_RISK,    /* "max_risk_score" of the rule .text at .at to .value */
	EDIT_SET_NUMBER,   /* the member .key to .value */
	EDIT_SET_NET,      /* "network": {"mode"} to "allowlist" */
	EDIT_KIND_COUNT,
};

enum { EDIT_TEXT_SIZE = 2 * ACTION_PATH_SIZE + 8 };

struct policy_edit {
	enum policy_edit_kind kind;
	const char *key; /* static text */
	char text[EDIT_TEXT_SIZE];
	enum action_type type;
	double value;
	struct policy_origin
		at; /* where it is to be changed; file: of the policy, line 0 unknown */
};

/*
 * The change that takes away what decided @d about @a under @p. -ENOENT: no change of a policy
 * does (the agent is paused, an error inside).
 */
int policy_edit_against(const struct policy *p, const struct action *a, const struct decision *d,
			struct policy_edit *ret);
/* Makes it. -EINVAL: what it names is not there. */
int policy_edit_apply(struct policy *p, const struct policy_edit *e, struct err *err);
