#include "policies/policy_edit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policies/policy_index.h"
#include "policies/policy_loader.h"

/* @path as a pattern that means it alone. */
static void escape(const char *path, char out[static EDIT_TEXT_SIZE])
{
	size_t used = 0;
	for (; *path && used + 3 < EDIT_TEXT_SIZE; path++) {
		if (path[0] == '$' && path[1] == '{') {
			out[used++] = '?'; /* a loader would expand it */
			continue;
		}
		if (strchr("*?[\\", *path))
			out[used++] = '\\';
		out[used++] = *path;
	}
	out[used] = '\0';
}

static bool has_host(const struct action *a)
{
	return (a->type == ACTION_NETWORK_REQUEST || a->type == ACTION_API_CALL ||
		a->type == ACTION_DATABASE_QUERY || a->type == ACTION_DATABASE_WRITE) &&
	       a->resource[0] != '/';
}

/* host:port of "scheme://user@host:port/path", or the resource as it is. */
static void host_of(const char *resource, char out[static EDIT_TEXT_SIZE])
{
	size_t len;
	const char *host = action_authority(resource, &len);
	snprintf(out, EDIT_TEXT_SIZE, "%.*s", (int)len, host);
}

/* Which of a rename's two names the lists do not hold, whatever they say of the other. */
static const char *name_outside(const struct policy *p, const struct action *a)
{
	if (!a->resource2)
		return a->resource;
	struct action one = *a;
	struct policy_match m;
	one.resource2 = one.alias = NULL;
	policy_match(p, &one, &m);
	return m.resource_allowed ? a->resource2 : a->resource;
}

static void against_not_allowed(const struct policy *p, const struct action *a,
				struct policy_edit *ret)
{
	if (has_host(a) && p->net == NET_NONE) {
		ret->kind = EDIT_SET_NET;
		return;
	}
	ret->kind = EDIT_ADD_PATTERN;
	if (has_host(a)) {
		ret->key = "allow_hosts";
		host_of(a->resource, ret->text);
		return;
	}
	if (a->type == ACTION_CODE_EXECUTION && !p->spawn) { /* needed then as well, and enough */
		ret->key = "spawn_allowed";
		escape(a->resource, ret->text);
		return;
	}
	bool reads = a->type == ACTION_FILE_READ || a->type == ACTION_CODE_EXECUTION;
	ret->key = reads ? "allowed_read" : "allowed_write";
	escape(name_outside(p, a), ret->text);
}

/* The next hundredth at which a score no longer is above @score, or at it either. */
static double hundredth(float score, bool above)
{
	double least = ceil((double)score * 100) / 100;
	if ((float)least < score || (above && (float)least <= score))
		least += 0.01;
	return least;
}

static int against_rule(const struct policy *p, const struct decision *d, struct policy_edit *ret)
{
	for (unsigned i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = &p->rules[i];
		if (r->name != d->rule || r->origin.line != d->line || r->origin.file != d->file)
			continue;
		ret->at = r->origin;
		snprintf(ret->text, sizeof(ret->text), "%s", r->name);
		ret->kind = r->has_max_risk ? EDIT_RULE_RISK : EDIT_DROP_RULE;
		ret->value = r->has_max_risk ? hundredth(d->score.total, false) : 0;
		return 0;
	}
	return -ENOENT;
}

static int against_blocked(const struct policy *p, const struct action *a, struct policy_edit *ret)
{
	struct policy_match m;
	policy_match(p, a, &m);
	if (!m.blocked)
		return -ENOENT;
	ret->kind = EDIT_DROP_PATTERN;
	ret->at = m.blocked->origin;
	snprintf(ret->text, sizeof(ret->text), "%s", m.blocked->pattern.text);
	return 0;
}

int policy_edit_against(const struct policy *p, const struct action *a, const struct decision *d,
			struct policy_edit *ret)
{
	*ret = (struct policy_edit){ .at = p->origin };
	ret->at.line = 0;
	switch (d->reason) {
	case REASON_TYPE:
		ret->kind = EDIT_ADD_TYPE;
		ret->type = a->type;
		return 0;
	case REASON_BLOCKED:
		return against_blocked(p, a, ret);
	case REASON_NOT_ALLOWED:
		against_not_allowed(p, a, ret);
		return 0;
	case REASON_SPAWN:
		ret->kind = EDIT_ADD_PATTERN;
		ret->key = "spawn_allowed";
		escape(a->resource, ret->text);
		return 0;
	case REASON_MAX_RISK:
	case REASON_THRESHOLD:
		ret->kind = EDIT_SET_NUMBER;
		ret->key = d->reason == REASON_MAX_RISK ? "max_risk_score" : "risk_threshold";
		ret->value = hundredth(d->score.total, d->reason == REASON_THRESHOLD);
		/* A score of 1 is always at a threshold, which is at most 1. */
		return ret->value > 1 ? -ENOENT : 0;
	case REASON_RULE:
		return against_rule(p, d, ret);
	case REASON_RATE:
		ret->kind = EDIT_SET_NUMBER;
		ret->key = "max_actions_per_minute";
		ret->value = 10.0 * (p->rate_per_minute[a->type] ? p->rate_per_minute[a->type]
								 : p->rate_general);
		return ret->value > 1e9 ? -ENOENT : 0;
	case REASON_NONE:
	case REASON_AGENT_STATE:
	case REASON_INTERNAL:
	case REASON_COUNT:
		break;
	}
	return -ENOENT;
}

static struct policy_patterns *list_of(struct policy *p, const char *key)
{
	const struct {
		const char *key;
		struct policy_patterns *list;
	} lists[] = { { "allowed_read", &p->allowed_read },
		      { "allowed_write", &p->allowed_write },
		      { "spawn_allowed", &p->spawn_allowed },
		      { "allow_hosts", &p->allow_hosts } };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!strcmp(lists[i].key, key))
			return lists[i].list;
	return NULL;
}

static bool same_place(const struct policy_origin *a, const struct policy_origin *b)
{
	return a->line == b->line && a->file && b->file && !strcmp(a->file, b->file);
}

static bool drop_from(struct policy_patterns *list, const struct policy_edit *e)
{
	for (unsigned i = 0; i < list->count; i++) {
		const struct policy_pattern *item = &list->items[i];
		if (!same_place(&item->origin, &e->at) || strcmp(item->pattern.text, e->text) != 0)
			continue;
		list->count--;
		memmove(&list->items[i], &list->items[i + 1],
			(list->count - i) * sizeof(*list->items));
		return true;
	}
	return false;
}

static struct policy_rule *rule_of(const struct policy *p, const struct policy_edit *e)
{
	for (unsigned i = 0; i < p->rule_count; i++)
		if (same_place(&p->rules[i].origin, &e->at) && !strcmp(p->rules[i].name, e->text))
			return &p->rules[i];
	return NULL;
}

static bool set_number(struct policy *p, const struct policy_edit *e)
{
	if (!strcmp(e->key, "max_risk_score")) {
		p->max_risk = (float)e->value;
	} else if (!strcmp(e->key, "risk_threshold")) {
		p->risk_threshold = (float)e->value;
	} else if (!strcmp(e->key, "max_actions_per_minute")) {
		p->rate_general = (unsigned)e->value;
		for (int t = 0; t < ACTION_TYPE_COUNT; t++)
			if (p->rate_per_minute[t])
				p->rate_per_minute[t] = (unsigned)e->value;
	} else {
		return false;
	}
	return true;
}

int policy_edit_apply(struct policy *p, const struct policy_edit *e, struct err *err)
{
	struct policy_store *store = p->arena;
	struct loader l = { .p = p, .store = store, .file = "edit", .err = err };
	struct policy_patterns *list;
	struct policy_rule *rule;
	bool done = false;
	int rc = 0;
	switch (e->kind) {
	case EDIT_ADD_TYPE:
		p->allowed_types |= UINT32_C(1) << e->type;
		done = true;
		break;
	case EDIT_ADD_PATTERN:
		list = list_of(p, e->key);
		rc = list ? list_append(&l, list, list == &p->allow_hosts ? LIST_HOSTS : LIST_PATHS,
					e->text, NULL, NULL)
			  : -EINVAL;
		done = rc == 0;
		break;
	case EDIT_DROP_PATTERN:
		done = drop_from(&p->blocked, e) || drop_from(&p->hide, e) ||
		       drop_from(&p->block_hosts, e);
		break;
	case EDIT_DROP_RULE:
	case EDIT_RULE_RISK:
		rule = rule_of(p, e);
		done = rule != NULL;
		if (rule && e->kind == EDIT_RULE_RISK) {
			rule->max_risk = (float)e->value;
		} else if (rule) {
			p->rule_count--;
			memmove(rule, rule + 1,
				(size_t)(p->rules + p->rule_count - rule) * sizeof(*rule));
		}
		break;
	case EDIT_SET_NUMBER:
		done = set_number(p, e);
		break;
	case EDIT_SET_NET:
		p->net = NET_ALLOWLIST;
		done = p->allow_hosts.present = true;
		break;
	case EDIT_KIND_COUNT:
		break;
	}
	if (rc == 0 && index_build_all(&store->arena, p))
		return loader_no_memory(&l);
	return done ? 0 : rc ? rc : err_set(err, EINVAL, "what is to be changed is not there");
}
