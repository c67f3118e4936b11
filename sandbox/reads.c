#include "sandbox/reads.h"

#include <errno.h>
#include <limits.h>

static int refuse(struct err *err, const char *what, const struct policy_origin *origin)
{
	return err_set(
		err, EINVAL,
		"--no-read-events: mounts cannot enforce %s (%s:%u); leave the flag out, or use a "
		"policy whose read rules are whole files and directories",
		what, origin->file ? origin->file : "?", origin->line);
}

int reads_check(const struct policy *p, struct err *err)
{
	char path[PATH_MAX];
	if (p->also)
		return refuse(err, "a project's own policy beside another", &p->also->origin);
	if (p->allowed.present || p->allowed_read.present)
		return refuse(err, "a list of what alone may be read", &p->origin);
	if (p->allowed_types_present && !(p->allowed_types >> ACTION_FILE_READ & 1))
		return refuse(err, "\"allowed_action_types\" without file_read", &p->origin);
	if (p->max_risk < 1)
		return refuse(err, "\"max_risk_score\" for reads", &p->origin);
	for (unsigned i = 0; i < p->blocked.count; i++) {
		const struct policy_pattern *b = &p->blocked.items[i];
		if (!pattern_as_mount(&b->pattern, path, sizeof(path)))
			return refuse(err, b->pattern.text, &b->origin);
	}
	for (unsigned i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = &p->rules[i];
		bool reads = r->type == ACTION_NONE || r->type == ACTION_FILE_READ;
		if (reads && r->effect != EFFECT_ALLOW)
			return refuse(err, r->name, &r->origin);
	}
	return 0;
}
