#include "launcher/policy_text.h"

#include <errno.h>
#include <string.h>

#include "launcher/term.h"

struct out {
	FILE *f;
	const char *indent;
	bool first; /* of the members of the present object */
};

static void key(struct out *o, const char *name)
{
	fprintf(o->f, "%s\n%s\"%s\": ", o->first ? "" : ",", o->indent, name);
	o->first = false;
}

static void text(struct out *o, const char *name, const char *value)
{
	key(o, name);
	json_text(o->f, value);
}

static void flag(struct out *o, const char *name, bool value)
{
	key(o, name);
	fputs(value ? "true" : "false", o->f);
}

static void whole(struct out *o, const char *name, uint64_t value)
{
	key(o, name);
	fprintf(o->f, "%llu", (unsigned long long)value);
}

/* A float is written so that reading it again gives the same float. */
static void real(struct out *o, const char *name, double value)
{
	key(o, name);
	fprintf(o->f, "%.9g", value);
}

static void open_block(struct out *o, const char *name)
{
	key(o, name);
	fputc('{', o->f);
	o->indent = "\t\t";
	o->first = true;
}

static void close_block(struct out *o)
{
	o->indent = "\t";
	fprintf(o->f, "%s%s}", o->first ? " " : "\n", o->first ? "" : o->indent);
	o->first = false;
}

/* No byte of a name may end the comment. */
static void origin(FILE *f, const struct policy_origin *at)
{
	if (!at->file)
		return;
	fputs(" // ", f);
	json_text(f, at->file);
	if (at->line)
		fprintf(f, ":%u", at->line);
}

static bool same_group(const struct policy_pattern *a, const struct policy_pattern *b)
{
	if (!a->name || !b->name)
		return a->name == b->name;
	return !strcmp(a->name, b->name) && !strcmp(a->origin.file, b->origin.file);
}

/* Patterns of one group, or of none, from @from on; returns where the next begins. */
static unsigned group(struct out *o, const struct policy_patterns *list, unsigned from)
{
	const struct policy_pattern *head = &list->items[from];
	unsigned end = from + 1;
	while (end < list->count && same_group(head, &list->items[end]))
		end++;
	if (head->name) {
		fprintf(o->f, "\n%s\t{ \"name\": ", o->indent);
		json_text(o->f, head->name);
		fputs(", \"patterns\": [", o->f);
	}
	for (unsigned i = from; i < end; i++) {
		bool last = i + 1 == end && (head->name || end == list->count);
		fprintf(o->f, "\n%s\t%s", o->indent, head->name ? "\t" : "");
		json_text(o->f, list->items[i].pattern.text);
		fputs(last ? "" : ",", o->f);
		origin(o->f, &list->items[i].origin);
	}
	if (head->name)
		fprintf(o->f, "\n%s\t] }%s", o->indent, end == list->count ? "" : ",");
	return end;
}

static void patterns(struct out *o, const char *name, const struct policy_patterns *list)
{
	if (!list->present)
		return;
	key(o, name);
	fputc('[', o->f);
	for (unsigned at = 0; at < list->count;)
		at = group(o, list, at);
	fprintf(o->f, "%s%s]", list->count ? "\n" : "", list->count ? o->indent : "");
}

static void types(struct out *o, uint32_t mask)
{
	const char *comma = "";
	key(o, "allowed_action_types");
	fputc('[', o->f);
	for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		if (!(mask & UINT32_C(1) << t))
			continue;
		fprintf(o->f, "%s \"%s\"", comma, action_type_name((enum action_type)t));
		comma = ",";
	}
	fputs(" ]", o->f);
}

static void rates(struct out *o, const struct policy *p)
{
	bool general = true;
	for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++)
		general &= !p->rate_per_minute[t];
	if (general) {
		whole(o, "max_actions_per_minute", p->rate_general);
		return;
	}
	key(o, "max_actions_per_minute");
	fprintf(o->f, "{ \"any\": %u", p->rate_general);
	for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++)
		if (p->rate_per_minute[t])
			fprintf(o->f, ", \"%s\": %u", action_type_name((enum action_type)t),
				p->rate_per_minute[t]);
	fputs(" }", o->f);
}

static void rule_time(FILE *f, const struct policy_rule *r)
{
	static const char *const days[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
	if (r->start_min >= 0)
		fprintf(f, ", \"time_start\": \"%02d:%02d\", \"time_end\": \"%02d:%02d\"",
			r->start_min / 60, r->start_min % 60, r->end_min / 60, r->end_min % 60);
	if (r->days == 0x7f)
		return;
	const char *comma = "";
	fputs(", \"days_allowed\": [", f);
	for (unsigned d = 0; d < 7; d++) {
		if (!(r->days >> d & 1))
			continue;
		fprintf(f, "%s\"%s\"", comma, days[d]);
		comma = ", ";
	}
	fputc(']', f);
}

static void rules(struct out *o, const struct policy *p)
{
	if (!p->rule_count)
		return;
	key(o, "rules");
	fputc('[', o->f);
	for (unsigned i = 0; i < p->rule_count; i++) {
		const struct policy_rule *r = &p->rules[i];
		fputs("\n\t\t{ \"name\": ", o->f);
		json_text(o->f, r->name);
		if (r->type != ACTION_NONE)
			fprintf(o->f, ", \"action_type\": \"%s\"", action_type_name(r->type));
		fputs(", \"resource_pattern\": ", o->f);
		json_text(o->f, r->pattern.text);
		fprintf(o->f, ", \"effect\": \"%s\", \"priority\": %d",
			policy_effect_name(r->effect), r->priority);
		if (r->has_max_risk)
			fprintf(o->f, ", \"max_risk_score\": %.9g", (double)r->max_risk);
		rule_time(o->f, r);
		fprintf(o->f, " }%s", i + 1 < p->rule_count ? "," : "");
		origin(o->f, &r->origin);
	}
	fputs("\n\t]", o->f);
}

static void monitors(struct out *o, const struct policy_monitors *m)
{
	open_block(o, "monitors");
	flag(o, "file_system", m->file_system);
	flag(o, "network", m->network);
	flag(o, "processes", m->processes);
	flag(o, "database", m->database);
	key(o, "cpu");
	fprintf(o->f, "{ \"enabled\": %s, \"percent\": %.9g, \"seconds\": %.9g }",
		m->cpu ? "true" : "false", m->cpu_percent, m->cpu_seconds);
	key(o, "memory");
	fprintf(o->f, "{ \"enabled\": %s, \"bytes\": %llu }", m->memory ? "true" : "false",
		(unsigned long long)m->memory_bytes);
	if (m->processes_max) {
		key(o, "process_count");
		fprintf(o->f, "{ \"enabled\": %s, \"count\": %llu }",
			m->process_count ? "true" : "false", (unsigned long long)m->processes_max);
	}
	close_block(o);
}

static void ports(struct out *o, const char *name, const uint16_t *list, unsigned count)
{
	if (!count)
		return;
	key(o, name);
	for (unsigned i = 0; i < count; i++)
		fprintf(o->f, "%s%u", i ? ", " : "[ ", list[i]);
	fputs(" ]", o->f);
}

static void published(struct out *o, const struct policy *p)
{
	if (!p->publish_count)
		return;
	key(o, "publish");
	for (unsigned i = 0; i < p->publish_count; i++)
		fprintf(o->f, "%s\"%u:%u\"", i ? ", " : "[ ", p->publish[i].host,
			p->publish[i].inside);
	fputs(" ]", o->f);
}

static void box(struct out *o, const struct policy *p)
{
	open_block(o, "filesystem");
	text(o, "workspace", policy_workspace_name(p->workspace));
	patterns(o, "hide", &p->hide);
	patterns(o, "read_only", &p->read_only);
	patterns(o, "direct", &p->direct);
	patterns(o, "ambient", &p->ambient);
	close_block(o);
	/* To say "allowlist" without a list is to allow none; to say nothing of hosts, all. */
	if (p->net != NET_ALLOWLIST || p->allow_hosts.present || p->block_hosts.present ||
	    p->host_port_count || p->publish_count || p->allow_unix.present ||
	    p->handover.present || p->database_tls != DATABASE_TLS_REFUSE) {
		open_block(o, "network");
		if (p->net != NET_ALLOWLIST || p->allow_hosts.present)
			text(o, "mode", policy_net_name(p->net));
		patterns(o, "allow_hosts", &p->allow_hosts);
		patterns(o, "block_hosts", &p->block_hosts);
		ports(o, "host_ports", p->host_ports, p->host_port_count);
		published(o, p);
		patterns(o, "allow_unix", &p->allow_unix);
		patterns(o, "handover", &p->handover);
		if (p->database_tls != DATABASE_TLS_REFUSE)
			text(o, "database_tls", "whole");
		close_block(o);
	}
	open_block(o, "limits");
	whole(o, "memory", p->limits.memory_bytes);
	whole(o, "pids", p->limits.pids);
	real(o, "cpu", p->limits.cpus);
	whole(o, "file_size", p->limits.file_bytes);
	whole(o, "open_files", p->limits.open_files);
	whole(o, "wall_seconds", p->limits.wall_seconds);
	close_block(o);
	text(o, "on_exit", policy_on_exit_name(p->on_exit));
	text(o, "journal", policy_journal_name(p->journal));
	whole(o, "journal_bytes", p->journal_bytes);
	flag(o, "snapshots", p->snapshots);
}

/* No part of the policy's file, and of no other user: named as comments, not as rules. */
static void approved(FILE *f, const struct policy *p)
{
	for (unsigned i = 0; i < p->approved_count; i++) {
		const struct policy_approved *a = &p->approved[i];
		fprintf(f, "\n\t// always allowed: %s (%s) ", action_type_name(a->type),
			action_op_name(a->op));
		json_text(f, a->resource);
		fputs(" to ", f);
		json_text(f, a->program);
		origin(f, &a->origin);
	}
}

/* The loader would expand it; there is no way to write it plainly. */
static const struct policy_pattern *unwritable(const struct policy *p)
{
	const struct policy_patterns *const lists[] = {
		&p->allowed,        &p->allowed_read, &p->allowed_write, &p->blocked,
		&p->blocked_except, &p->ambient,      &p->spawn_allowed, &p->hide,
		&p->read_only,      &p->direct,       &p->allow_unix
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (unsigned k = 0; k < lists[i]->count; k++)
			if (strstr(lists[i]->items[k].pattern.text, "${"))
				return &lists[i]->items[k];
	return NULL;
}

int policy_text_write(FILE *f, const struct policy *p, struct err *err)
{
	struct out o = { .f = f, .indent = "\t", .first = true };
	const struct policy_pattern *bad = unwritable(p);
	if (bad)
		return err_set(err, EINVAL, "%s:%u: \"%s\" cannot be written as a pattern",
			       bad->origin.file, bad->origin.line, bad->pattern.text);
	fputc('{', f);
	text(&o, "name", p->name);
	text(&o, "description", p->description ? p->description : "");
	text(&o, "mode", policy_mode_name(p->mode));
	text(&o, "pause", policy_pause_name(p->pause));
	if (p->allowed_types_present)
		types(&o, p->allowed_types);
	patterns(&o, "allowed_resources", &p->allowed);
	patterns(&o, "allowed_read", &p->allowed_read);
	patterns(&o, "allowed_write", &p->allowed_write);
	patterns(&o, "blocked_resources", &p->blocked);
	patterns(&o, "blocked_except", &p->blocked_except);
	flag(&o, "spawn", p->spawn);
	patterns(&o, "spawn_allowed", &p->spawn_allowed);
	rates(&o, p);
	real(&o, "max_risk_score", (double)p->max_risk);
	real(&o, "risk_threshold", (double)p->risk_threshold);
	whole(&o, "rollback_limit", p->rollback_limit);
	rules(&o, p);
	monitors(&o, &p->monitors);
	box(&o, p);
	approved(f, p);
	fputs("\n}\n", f);
	return 0;
}
