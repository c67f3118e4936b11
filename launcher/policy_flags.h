/*
 * Flags that are said to the policy, and how a session keeps them: as "name=value", the `policy_flags` of session.json,
 * for whoever enters it again.
 */
#pragma once

#include "launcher/options.h"
#include "launcher/session.h"
#include "policies/policy.h"

/* Those of @o, whatever else it has; appended to @kept, an array. 0, -errno with the flag in @err. */
int policy_flags_say(struct policy *p, const struct options *o, struct json_object *kept,
		     struct err *err);

/* Those that @s was started with. */
int policy_flags_repeat(struct policy *p, const struct session *s, struct json_object *kept,
			struct err *err);
