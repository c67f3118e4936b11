#include "launcher/dump.h"

#include "launcher/term.h"

static void dump_origin(FILE *f, const struct policy_origin *o)
{
	json_member(f, false, "file", o->file);
	fprintf(f, ",\"line\":%u", o->line);
}

static void dump_patterns(FILE *f, const char *name, const struct policy_patterns *list)
{
	if (!list->present && !list->count)
		return;
	fprintf(f, ",\"%s\":[", name);
	for (unsigned i = 0; i < list->count; i++) {
		const struct policy_pattern *p = &list->items[i];
		fputs(i ? ",{" : "{", f);
		json_member(f, true, "pattern", p->pattern.text);
		if (p->name)
			json_member(f, false, "name", p->name);
		dump_origin(f, &p->origin);
		fputc('}', f);
	}
	fputc(']', f);
}

static void dump_rules(FILE *f, const struct policy *p)
{
	static const char *const effects[EFFECT_COUNT] = {
		[EFFECT_BLOCK] = "block", [EFFECT_PAUSE] = "pause", [EFFECT_ALLOW] = "allow"
	};
	fputs(",\"rules\":[", f);
	for (unsigned i = 0; i < p->rule_count; i++) {
		const struct policy_rule *rule = &p->rules[i];
		fputs(i ? ",{" : "{", f);
		json_member(f, true, "name", rule->name);
		if (rule->type != ACTION_NONE)
			json_member(f, false, "action_type", action_type_name(rule->type));
		json_member(f, false, "resource_pattern", rule->pattern.text);
		json_member(f, false, "effect", effects[rule->effect]);
		fprintf(f, ",\"priority\":%d", rule->priority);
		if (rule->has_max_risk)
			fprintf(f, ",\"max_risk_score\":%.2f", (double)rule->max_risk);
		dump_origin(f, &rule->origin);
		fputc('}', f);
	}
	fputc(']', f);
}

static void dump_box(FILE *f, const struct policy *p)
{
	static const char *const workspaces[WORKSPACE_COUNT] = { [WORKSPACE_OVERLAY] = "overlay",
								 [WORKSPACE_DIRECT] = "direct",
								 [WORKSPACE_READ_ONLY] =
									 "read-only" };
	const struct policy_monitors *m = &p->monitors;
	const struct policy_limits *l = &p->limits;
	fprintf(f,
		",\"monitors\":{\"file_system\":%s,\"network\":%s,\"processes\":%s,\"database\":%s,"
		"\"cpu\":%s,\"memory\":%s,\"process_count\":%llu}",
		m->file_system ? "true" : "false", m->network ? "true" : "false",
		m->processes ? "true" : "false", m->database ? "true" : "false",
		m->cpu ? "true" : "false", m->memory ? "true" : "false",
		(unsigned long long)(m->process_count ? m->processes_max : 0));
	fputs(",\"filesystem\":{", f);
	json_member(f, true, "workspace", workspaces[p->workspace]);
	dump_patterns(f, "hide", &p->hide);
	dump_patterns(f, "read_only", &p->read_only);
	dump_patterns(f, "direct", &p->direct);
	dump_patterns(f, "ambient", &p->ambient);
	fputs("},\"network\":{", f);
	json_member(f, true, "mode", policy_net_name(p->net));
	dump_patterns(f, "allow_hosts", &p->allow_hosts);
	dump_patterns(f, "block_hosts", &p->block_hosts);
	fprintf(f,
		"},\"limits\":{\"memory\":%llu,\"pids\":%llu,\"cpu\":%.2f,\"open_files\":%llu,"
		"\"file_size\":%llu,"
		"\"wall_seconds\":%llu}",
		(unsigned long long)l->memory_bytes, (unsigned long long)l->pids, l->cpus,
		(unsigned long long)l->open_files, (unsigned long long)l->file_bytes,
		(unsigned long long)l->wall_seconds);
	json_member(f, false, "on_exit", policy_on_exit_name(p->on_exit));
	json_member(f, false, "journal", policy_journal_name(p->journal));
	fprintf(f, ",\"journal_bytes\":%llu", (unsigned long long)p->journal_bytes);
	fprintf(f, ",\"snapshots\":%s", p->snapshots ? "true" : "false");
}

void dump_policy(FILE *f, const struct policy *p)
{
	fputc('{', f);
	json_member(f, true, "name", p->name);
	json_member(f, false, "description", p->description);
	json_member(f, false, "file", p->origin.file);
	json_member(f, false, "mode", policy_mode_name(p->mode));
	json_member(f, false, "pause", policy_pause_name(p->pause));
	if (p->allowed_types_present) {
		const char *comma = "";
		fputs(",\"allowed_action_types\":[", f);
		for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
			if (!(p->allowed_types & 1u << t))
				continue;
			fprintf(f, "%s\"%s\"", comma, action_type_name((enum action_type)t));
			comma = ",";
		}
		fputc(']', f);
	}
	dump_patterns(f, "allowed_resources", &p->allowed);
	dump_patterns(f, "allowed_read", &p->allowed_read);
	dump_patterns(f, "allowed_write", &p->allowed_write);
	dump_patterns(f, "blocked_resources", &p->blocked);
	fprintf(f, ",\"spawn\":%s", p->spawn ? "true" : "false");
	dump_patterns(f, "spawn_allowed", &p->spawn_allowed);
	fprintf(f,
		",\"max_actions_per_minute\":%u,\"max_risk_score\":%.2f,\"risk_threshold\":%.2f,"
		"\"rollback_limit\":%u",
		p->rate_general, (double)p->max_risk, (double)p->risk_threshold, p->rollback_limit);
	dump_rules(f, p);
	dump_box(f, p);
	fputc('}', f);
}
