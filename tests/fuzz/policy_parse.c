/* Any bytes are a policy or a refusal; what loads can be matched and freed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "policies/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const dirs[] = { "policies", NULL };
	static const struct policy_env env = { .home = "/home/u",
					       .workspace = "/home/u/w[1]",
					       .dirs = dirs };
	struct policy *p;
	struct err err;
	if (policy_parse((const char *)data, size, "fuzz.json", &env, &p, &err))
		return 0;
	for (enum action_type t = ACTION_NONE; t < ACTION_TYPE_COUNT; t++) {
		struct action a = { .type = t,
				    .resource = "https://u@[::1]:8/a/b.env?c#d",
				    .resource2 = "/home/u/w[1]/x",
				    .alias = "host:443",
				    .address = "10.0.0.1",
				    .program = "",
				    .wall_ns = 1 };
		struct policy_match m;
		policy_match(p, &a, &m);
		if (m.rule_count > sizeof(m.rules) / sizeof(m.rules[0]))
			abort();
	}
	policy_free(p);
	return 0;
}
