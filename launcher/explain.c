#include "launcher/explain.h"

#include <math.h>
#include <string.h>

#include "launcher/term.h"

void explanation_of(const struct action *a, const struct decision *d, struct explanation *ret)
{
	*ret = (struct explanation){
		.kind = "action",
		.type = action_type_name(a->type),
		.resource = a->resource,
		.program = a->program,
		.decision = verdict_name(d->verdict),
		.reason = d->reason == REASON_NONE ? "" : reason_name(d->reason),
		.rule = d->rule,
		.file = d->file,
		.line = d->line,
		.score = (double)d->score.total,
	};
	for (int i = 0; i < DIMENSION_COUNT; i++) {
		ret->x[i] = (double)d->score.x[i];
		ret->why[i] = d->score.why[i];
	}
}

static bool known(const char *text)
{
	return text && *text;
}

static void line(FILE *f, const char *name, const char *text)
{
	if (!known(text))
		return;
	fprintf(f, "%-11s", name);
	term_text(f, text);
	fputc('\n', f);
}

/* What a reason means, and the smallest change that lets the action through. */
static const struct {
	enum reason reason;
	const char *meaning, *fix;
} reasons[] = {
	{ REASON_AGENT_STATE, "the agent is paused or terminated",
	  "let it go on, or start it again" },
	{ REASON_TYPE, "the policy does not allow this type of action",
	  "add the type to \"allowed_action_types\"" },
	{ REASON_BLOCKED, "a blocked pattern matches; a block wins over everything else",
	  "take the pattern out where it stands, or narrow it" },
	{ REASON_NOT_ALLOWED, "nothing the policy allows matches", NULL },
	{ REASON_MAX_RISK, "the score is above the policy's \"max_risk_score\"", NULL },
	{ REASON_SPAWN, "under this policy the agent may start no other program",
	  "set \"spawn\": true, or add the program to \"spawn_allowed\"" },
	{ REASON_RULE, "a rule of the policy decided",
	  "change the rule's effect, or give an allow rule a higher priority" },
	{ REASON_THRESHOLD, "the score reached the policy's \"risk_threshold\"", NULL },
	{ REASON_RATE, "more actions in a minute than \"max_actions_per_minute\"",
	  "raise \"max_actions_per_minute\"" },
	{ REASON_INTERNAL, "an error inside vsandbox; what cannot be judged is refused",
	  "none by policy: please report it, with vsandbox logs" },
};

static bool is_network(const struct explanation *e)
{
	return e->type && (!strcmp(e->type, "network_request") || !strcmp(e->type, "api_call"));
}

static void print_fix(FILE *f, const struct explanation *e, enum reason reason, const char *fix)
{
	fprintf(f, "%-11s", "to allow");
	if (reason == REASON_NOT_ALLOWED) {
		fprintf(f, "--%s '", is_network(e) ? "allow-hosts" : "allow");
		term_text(f, e->resource);
		fprintf(f, "', or add it to \"%s\" of the policy\n",
			is_network(e) ? "allow_hosts" : "allowed_resources");
		return;
	}
	if (reason == REASON_MAX_RISK || reason == REASON_THRESHOLD) {
		/* The next hundredth that no longer bites: bites are "above" and "at or above". */
		double least = ceil(e->score * 100) / 100;
		if (reason == REASON_THRESHOLD && least <= e->score)
			least += 0.01;
		if (reason == REASON_MAX_RISK)
			fprintf(f, "--max-risk %.2f, or \"max_risk_score\": %.2f\n", least, least);
		else
			fprintf(f, "\"risk_threshold\": %.2f\n", least);
		return;
	}
	fprintf(f, "%s", fix);
	if (known(e->file) && reason != REASON_TYPE && reason != REASON_SPAWN) {
		fputs(" (", f);
		term_text(f, e->file);
		if (e->line)
			fprintf(f, ":%lld", (long long)e->line);
		fputc(')', f);
	}
	fputc('\n', f);
}

/* One change as a person would make it, without its line break. */
static void print_edit(FILE *f, const struct policy_edit *e)
{
	switch (e->kind) {
	case EDIT_ADD_TYPE:
		fprintf(f, "add \"%s\" to \"allowed_action_types\"", action_type_name(e->type));
		break;
	case EDIT_ADD_PATTERN:
		fputs("add \"", f);
		term_text(f, e->text);
		fprintf(f, "\" to \"%s\"", e->key);
		break;
	case EDIT_DROP_PATTERN:
		fputs("take out the pattern \"", f);
		term_text(f, e->text);
		fputc('"', f);
		break;
	case EDIT_DROP_RULE:
		fputs("take out the rule \"", f);
		term_text(f, e->text);
		fputc('"', f);
		break;
	case EDIT_RULE_RISK:
		fputs("in the rule \"", f);
		term_text(f, e->text);
		fprintf(f, "\" set \"max_risk_score\": %.2f", e->value);
		break;
	case EDIT_SET_NUMBER:
		fprintf(f, "set \"%s\": %.*f", e->key, e->value > 1 ? 0 : 2, e->value);
		break;
	case EDIT_SET_NET:
		fputs("set \"network\": {\"mode\": \"allowlist\"}", f);
		break;
	case EDIT_KIND_COUNT:
		break;
	}
	if (e->at.file) {
		fputs(" (", f);
		term_text(f, e->at.file);
		if (e->at.line)
			fprintf(f, ":%u", e->at.line);
		fputc(')', f);
	}
}

static void print_remedy(FILE *f, const struct remedy *r)
{
	if (!r->proved) {
		fprintf(f, "%-11s%s\n", "to allow",
			"no change of a policy that could be found lets it through");
		return;
	}
	for (unsigned i = 0; i < r->count; i++) {
		fprintf(f, "%-11s", i ? "and" : "to allow");
		print_edit(f, &r->edit[i]);
		fputc('\n', f);
	}
}

static void remedy_json(FILE *f, const struct remedy *r)
{
	static const char *const kinds[EDIT_KIND_COUNT] = {
		[EDIT_ADD_TYPE] = "add_type",         [EDIT_ADD_PATTERN] = "add_pattern",
		[EDIT_DROP_PATTERN] = "drop_pattern", [EDIT_DROP_RULE] = "drop_rule",
		[EDIT_RULE_RISK] = "rule_max_risk",   [EDIT_SET_NUMBER] = "set",
		[EDIT_SET_NET] = "set_network_mode",
	};
	fprintf(f, ",\"remedy\":{\"proved\":%s,\"edits\":[", r->proved ? "true" : "false");
	for (unsigned i = 0; i < r->count; i++) {
		const struct policy_edit *e = &r->edit[i];
		fputs(i ? ",{" : "{", f);
		json_member(f, true, "edit", kinds[e->kind]);
		json_member(f, false, "key", e->key);
		json_member(f, false, "text",
			    e->kind == EDIT_ADD_TYPE ? action_type_name(e->type) : e->text);
		fprintf(f, ",\"value\":%.4f", e->value);
		json_member(f, false, "file", e->at.file);
		fprintf(f, ",\"line\":%u}", e->at.line);
	}
	fputs("]}", f);
}

static void print_score(FILE *f, const struct explanation *e)
{
	fprintf(f, "%-11s%.2f\n", "score", e->score);
	for (int i = 0; i < DIMENSION_COUNT; i++) {
		fprintf(f, "  %-22s%.2f  ", dimension_name((enum dimension)i), e->x[i]);
		if (known(e->why[i]))
			term_text(f, e->why[i]);
		fputc('\n', f);
	}
}

void explain(FILE *f, const struct explanation *e)
{
	if (known(e->kind) && strcmp(e->kind, "action")) {
		line(f, "event", e->kind);
		line(f, "program", e->program);
		line(f, "text", e->text);
		return;
	}
	fprintf(f, "%-11s", "action");
	term_text(f, known(e->type) ? e->type : "none");
	fputc(' ', f);
	term_text(f, e->resource);
	fputc('\n', f);
	line(f, "program", e->program);
	line(f, "policy", e->policy);
	line(f, "decision", e->decision);
	bool refused = known(e->decision) && strcmp(e->decision, "allow");
	if (known(e->rule)) {
		fprintf(f, "%-11s", "rule");
		term_text(f, e->rule);
		if (known(e->file)) {
			fputs(", ", f);
			term_text(f, e->file);
			if (e->line)
				fprintf(f, ":%lld", (long long)e->line);
		}
		fputc('\n', f);
	}
	for (size_t i = 0; known(e->reason) && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (strcmp(e->reason, reason_name(reasons[i].reason)))
			continue;
		line(f, "because", reasons[i].meaning);
		if (refused && e->remedy)
			print_remedy(f, e->remedy);
		else if (refused)
			print_fix(f, e, reasons[i].reason, reasons[i].fix);
	}
	print_score(f, e);
}

void explain_json(FILE *f, const struct explanation *e)
{
	fputs("{\"schema_version\":1", f);
	json_member(f, false, "type", e->type);
	json_member(f, false, "resource", e->resource);
	json_member(f, false, "policy", e->policy);
	json_member(f, false, "decision", e->decision);
	json_member(f, false, "reason", known(e->reason) ? e->reason : NULL);
	json_member(f, false, "rule", e->rule);
	json_member(f, false, "policy_file", e->file);
	fprintf(f, ",\"policy_line\":%lld,\"score\":%.4f,\"scores\":{", (long long)e->line,
		e->score);
	for (int i = 0; i < DIMENSION_COUNT; i++) {
		fprintf(f, "%s\"%s\":{\"x\":%.4f", i ? "," : "", dimension_name((enum dimension)i),
			e->x[i]);
		json_member(f, false, "why", e->why[i]);
		fputc('}', f);
	}
	fputc('}', f);
	if (e->remedy)
		remedy_json(f, e->remedy);
	fputs("}\n", f);
}
