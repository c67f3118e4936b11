/* check, actions, risk: what agents ask and tell. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "control/call.h"
#include "control/ids.h"
#include "control/json.h"
#include "control/metrics.h"
#include "control/page.h"
#include "control/policies.h"

/* ---- POST /api/check ----------------------------------------------------------------------- */

struct check {
	struct call *call;
	struct evaluation evaluation;
};

static const char *member_text(struct json_object *o, const char *name, const char *otherwise)
{
	struct json_object *v = json_object_object_get(o, name);
	return v ? json_object_get_string(v) : otherwise;
}

static struct inquiry inquiry_of(struct json_object *o, int64_t at_us)
{
	return (struct inquiry){ .type = member_text(o, "action_type", ""),
				 .resource = member_text(o, "resource", ""),
				 .payload = json_object_object_get(o, "payload"),
				 .at_us = at_us };
}

/* An agent that nobody knows yet has no profile: the rules alone decide, and nothing is written. */
static int find_or_new(struct db *db, const char *handle, struct agent *ret, struct err *err)
{
	int r = agent_find(db, handle, ret, err);
	if (r != -ENOENT)
		return r;
	*ret = (struct agent){
		.agent_id = strdup(handle), .rate = -1, .max_risk = -1, .version = 1
	};
	snprintf(ret->id, sizeof(ret->id), "new");
	snprintf(ret->mode, sizeof(ret->mode), "alert");
	return ret->agent_id ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int64_t run_check(struct db *db, void *arg, struct err *err)
{
	struct check *k = arg;
	struct agent a;
	struct inquiry q = inquiry_of(k->call->body, ids_now_us());
	int r = find_or_new(db, call_text(k->call, "agent_id"), &a, err);
	int64_t rules = r == 0 ? rule_version(db, err) : r;
	r = rules < 0 ? (int)rules
		      : evaluate(k->call->server->evaluator, db, &a, rules, &q, false,
				 &k->evaluation, err);
	agent_free(&a);
	return r;
}

static const char *check_word(enum verdict v)
{
	switch (v) {
	case VERDICT_ALLOW:
	case VERDICT_ALERT:
		return "allow";
	case VERDICT_PAUSE:
		return "pause";
	case VERDICT_ROLLBACK:
	case VERDICT_BLOCK:
	case VERDICT_COUNT:
		break;
	}
	return "block";
}

int api_check(struct call *c, struct err *err)
{
	struct check k = { .call = c };
	int r = call_read(c, run_check, &k, err);
	if (r < 0)
		return r;
	const struct evaluation *e = &k.evaluation;
	/* the contract: whoever was paused is told so, and blocked */
	const char *decision = e->why == REASON_AGENT_STATE ? "block" : check_word(e->verdict);
	c->reply = json_object_new_object();
	json_put(c->reply, "decision", json_object_new_string(decision));
	json_put(c->reply, "reason", json_object_new_string(e->reason));
	json_put(c->reply, "risk_score", json_score(e->risk));
	json_put(c->reply, "risk_breakdown", json_verbatim(e->breakdown));
	json_put(c->reply, "policy_matched", json_text(*e->rule ? e->rule : NULL));
	json_put(c->reply, "agent_id", json_object_new_string(call_text(c, "agent_id")));
	json_put(c->reply, "action_type", json_object_new_string(call_text(c, "action_type")));
	json_put(c->reply, "resource",
		 json_object_new_string(member_text(c->body, "resource", "")));
	return 0;
}

/* ---- POST /api/actions ----------------------------------------------------------------------- */

struct posting {
	struct call *call;
	struct record *records; /* owned */
	unsigned count;
	struct evaluation *evaluations; /* owned */
	bool evaluated;
	/* of one run of the transaction, in which nobody else writes */
	int64_t rules;
	struct agent agent; /* of the action before; all of a batch are one's, as a rule */
};

static const char *const decisions[] = {
	[VERDICT_ALLOW] = "ALLOW",       [VERDICT_ALERT] = "ALERT", [VERDICT_PAUSE] = "PAUSE",
	[VERDICT_ROLLBACK] = "ROLLBACK", [VERDICT_BLOCK] = "BLOCK",
};

/* The client's own word in the store's form; NULL: none, or one that says nothing here. */
static const char *decision_of(struct json_object *o)
{
	const char *word = member_text(o, "decision", NULL);
	for (unsigned i = 0; word && i < VERDICT_COUNT; i++)
		if (strcasecmp(decisions[i], word) == 0)
			return decisions[i];
	return NULL;
}

static const char *stored_text(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_object_get(o, name);
	return v ? json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN) : NULL;
}

static void fill_record(struct json_object *o, const struct evaluation *e, struct record *r)
{
	const char *own = decision_of(o);
	bool flagged_given = json_object_object_get_ex(o, "flagged", NULL);
	r->session = member_text(o, "session_id", NULL);
	r->client_id = member_text(o, "action_id", NULL);
	r->type = member_text(o, "action_type", "");
	r->resource = member_text(o, "resource", "");
	r->payload = stored_text(o, "payload");
	r->snapshot = stored_text(o, "snapshot");
	r->metadata = stored_text(o, "metadata");
	r->source = member_text(o, "source", NULL);
	r->risk = json_object_object_get(o, "risk_score")
			  ? json_object_get_double(json_object_object_get(o, "risk_score"))
			  : e->risk;
	memcpy(r->breakdown, e->breakdown, sizeof(r->breakdown));
	r->decision = own ? own : decisions[e->verdict];
	r->flagged = flagged_given ? json_object_get_boolean(json_object_object_get(o, "flagged"))
				   : strcmp(r->decision, "ALLOW") != 0;
	r->at = json_time_given(json_object_object_get(o, "timestamp"));
	if (!r->at)
		r->at = ids_now_us();
	if (!r->flagged)
		return;
	const char *said = member_text(o, "flag_reason", NULL);
	snprintf(r->reason, sizeof(r->reason), "%s", said ? said : e->reason);
	if (said)
		snprintf(r->kind, sizeof(r->kind), "%s said %s", r->decision, r->reason);
	else
		snprintf(r->kind, sizeof(r->kind), "%s %s %s", r->decision, reason_name(e->why),
			 e->rule);
}

/* The agent of an action, which is made when nobody knows it yet. */
static int touch_agent(struct db *db, struct posting *p, struct json_object *o, struct err *err)
{
	const char *handle = member_text(o, "agent_id", "");
	if (p->agent.agent_id && strcmp(p->agent.agent_id, handle) == 0)
		return 0;
	agent_free(&p->agent);
	return agent_touch(db, handle, member_text(o, "agent_name", NULL), &p->agent, err);
}

/* The agent is known from now on, and the action evaluated. */
static int meet_agent(struct db *db, struct posting *p, struct json_object *o, unsigned i,
		      struct err *err)
{
	struct record *r = &p->records[i];
	struct inquiry q = inquiry_of(o, ids_now_us());
	int rc = touch_agent(db, p, o, err);
	if (rc < 0)
		return rc;
	memcpy(r->agent, p->agent.id, sizeof(r->agent));
	/* A second run of this transaction must not count the action again. */
	if (!p->evaluated)
		rc = evaluate(p->call->server->evaluator, db, &p->agent, p->rules, &q, true,
			      &p->evaluations[i], err);
	return rc;
}

static struct json_object *action_at(const struct posting *p, unsigned i)
{
	struct json_object *body = p->call->body;
	return json_object_is_type(body, json_type_array) ? json_object_array_get_idx(body, i)
							  : body;
}

/* Should come after the evaluation, which looks at what is masked here. */
static int mask_actions(struct posting *p, struct err *err)
{
	const struct server *server = p->call->server;
	for (unsigned i = 0; i < p->count; i++) {
		int n = fields_mask(p->call->route->fields, action_at(p, i), server->mask);
		if (n < 0)
			return err_set(err, ENOMEM, "out of memory");
		metrics_add(server->metrics, METRIC_MASKED, (uint64_t)n);
	}
	return 0;
}

static int64_t run_posting(struct db *db, void *arg, struct err *err)
{
	struct posting *p = arg;
	p->rules = rule_version(db, err);
	int r = p->rules < 0 ? (int)p->rules : 0;
	for (unsigned i = 0; r == 0 && i < p->count; i++)
		r = meet_agent(db, p, action_at(p, i), i, err);
	agent_free(&p->agent);
	if (r == 0 && !p->evaluated)
		r = mask_actions(p, err);
	p->evaluated = p->evaluated || r == 0;
	for (unsigned i = 0; r == 0 && i < p->count; i++)
		fill_record(action_at(p, i), &p->evaluations[i], &p->records[i]);
	return r == 0 ? record_append(db, p->records, p->count, p->call->server->alert_window_us,
				      err)
		      : r;
}

/* As text at once: built and taken apart again as objects, the answers would cost a sixth of a batch. */
static void put_logged(FILE *f, const struct record *r)
{
	char score[JSON_SCORE_SIZE];
	struct json_object *reason = json_text(r->flagged ? r->reason : NULL);
	json_score_text(r->risk, score);
	fprintf(f,
		"{\"logged\":true,\"action_id\":%" PRId64
		",\"risk_score\":%s,\"risk_breakdown\":%s,"
		"\"flagged\":%s,\"flag_reason\":%s,\"decision\":\"%s\"}",
		r->id, score, r->breakdown, r->flagged ? "true" : "false",
		json_object_to_json_string_ext(reason, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE),
		r->decision);
	json_object_put(reason);
}

/* Owned by the caller; NULL: no memory. */
static char *answer_of(const struct posting *p, bool many)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	if (many)
		fputc('[', f);
	for (unsigned i = 0; i < p->count; i++) {
		if (i > 0)
			fputc(',', f);
		put_logged(f, &p->records[i]);
	}
	if (many)
		fputc(']', f);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

static enum metric metric_of(const struct record *r)
{
	static const enum metric of[VERDICT_COUNT] = {
		[VERDICT_ALLOW] = METRIC_ACTIONS_ALLOW,
		[VERDICT_ALERT] = METRIC_ACTIONS_ALERT,
		[VERDICT_PAUSE] = METRIC_ACTIONS_PAUSE,
		[VERDICT_ROLLBACK] = METRIC_ACTIONS_ROLLBACK,
		[VERDICT_BLOCK] = METRIC_ACTIONS_BLOCK,
	};
	unsigned v = 0;
	while (v < VERDICT_BLOCK && strcmp(decisions[v], r->decision) != 0)
		v++;
	return r->duplicate ? METRIC_ACTIONS_REPEATED : of[v];
}

int api_actions_post(struct call *c, struct err *err)
{
	bool many = json_object_is_type(c->body, json_type_array);
	struct posting p = { .call = c,
			     .count = many ? (unsigned)json_object_array_length(c->body) : 1 };
	cleanup_free struct record *records = calloc(p.count + 1, sizeof(*records));
	cleanup_free struct evaluation *evaluations = calloc(p.count + 1, sizeof(*evaluations));
	p.records = records;
	p.evaluations = evaluations;
	if (!records || !evaluations)
		return err_set(err, ENOMEM, "out of memory");
	int r = call_write(c, run_posting, &p, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < p.count; i++)
		metrics_add(c->server->metrics, metric_of(&records[i]), 1);
	c->text = answer_of(&p, many);
	return c->text ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* ---- GET /api/actions ------------------------------------------------------------------------ */

struct listing {
	struct call *call;
	struct record_filter filter;
};

static int64_t run_listing(struct db *db, void *arg, struct err *err)
{
	struct listing *l = arg;
	const char *handle = l->call->query(l->call, "agent_id");
	struct agent a = { 0 };
	if (handle) {
		int r = agent_find(db, handle, &a, err);
		if (r < 0)
			return r == -ENOENT ? 0 : r; /* nobody has done nothing */
		l->filter.agent = a.id;
	}
	int64_t n = record_list(db, &l->filter, l->call->reply, err);
	agent_free(&a);
	return n;
}

int api_actions_list(struct call *c, struct err *err)
{
	struct listing l = { .call = c };
	struct page page;
	const char *since = c->query(c, "since");
	if (page_read(c, &page, err) < 0)
		return -EINVAL;
	l.filter = (struct record_filter){ .session = c->query(c, "session_id"),
					   .type = c->query(c, "type"),
					   .decision = c->query(c, "decision"),
					   .page = page };
	if (since && json_time_parse(since, &l.filter.since_us) < 0)
		return err_set(err, EINVAL, "since makes no sense");
	c->reply = json_object_new_array();
	int64_t r = call_read(c, run_listing, &l, err);
	if (r >= 0 && l.filter.session)
		page_next_by(c, c->reply, page.limit, "timestamp");
	else if (r >= 0)
		page_next(c, c->reply, page.limit);
	return r < 0 ? (int)r : 0;
}

/* ---- GET /api/risk/score ---------------------------------------------------------------------- */

int api_risk_score(struct call *c, struct err *err)
{
	const char *type = c->query(c, "action_type"), *resource = c->query(c, "resource");
	enum action_type known;
	if (!type || evaluate_type(type, &known) < 0)
		return err_set(err, EINVAL, "action_type is missing or unknown");
	c->body = json_object_new_object();
	json_put(c->body, "agent_id", json_object_new_string("new"));
	json_put(c->body, "action_type", json_object_new_string(type));
	json_put(c->body, "resource", json_object_new_string(resource ? resource : ""));
	struct check k = { .call = c };
	int r = call_read(c, run_check, &k, err);
	if (r < 0)
		return r;
	c->reply = json_object_new_object();
	json_put(c->reply, "risk_score", json_score(k.evaluation.risk));
	json_put(c->reply, "breakdown", json_verbatim(k.evaluation.breakdown));
	json_put(c->reply, "would_flag",
		 json_object_new_boolean(k.evaluation.verdict != VERDICT_ALLOW));
	return 0;
}
