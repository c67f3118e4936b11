#include <string.h>

#include "policies/policy_loader.h"

enum { RULES_MAX = 1024 };

static const struct json_line *member(const struct json_line *at, const char *name)
{
	for (const struct json_line *c = at->first; c; c = c->next)
		if (strcmp(c->key, name) == 0)
			return c;
	return NULL;
}

static int rule_read(struct loader *l, struct value v, struct policy_rule *rule)
{
	static const char *const needed[] = { "name", "resource_pattern", "effect" };
	*rule = (struct policy_rule){
		.start_min = -1, .end_min = -1, .days = 0x7f, .origin = { l->file, v.at->line }
	};
	int rc = keys_apply(l, v, "rules", rule);
	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!member(v.at, needed[i]))
			return loader_fail(l, v.at, "a rule needs \"%s\"", needed[i]);
	if ((rule->start_min < 0) != (rule->end_min < 0))
		return loader_fail(l, v.at, "a rule has time_start and time_end, or neither");
	if (rule->start_min >= 0 && rule->start_min == rule->end_min)
		return loader_fail(l, v.at,
				   "time_start equals time_end: leave both out for all day");
	/*
	 * A block is sticky: what a policy extends decides before any exception made
	 * here, however high the priority it claims.
	 */
	if (rule->effect != EFFECT_BLOCK && l->inherited_block &&
	    rule->priority > l->block_priority)
		rule->priority = l->block_priority;
	return 0;
}

int rules_apply(struct loader *l, struct value v)
{
	struct policy *p = l->p;
	int rc = value_expect(l, &v, json_type_array, "a list of rules");
	if (rc)
		return rc;
	size_t more = json_object_array_length(v.json);
	if (p->rule_count + more > RULES_MAX)
		return loader_fail(l, v.at, "more than %d rules", RULES_MAX);
	struct policy_rule *rules =
		arena_alloc(&l->store->arena, (p->rule_count + more) * sizeof(*rules));
	if (!rules)
		return loader_no_memory(l);
	if (p->rule_count)
		memcpy(rules, p->rules, p->rule_count * sizeof(*rules));
	p->rules = rules;
	for (const struct json_line *c = v.at->first; c; c = c->next) {
		struct value item = { json_object_array_get_idx(v.json, c->index), c };
		rc = rule_read(l, item, &rules[p->rule_count]);
		if (rc)
			return rc;
		p->rule_count++;
	}
	return 0;
}

static bool before(const struct policy_rule *a, const struct policy_rule *b)
{
	return a->priority != b->priority ? a->priority > b->priority : a->effect < b->effect;
}

/* Insertion: stable, so that equal rules keep the order they are written in. */
void rules_sort(struct policy *p)
{
	for (unsigned i = 1; i < p->rule_count; i++) {
		struct policy_rule rule = p->rules[i];
		unsigned at = i;
		for (; at > 0 && before(&rule, &p->rules[at - 1]); at--)
			p->rules[at] = p->rules[at - 1];
		p->rules[at] = rule;
	}
}
