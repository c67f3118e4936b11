#include "launcher/policy_flags.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

static const struct {
	const char *name;
	enum policy_flag flag;
} flags[] = {
	{ "allow", POLICY_FLAG_ALLOW },
	{ "block", POLICY_FLAG_BLOCK },
	{ "allow-hosts", POLICY_FLAG_ALLOW_HOSTS },
	{ "block-hosts", POLICY_FLAG_BLOCK_HOSTS },
	{ "max-risk", POLICY_FLAG_MAX_RISK },
	{ "mode", POLICY_FLAG_MODE },
	{ "net", POLICY_FLAG_NET },
	{ "on-exit", POLICY_FLAG_ON_EXIT },
	{ "workspace", POLICY_FLAG_WORKSPACE },
	{ "mem", POLICY_FLAG_MEM },
	{ "cpu", POLICY_FLAG_CPU },
	{ "pids", POLICY_FLAG_PIDS },
	{ "timeout", POLICY_FLAG_TIMEOUT },
	{ "host-port", POLICY_FLAG_HOST_PORT },
	{ "publish", POLICY_FLAG_PUBLISH },
	{ "allow-unix", POLICY_FLAG_ALLOW_UNIX },
	{ "direct", POLICY_FLAG_DIRECT },
};

/* 1: it is one of those. 0: another. */
static int say(struct policy *p, const char *name, const char *value, struct json_object *kept,
	       struct err *err)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		cleanup_free char *text = NULL;
		if (strcmp(flags[i].name, name) != 0)
			continue;
		int r = policy_apply_flag(p, flags[i].flag, value, err);
		if (r < 0)
			return r;
		if (asprintf(&text, "%s=%s", name, value) < 0)
			return err_set(err, ENOMEM, "out of memory");
		json_object_array_add(kept, json_object_new_string(text));
		return 1;
	}
	return 0;
}

int policy_flags_say(struct policy *p, const struct options *o, struct json_object *kept,
		     struct err *err)
{
	int r = 0;
	for (unsigned i = 0; r >= 0 && i < o->count; i++)
		r = say(p, o->specs[o->given[i].id].name, o->given[i].value, kept, err);
	return r < 0 ? r : 0;
}

int policy_flags_repeat(struct policy *p, const struct session *s, struct json_object *kept,
			struct err *err)
{
	struct json_object *list = json_object_object_get(s->start, "policy_flags");
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < count; i++) {
		const char *given = json_object_get_string(json_object_array_get_idx(list, i));
		cleanup_free char *name = strdup(given ? given : "");
		char *value = name ? strchr(name, '=') : NULL;
		if (value)
			*value++ = '\0';
		int r = value ? say(p, name, value, kept, err) : 0;
		if (r == 0)
			r = err_set(err, EBADMSG, "session.json: no flag of the policy: %.80s",
				    given ? given : "");
		if (r < 0)
			return r;
	}
	return 0;
}
