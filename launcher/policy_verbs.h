/* What the files of the verb policy share: its options, and the subverbs that have files of their own. */
#pragma once

#include "base/err.h"
#include "launcher/options.h"
#include "policies/policy.h"

enum {
	POLICY_RESOLVED,
	POLICY_NAMES,
	POLICY_JSON,
	POLICY_TEMPLATE,
	POLICY_AGENT_ID,
	POLICY_YES,
	POLICY_LOG,
	POLICY_FAIL_ON,
	POLICY_NAME,
	POLICY_REVOKE,
};

/* Space separated, for completion. */
extern const char *const policy_subverbs;

/* For the current directory; valid until the next call. */
void policy_environment(struct policy_env *env);

/* Exit code, or -errno with the reason in @err. */
int policy_create(const struct options *o, struct err *err);
int policy_delete(const struct options *o, struct err *err);
int policy_test(const struct options *o, struct err *err);
int policy_trust(const struct options *o, struct err *err);
