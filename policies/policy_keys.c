/* The one table of what a policy file may hold. Parser, schema test and manual follow it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policies/policy_loader.h"

#include "base/nearest.h"

struct key {
	const char *block, *name;
	int (*apply)(struct loader *l, struct value v, const struct key *key, void *field);
	size_t offset; /* of the field in what the block describes */
	double min, max;
	const struct words *words;
};

static int apply_text(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	int rc = value_expect(l, &v, json_type_string, "a string");
	if (rc)
		return rc;
	const char *text = json_object_get_string(v.json);
	const char *kept = arena_strndup(&l->store->arena, text, strlen(text));
	if (!kept)
		return loader_no_memory(l);
	memcpy(field, &kept, sizeof(kept));
	return 0;
}

/* policy_load.c has read it before anything else; editors want $schema. */
static int apply_nothing(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)l, (void)v, (void)key, (void)field;
	return 0;
}

static int apply_bool(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	int rc = value_expect(l, &v, json_type_boolean, "true or false");
	if (rc == 0)
		*(bool *)field = json_object_get_boolean(v.json);
	return rc;
}

static int number(struct loader *l, struct value v, const struct key *key, double *ret)
{
	double n = json_object_get_double(v.json);
	if (!json_object_is_type(v.json, json_type_int) &&
	    !json_object_is_type(v.json, json_type_double))
		return loader_fail(l, v.at, "expected a number from %.15g to %.15g, found %s",
				   key->min, key->max, value_type(&v));
	if (!isfinite(n) || n < key->min || n > key->max)
		return loader_fail(l, v.at, "%s is not from %.15g to %.15g",
				   json_object_get_string(v.json), key->min, key->max);
	*ret = n;
	return 0;
}

static int whole(struct loader *l, struct value v, const struct key *key, double *ret)
{
	int rc = number(l, v, key, ret);
	if (rc == 0 && *ret != floor(*ret))
		rc = loader_fail(l, v.at, "%s is no whole number", json_object_get_string(v.json));
	return rc;
}

static int apply_float(struct loader *l, struct value v, const struct key *key, void *field)
{
	double n;
	int rc = number(l, v, key, &n);
	if (rc == 0)
		*(float *)field = (float)n;
	return rc;
}

static int apply_double(struct loader *l, struct value v, const struct key *key, void *field)
{
	return number(l, v, key, field);
}

static int apply_int(struct loader *l, struct value v, const struct key *key, void *field)
{
	double n;
	int rc = whole(l, v, key, &n);
	if (rc == 0)
		*(int *)field = (int)n;
	return rc;
}

static int apply_count(struct loader *l, struct value v, const struct key *key, void *field)
{
	double n;
	int rc = whole(l, v, key, &n);
	if (rc == 0)
		*(uint64_t *)field = (uint64_t)n;
	return rc;
}

static int apply_size(struct loader *l, struct value v, const struct key *key, void *field)
{
	if (!json_object_is_type(v.json, json_type_string))
		return apply_count(l, v, key, field);
	int rc = value_expect(l, &v, json_type_string, "a size");
	uint64_t size = 0;
	if (rc)
		return rc;
	if (size_parse(json_object_get_string(v.json), &size) || (double)size > key->max)
		return loader_fail(l, v.at, "\"%s\" is no size, as in 512M or 2G",
				   json_object_get_string(v.json));
	*(uint64_t *)field = size;
	return 0;
}

static int apply_word(struct loader *l, struct value v, const struct key *key, void *field)
{
	unsigned index;
	int rc = value_expect(l, &v, json_type_string, "a string");
	if (rc == 0)
		rc = word_parse(l, v.at, key->words, json_object_get_string(v.json), &index);
	if (rc == 0)
		memcpy(field, &index, sizeof(index));
	return rc;
}
_Static_assert(sizeof(enum policy_mode) == sizeof(unsigned), "apply_word stores an unsigned");

static int apply_paths(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	return list_apply(l, v, field, LIST_PATHS);
}

static int apply_hosts(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	return list_apply(l, v, field, LIST_HOSTS);
}

static int apply_except(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	return list_apply(l, v, field, LIST_SYSTEM_CA);
}

static int apply_host_ports(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key, (void)field;
	return ports_apply(l, v, &l->p->host_ports, &l->p->host_port_count);
}

static int apply_publish(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key, (void)field;
	return publish_apply(l, v);
}

static int apply_block(struct loader *l, struct value v, const struct key *key, void *field)
{
	return keys_apply(l, v, key->name, field);
}

/* A monitor with thresholds: true, false, or an object. */
static int apply_monitor(struct loader *l, struct value v, const struct key *key, void *field)
{
	if (json_object_is_type(v.json, json_type_boolean))
		return apply_bool(l, v, key, field);
	if (!json_object_is_type(v.json, json_type_object))
		return loader_fail(l, v.at, "expected true, false or an object, found %s",
				   value_type(&v));
	return keys_apply(l, v, key->name, &l->p->monitors);
}

static int apply_types(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key, (void)field;
	int rc = value_expect(l, &v, json_type_array, "a list of action types");
	if (rc)
		return rc;
	l->p->allowed_types_present = true;
	for (const struct json_line *c = v.at->first; c; c = c->next) {
		enum action_type type;
		rc = type_word(l, (struct value){ json_object_array_get_idx(v.json, c->index), c },
			       false, &type);
		if (rc)
			return rc;
		l->p->allowed_types |= UINT32_C(1) << type;
	}
	return 0;
}

static int apply_rate(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)field;
	double n;
	if (!json_object_is_type(v.json, json_type_object)) {
		int rc = whole(l, v, key, &n);
		if (rc == 0)
			l->p->rate_general = (unsigned)n;
		return rc;
	}
	for (const struct json_line *c = v.at->first; c; c = c->next) {
		enum action_type type = ACTION_NONE;
		struct json_object *name = json_object_new_string(c->key);
		int rc = name ? type_word(l, (struct value){ name, c }, true, &type)
			      : loader_no_memory(l);
		json_object_put(name);
		if (rc == 0)
			rc = whole(l, (struct value){ json_object_object_get(v.json, c->key), c },
				   key, &n);
		if (rc)
			return rc;
		if (type == ACTION_NONE)
			l->p->rate_general = (unsigned)n;
		else
			l->p->rate_per_minute[type] = (unsigned)n;
	}
	return 0;
}

static int apply_rules(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key, (void)field;
	return rules_apply(l, v);
}

static int apply_rule_type(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	return type_word(l, v, true, field);
}

static int apply_rule_pattern(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	int rc = value_expect(l, &v, json_type_string, "a pattern");
	return rc ? rc : path_pattern(l, v.at, json_object_get_string(v.json), field);
}

static int apply_rule_risk(struct loader *l, struct value v, const struct key *key, void *field)
{
	struct policy_rule *rule = field;
	int rc = apply_float(l, v, key, &rule->max_risk);
	rule->has_max_risk = rc == 0;
	return rc;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static int apply_time(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	int rc = value_expect(l, &v, json_type_string, "a time of day");
	if (rc)
		return rc;
	const char *t = json_object_get_string(v.json);
	bool shaped = strlen(t) == 5 && digit(t[0]) && digit(t[1]) && t[2] == ':' && digit(t[3]) &&
		      digit(t[4]);
	int hour = shaped ? (t[0] - '0') * 10 + t[1] - '0' : 99;
	int minute = shaped ? (t[3] - '0') * 10 + t[4] - '0' : 99;
	if (hour > 23 || minute > 59)
		return loader_fail(l, v.at, "\"%s\" is no time of day from 00:00 to 23:59", t);
	*(int16_t *)field = (int16_t)(hour * 60 + minute);
	return 0;
}

static int apply_days(struct loader *l, struct value v, const struct key *key, void *field)
{
	(void)key;
	static const char *const days[] = { "monday", "tuesday",  "wednesday", "thursday",
					    "friday", "saturday", "sunday",    NULL };
	uint8_t *mask = field;
	int rc = value_expect(l, &v, json_type_array, "a list of days");
	if (rc)
		return rc;
	*mask = 0;
	for (const struct json_line *c = v.at->first; c; c = c->next) {
		struct value item = { json_object_array_get_idx(v.json, c->index), c };
		rc = value_expect(l, &item, json_type_string, "a day");
		if (rc)
			return rc;
		const char *text = json_object_get_string(item.json);
		unsigned d = 0;
		while (days[d] && strcasecmp(text, days[d]) != 0 &&
		       (strlen(text) != 3 || strncasecmp(text, days[d], 3) != 0))
			d++;
		if (!days[d])
			return loader_fail(l, c, "\"%s\" is no day (monday … sunday, or mon … sun)",
					   text);
		*mask |= (uint8_t)(1U << d);
	}
	return *mask ? 0 : loader_fail(l, v.at, "a rule of no day never holds");
}

#define P(field) offsetof(struct policy, field)
#define R(field) offsetof(struct policy_rule, field)
#define L(field) offsetof(struct policy_limits, field)
#define M(field) offsetof(struct policy_monitors, field)
#define MANY     1e15

/* clang-format off */
static const struct key keys[] = {
	{ "", "$schema", apply_nothing },
	{ "", "name", apply_text, P(name) },
	{ "", "description", apply_text, P(description) },
	{ "", "extends", apply_nothing },
	{ "", "mode", apply_word, P(mode), .words = &mode_words },
	{ "", "pause", apply_word, P(pause), .words = &pause_words },
	{ "", "allowed_action_types", apply_types },
	{ "", "allowed_resources", apply_paths, P(allowed) },
	{ "", "allowed_read", apply_paths, P(allowed_read) },
	{ "", "allowed_write", apply_paths, P(allowed_write) },
	{ "", "blocked_resources", apply_paths, P(blocked) },
	{ "", "blocked_except", apply_except, P(blocked_except) },
	{ "", "spawn", apply_bool, P(spawn) },
	{ "", "spawn_allowed", apply_paths, P(spawn_allowed) },
	{ "", "max_actions_per_minute", apply_rate, .min = 1, .max = 1e9 },
	{ "", "max_risk_score", apply_float, P(max_risk), .min = 0, .max = 1 },
	{ "", "risk_threshold", apply_float, P(risk_threshold), .min = 0, .max = 1 },
	{ "", "rollback_limit", apply_int, P(rollback_limit), .min = 0, .max = 1e6 },
	{ "", "rules", apply_rules },
	{ "", "monitors", apply_block, P(monitors) },
	{ "", "filesystem", apply_block },
	{ "", "network", apply_block },
	{ "", "limits", apply_block, P(limits) },
	{ "", "on_exit", apply_word, P(on_exit), .words = &on_exit_words },
	{ "", "journal", apply_word, P(journal), .words = &journal_words },
	{ "", "journal_bytes", apply_size, P(journal_bytes), .min = 0, .max = MANY },
	{ "", "snapshots", apply_bool, P(snapshots) },
	{ "rules", "name", apply_text, R(name) },
	{ "rules", "action_type", apply_rule_type, R(type) },
	{ "rules", "resource_pattern", apply_rule_pattern, R(pattern) },
	{ "rules", "effect", apply_word, R(effect), .words = &effect_words },
	{ "rules", "max_risk_score", apply_rule_risk, 0, .min = 0, .max = 1 },
	{ "rules", "priority", apply_int, R(priority), .min = -1e6, .max = 1e6 },
	{ "rules", "time_start", apply_time, R(start_min) },
	{ "rules", "time_end", apply_time, R(end_min) },
	{ "rules", "days_allowed", apply_days, R(days) },
	{ "monitors", "file_system", apply_bool, M(file_system) },
	{ "monitors", "network", apply_bool, M(network) },
	{ "monitors", "processes", apply_bool, M(processes) },
	{ "monitors", "database", apply_bool, M(database) },
	{ "monitors", "cpu", apply_monitor, M(cpu) },
	{ "monitors", "memory", apply_monitor, M(memory) },
	{ "monitors", "process_count", apply_monitor, M(process_count) },
	{ "cpu", "enabled", apply_bool, M(cpu) },
	{ "cpu", "percent", apply_double, M(cpu_percent), .min = 1, .max = 1e5 },
	{ "cpu", "seconds", apply_double, M(cpu_seconds), .min = 0, .max = 86400 },
	{ "memory", "enabled", apply_bool, M(memory) },
	{ "process_count", "enabled", apply_bool, M(process_count) },
	{ "process_count", "count", apply_count, M(processes_max), .min = 1, .max = 4194304 },
	{ "memory", "bytes", apply_size, M(memory_bytes), .min = 1, .max = MANY },
	{ "filesystem", "workspace", apply_word, P(workspace), .words = &workspace_words },
	{ "filesystem", "hide", apply_paths, P(hide) },
	{ "filesystem", "read_only", apply_paths, P(read_only) },
	{ "filesystem", "direct", apply_paths, P(direct) },
	{ "filesystem", "ambient", apply_paths, P(ambient) },
	{ "network", "mode", apply_word, P(net), .words = &net_words },
	{ "network", "database_tls", apply_word, P(database_tls), .words = &database_tls_words },
	{ "network", "allow_hosts", apply_hosts, P(allow_hosts) },
	{ "network", "block_hosts", apply_hosts, P(block_hosts) },
	{ "network", "host_ports", apply_host_ports },
	{ "network", "publish", apply_publish },
	{ "network", "allow_unix", apply_paths, P(allow_unix) },
	{ "network", "handover", apply_hosts, P(handover) },
	{ "limits", "memory", apply_size, L(memory_bytes), .min = 0, .max = MANY },
	{ "limits", "pids", apply_count, L(pids), .min = 0, .max = 4194304 },
	{ "limits", "cpu", apply_double, L(cpus), .min = 0, .max = 4096 },
	{ "limits", "open_files", apply_count, L(open_files), .min = 0, .max = 1e9 },
	{ "limits", "file_size", apply_size, L(file_bytes), .min = 0, .max = MANY },
	{ "limits", "wall_seconds", apply_count, L(wall_seconds), .min = 0, .max = 1e9 },
	{ "pattern", "name", NULL },
	{ "pattern", "patterns", NULL },
};
/* clang-format on */
enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

bool policy_key(unsigned index, const char **ret_block, const char **ret_name)
{
	if (index >= KEY_COUNT)
		return false;
	*ret_block = keys[index].block;
	*ret_name = keys[index].name;
	return true;
}

static const struct key *find_key(const char *block, const char *name)
{
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].block, block) == 0 && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int unknown_key(const struct loader *l, const struct json_line *at, const char *block)
{
	const char *names[KEY_COUNT + 1];
	unsigned n = 0;
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].block, block) == 0)
			names[n++] = keys[i].name;
	names[n] = NULL;
	const char *near = nearest_word(at->key, names, sizeof(*names));
	return loader_fail(l, at, "unknown key%s%s%s", near ? "; did you mean \"" : "",
			   near ? near : "", near ? "\"?" : "");
}

int keys_apply(struct loader *l, struct value v, const char *block, void *base)
{
	int rc = value_expect(l, &v, json_type_object, "an object");
	for (const struct json_line *c = v.at->first; rc == 0 && c; c = c->next) {
		const struct key *key = find_key(block, c->key);
		if (!key)
			return unknown_key(l, c, block);
		struct value member = { json_object_object_get(v.json, c->key), c };
		rc = key->apply(l, member, key, (char *)base + key->offset);
	}
	return rc;
}
