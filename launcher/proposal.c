#include "launcher/proposal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/term.h"

enum { LEAST_RATE = 60 };

#define EXTENDS "[ \"common/secrets.json\", \"common/system.json\", \"common/ambient.json\" ]"
const char proposal_base[] = "{ \"extends\": " EXTENDS ", \"spawn\": false, "
			     "\"network\": { \"mode\": \"none\" } }";

static const char *rule_text(enum collapse_rule rule)
{
	switch (rule) {
	case COLLAPSE_EXACT:
		return NULL;
	case COLLAPSE_TEMPORARY:
		return "names that differ from run to run";
	case COLLAPSE_VERSION:
		return "a version number";
	case COLLAPSE_DIRECTORY:
		return "many of one directory";
	}
	return NULL;
}

struct list {
	struct collapse_pattern *items;
	int count;
};

static int list_make(const struct observed *o, const struct collapse_env *env, unsigned use,
		     struct list *ret)
{
	struct collapse_path *paths = observed_paths(o, use);
	int n = paths ? collapse(paths, o->path_count, env, &ret->items) : -ENOMEM;
	free(paths);
	ret->count = n > 0 ? n : 0;
	return n < 0 ? n : 0;
}

static bool list_has(const struct list *l, const char *text)
{
	for (int i = 0; i < l->count; i++)
		if (!strcmp(l->items[i].text, text))
			return true;
	return false;
}

struct lines {
	FILE *f;
	bool any;
};

static void line(struct lines *l, const char *text)
{
	fputs(l->any ? ",\n\t\t" : "\n\t\t", l->f);
	json_text(l->f, text);
	l->any = true;
}

/* A comment ends with its line: the comma of the next pattern goes before it. */
static void put_pattern(struct lines *l, const struct collapse_pattern *p)
{
	const char *why = rule_text(p->rule);
	if (why) {
		fprintf(l->f, "%s\n\t\t// %u %s: %s", l->any ? "," : "", p->covered,
			p->covered == 1 ? "path" : "paths", why);
		l->any = false;
	}
	line(l, p->text);
}

static void put_kept(struct lines *l, const struct proposal *p, const struct policy_patterns *list)
{
	for (unsigned i = 0; p->kept && i < list->count; i++)
		if (!strcmp(list->items[i].origin.file, p->kept_file))
			line(l, list->items[i].pattern.text);
}

/* Abstract sockets: no file, no host; what a wildcard would be in a name is one character. */
static void put_sockets(struct lines *l, const struct observed *o)
{
	for (size_t i = 0; i < o->socket_count; i++) {
		char text[512];
		snprintf(text, sizeof(text), "%s", o->sockets[i]);
		for (char *c = text; *c; c++)
			if (strchr("*[\\$", *c))
				*c = '?';
		line(l, text);
	}
}

static const struct policy_patterns none;

static void put_list(FILE *f, const struct proposal *p, const char *name, const struct list *list,
		     const struct list *only, const struct list *without,
		     const struct policy_patterns *kept, const struct observed *sockets)
{
	struct lines l = { .f = f };
	fprintf(f, ",\n\t\"%s\": [", name);
	put_kept(&l, p, p->kept ? kept : &none);
	if (sockets)
		put_sockets(&l, sockets);
	for (int i = 0; i < list->count; i++) {
		const char *text = list->items[i].text;
		if ((only && !list_has(only, text)) || (without && list_has(without, text)))
			continue;
		put_pattern(&l, &list->items[i]);
	}
	fputs(l.any ? "\n\t]" : "]", f);
}

static void put_types(FILE *f, uint32_t types)
{
	const char *comma = "";
	fputs(",\n\t\"allowed_action_types\": [ ", f);
	for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		if (!(types & UINT32_C(1) << t))
			continue;
		fprintf(f, "%s\"%s\"", comma, action_type_name((enum action_type)t));
		comma = ", ";
	}
	fputs(" ]", f);
}

static void put_hosts(FILE *f, const struct proposal *p, const struct observed *o)
{
	bool kept = p->kept && p->kept->allow_hosts.count;
	if (!o->host_count && !kept) {
		fputs(",\n\t\"network\": { \"mode\": \"none\" }", f);
		return;
	}
	struct lines l = { .f = f };
	fputs(",\n\t\"network\": { \"mode\": \"allowlist\", \"allow_hosts\": [", f);
	put_kept(&l, p, kept ? &p->kept->allow_hosts : &none);
	for (size_t i = 0; i < o->host_count; i++)
		line(&l, o->hosts[i]);
	fputs("\n\t] }", f);
}

static void put_limits(FILE *f, const struct observed *o)
{
	/* Rounded up: what is stored is a float, and "above" is what bites. */
	double risk = ceil((double)o->top_score * 100 + 1) / 100;
	if (risk < 1)
		fprintf(f,
			",\n\t// the worst of these actions, at full speed and all of it new to "
			"the "
			"agent\n\t\"max_risk_score\": %.2f",
			risk);
	/* Only alerted about, never denied in mode alert: twice the peak leaves room for a faster machine. */
	unsigned rate = 2 * o->peak_minute < LEAST_RATE ? LEAST_RATE : 2 * o->peak_minute;
	fprintf(f, ",\n\t// twice the busiest minute\n\t\"max_actions_per_minute\": %u", rate);
}

/* A comment must stay one: no newline of a path's may end it. */
static void put_secrets(FILE *f, const struct observed *o)
{
	if (!o->secret_count)
		return;
	fputs("\n// NOT proposed: these are blocked as secrets. Whoever wants the job to have one\n"
	      "// writes a policy without that block, by hand:\n",
	      f);
	for (size_t i = 0; i < o->secret_count; i++) {
		fprintf(f, "//   %s ", action_type_name(o->secrets[i].type));
		json_text(f, o->secrets[i].path);
		fprintf(f, " %u times (%s)\n", o->secrets[i].count, o->secrets[i].rule);
	}
}

static void put_head(FILE *f, const struct proposal *p, const struct observed *o)
{
	fprintf(f,
		"// Learned from %llu actions. Granted by common/: %llu ambient ones and %llu "
		"more.\n"
		"// Patterns: * crosses /, so DIR/** is DIR and all below it.\n",
		(unsigned long long)o->actions, (unsigned long long)o->ambient,
		(unsigned long long)o->covered);
	put_secrets(f, o);
	fputs("{\n\t\"name\": ", f);
	json_text(f, p->name);
	fputs(",\n\t\"description\": ", f);
	json_text(f, p->command);
	fputs(",\n\t\"extends\": " EXTENDS ",\n\t\"mode\": \"alert\"", f);
}

int proposal_write(FILE *f, const struct proposal *p, const struct observed *o, struct err *err)
{
	struct list reads = { 0 }, writes = { 0 }, execs = { 0 };
	int r = list_make(o, p->env, OBSERVED_READ, &reads);
	if (r == 0)
		r = list_make(o, p->env, OBSERVED_WRITE, &writes);
	if (r == 0)
		r = list_make(o, p->env, OBSERVED_EXEC, &execs);
	if (r == 0) {
		uint32_t types = o->types;
		if (p->kept && p->kept->allowed_types_present)
			types |= p->kept->allowed_types;
		put_head(f, p, o);
		put_types(f, types);
		put_list(f, p, "allowed_resources", &writes, &reads, NULL,
			 p->kept ? &p->kept->allowed : NULL, o);
		put_list(f, p, "allowed_read", &reads, NULL, &writes,
			 p->kept ? &p->kept->allowed_read : NULL, NULL);
		put_list(f, p, "allowed_write", &writes, NULL, &reads,
			 p->kept ? &p->kept->allowed_write : NULL, NULL);
		fputs(",\n\t\"spawn\": false", f);
		put_list(f, p, "spawn_allowed", &execs, NULL, NULL,
			 p->kept ? &p->kept->spawn_allowed : NULL, NULL);
		put_hosts(f, p, o);
		put_limits(f, o);
		fputs("\n}\n", f);
	}
	collapse_free(reads.items, reads.count);
	collapse_free(writes.items, writes.count);
	collapse_free(execs.items, execs.count);
	return r < 0 ? err_set(err, -r, "out of memory") : 0;
}
