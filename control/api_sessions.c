/* Sandboxes: what they report, what people want of them, and what came of it. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/ids.h"
#include "control/json.h"
#include "control/page.h"
#include "control/policies.h"
#include "control/sessions.h"

enum {
	POLL_MAX_S = 30, /* a gateway's long poll */
	ANSWER_S = 10,   /* for a sandbox to do as it was told */
	ROLLBACK_S = 60,
	LOOK_US = 1000000, /* a waiting call looks at least so often */
};

static bool wait_until(struct call *c, int64_t deadline_us)
{
	int64_t now = ids_now_us();
	if (now >= deadline_us)
		return false;
	c->wait_us = deadline_us < now + LOOK_US ? deadline_us : now + LOOK_US;
	return true;
}

/* ---- what a gateway says ------------------------------------------------------------------------ */

static int64_t run_report(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct agent a;
	struct json_object *line = json_object_new_object();
	int64_t n = agent_touch(db, call_text(c, "agent_id"), NULL, &a, err);
	if (n == 0)
		n = session_report(db, a.id, c->key.id, c->body, err);
	if (n == 0)
		n = err_set(err, EEXIST, "the session is another's");
	json_put(line, "id", json_object_new_string(call_text(c, "id")));
	json_put(line, "state", json_object_new_string(call_text(c, "state")));
	if (n > 0)
		n = feed_note(db, "session", json_object_to_json_string(line), err);
	json_object_put(line);
	json_object_put(c->reply);
	/* the profile goes along: a gateway that starts needs it at once */
	c->reply = n > 0 ? agent_json(&a) : NULL;
	agent_free(&a);
	return n;
}

int api_sessions_report(struct call *c, struct err *err)
{
	return call_write(c, run_report, c, err);
}

static int own_session(struct db *db, struct call *c, struct err *err)
{
	int64_t n = session_owned(db, c->id[0], c->key.id, err);
	return n == 0 ? err_set(err, ENOENT, "no such session of this key") : n < 0 ? (int)n : 0;
}

/*
 * The agent's profile and the rules are no rows of commands: whoever polls names the version it has, and is
 * told when there is another. So nothing is missed and nothing piles up, whoever was away for however long.
 */
static int put_orders(struct db *db, struct call *c, const char *known, struct err *err)
{
	char id[AGENT_ID_SIZE], version[128];
	struct agent a;
	struct json_object *policy = NULL;
	int64_t rules = rule_version(db, err);
	int r = rules < 0 ? (int)rules : session_agent(db, c->id[0], id, err);
	if (r < 0)
		return r;
	r = agent_find(db, id, &a, err);
	if (r == -ENOENT) { /* forgotten: the rules are left */
		a = (struct agent){ .mode = "alert", .rate = -1, .max_risk = -1 };
		r = 0;
	}
	if (r < 0)
		return r;
	snprintf(version, sizeof(version), "%s.%" PRId64 ".%" PRId64, a.id, a.version, rules);
	bool news = strcmp(version, known) != 0;
	if (news)
		r = evaluate_policy(db, &a, &policy, err);
	if (news && r == 0) {
		struct json_object *o = json_object_new_object(), *body = json_object_new_object();
		json_put(body, "version", json_object_new_string(version));
		json_put(body, "paused", json_object_new_boolean(a.paused));
		json_put(body, "terminated", json_object_new_boolean(a.terminated));
		json_put(body, "policy", json_object_get(policy));
		json_put(o, "id", json_object_new_int64(0)); /* nobody waits for its outcome */
		json_put(o, "kind", json_object_new_string("orders"));
		json_put(o, "body", body);
		c->reply = json_object_new_array();
		json_object_array_add(c->reply, o);
	}
	json_object_put(policy);
	agent_free(&a);
	return r;
}

/* How many commands wait; where there is none, what else there is to be told is the answer. */
static int64_t count_commands(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	const char *known = c->query(c, "orders");
	int r = own_session(db, c, err);
	int64_t n = r < 0 ? r : command_waiting(db, c->id[0], err);
	json_object_put(c->reply);
	c->reply = n > 0 ? json_object_new_array() : NULL;
	if (n == 0 && known)
		n = put_orders(db, c, known, err);
	return n;
}

static int64_t take_commands(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	json_object_put(c->reply);
	c->reply = json_object_new_array();
	return command_take(db, c->id[0], c->reply, err);
}

int api_sessions_commands(struct call *c, struct err *err)
{
	const char *text = c->query(c, "wait");
	int64_t wait = text ? strtoll(text, NULL, 10) : 0;
	if (wait < 0 || wait > POLL_MAX_S)
		return err_set(err, EINVAL, "wait is 0 to %d seconds", POLL_MAX_S);
	int r = call_read(c, count_commands, c, err);
	if (r < 0)
		return r;
	if (c->reply)
		return json_object_array_length(c->reply) ? 0
							  : call_write(c, take_commands, c, err);
	if (!wait_until(c, c->first_us + wait * 1000000))
		c->reply = json_object_new_array();
	return 0;
}

static int64_t run_done(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *result = json_object_object_get(c->body, "result");
	bool ok = json_object_get_boolean(json_object_object_get(c->body, "ok"));
	int r = own_session(db, c, err);
	if (r < 0)
		return r;
	int64_t n =
		command_done(db, c->id[0], strtoll(c->id[1], NULL, 10), ok,
			     json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN), err);
	if (n == 0)
		return err_set(err, ENOENT, "no such command, or it was answered");
	return n < 0 ? n : feed_note(db, "command", "{}", err);
}

int api_sessions_done(struct call *c, struct err *err)
{
	c->reply = json_object_new_object();
	json_put(c->reply, "noted", json_object_new_boolean(1));
	return call_announce(c, run_done, c, err);
}

static int64_t run_approval_report(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	int r = own_session(db, c, err);
	int64_t n = r < 0 ? r : approval_report(db, c->id[0], c->body, err);
	if (n == 0)
		n = err_set(err, EEXIST, "it was decided already");
	return n < 0 ? n : feed_note(db, "approval", json_object_to_json_string(c->body), err);
}

int api_approvals_report(struct call *c, struct err *err)
{
	c->reply = json_object_new_object();
	json_put(c->reply, "noted", json_object_new_boolean(1));
	return call_write(c, run_approval_report, c, err);
}

/* ---- what people see -------------------------------------------------------------------------------- */

struct listing {
	struct call *call;
	struct page page;
};

static int64_t run_list(struct db *db, void *arg, struct err *err)
{
	struct listing *l = arg;
	const char *handle = l->call->query(l->call, "agent_id");
	struct agent a = { 0 };
	int r = handle ? agent_find(db, handle, &a, err) : 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	int64_t n = session_rows(db, handle ? a.id : NULL, &l->page, l->call->reply, err);
	agent_free(&a);
	return n;
}

int api_sessions_list(struct call *c, struct err *err)
{
	struct listing l = { .call = c };
	if (page_read(c, &l.page, err) < 0)
		return -EINVAL;
	c->reply = json_object_new_array();
	int r = call_read(c, run_list, &l, err);
	if (r == 0)
		page_next_by(c, c->reply, l.page.limit, "started_at");
	return r;
}

static int64_t run_row(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	return session_row(db, c->id[0], c->reply, err);
}

/* The row of the session in the path becomes the answer. */
static int one_session(struct call *c, struct err *err)
{
	c->reply = json_object_new_array();
	int r = call_read(c, run_row, c, err);
	if (r < 0)
		return r;
	struct json_object *row = json_object_array_get_idx(c->reply, 0);
	if (!row)
		return err_set(err, ENOENT, "no such session");
	json_object_get(row);
	json_object_put(c->reply);
	c->reply = row;
	return 0;
}

int api_sessions_get(struct call *c, struct err *err)
{
	return one_session(c, err);
}

int api_sessions_changes(struct call *c, struct err *err)
{
	int r = one_session(c, err);
	if (r < 0)
		return r;
	struct json_object *changes = json_object_get(json_object_object_get(c->reply, "changes"));
	json_object_put(c->reply);
	c->reply = changes ? changes : json_object_new_array();
	return 0;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

struct order {
	struct call *call;
	const char *session, *kind;
	struct json_object *body;
	int64_t id;
};

static int64_t run_order(struct db *db, void *arg, struct err *err)
{
	struct order *o = arg;
	int64_t n = command_give(db, o->session, o->kind,
				 json_object_to_json_string_ext(o->body, JSON_C_TO_STRING_PLAIN),
				 &o->id, err);
	if (n >= 0)
		n = audit_note(db, &o->call->key, o->kind, o->session, err);
	return n < 0 ? n : feed_note(db, "command", "{}", err);
}

static int64_t run_result(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	c->reply = json_object_new_array();
	return command_result(db, json_object_get_int64(c->memo), c->reply, err);
}

/*
 * Gives the command at the first run and waits for the sandbox's word. 1: c->reply is its answer {state, result}; 0: the
 * call waits, or c says what went wrong.
 */
static int give_and_wait(struct call *c, const char *session, const char *kind,
			 struct json_object *body, int64_t seconds, struct err *err)
{
	if (!c->memo) {
		struct order o = { c, session, kind, body, 0 };
		int r = call_announce(c, run_order, &o, err);
		if (r < 0)
			return r;
		c->memo = json_object_new_int64(o.id);
	}
	int r = call_read(c, run_result, c, err);
	if (r < 0)
		return r;
	struct json_object *row = json_object_get(json_object_array_get_idx(c->reply, 0));
	json_object_put(c->reply);
	c->reply = row;
	if (row &&
	    strcmp(json_object_get_string(json_object_object_get(row, "state")), "done") == 0)
		return 1;
	if (row) {
		struct json_object *result = json_object_object_get(row, "result");
		return call_refuse(c, 409, "%s",
				   result ? json_object_get_string(result) : "the sandbox refused");
	}
	if (wait_until(c, c->first_us + seconds * 1000000))
		return 0;
	return call_refuse(c, 409, "the sandbox did not answer within %lld s", (long long)seconds);
}

/* The result alone becomes the answer. */
static int answer_result(struct call *c)
{
	struct json_object *result = json_object_get(json_object_object_get(c->reply, "result"));
	json_object_put(c->reply);
	c->reply = result ? result : json_object_new_object();
	return 0;
}

int api_sessions_control(struct call *c, struct err *err)
{
	int r = give_and_wait(c, c->id[0], call_text(c, "command"), c->body, ANSWER_S, err);
	return r == 1 ? answer_result(c) : r;
}

int api_sessions_diff(struct call *c, struct err *err)
{
	const char *path = c->query(c, "path");
	struct json_object *body = json_object_new_object();
	json_put(body, "path", json_text(path));
	int r = give_and_wait(c, c->id[0], "diff", body, ANSWER_S, err);
	json_object_put(body);
	return r == 1 ? answer_result(c) : r;
}

/* ---- approvals -------------------------------------------------------------------------------------------- */

struct asking {
	struct call *call;
	const char *state;
	struct page page;
};

static int64_t run_approvals(struct db *db, void *arg, struct err *err)
{
	struct asking *a = arg;
	return approval_rows(db, a->state, &a->page, a->call->reply, err);
}

int api_approvals_list(struct call *c, struct err *err)
{
	const char *state = c->query(c, "state");
	struct asking a = { c, state ? state : "pending", { 0 } };
	if (page_read(c, &a.page, err) < 0)
		return -EINVAL;
	if (strcmp(a.state, "all") == 0)
		a.state = NULL;
	c->reply = json_object_new_array();
	int r = call_read(c, run_approvals, &a, err);
	if (r == 0)
		page_next(c, c->reply, a.page.limit);
	return r;
}

static int64_t run_decided(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	const char *scope = call_text(c, "scope");
	const char *word = strcmp(call_text(c, "decision"), "allow") == 0 ? "allowed" : "denied";
	return approval_decided(db, strtoll(c->id[0], NULL, 10), word, scope ? scope : "once",
				call_text(c, "reason"), c->key.name, err);
}

struct question {
	int64_t id;
	struct json_object *list; /* owned; of none or one */
};

static int64_t run_question(struct db *db, void *arg, struct err *err)
{
	struct question *q = arg;
	return approval_row(db, q->id, q->list, err);
}

int api_approvals_decide(struct call *c, struct err *err)
{
	struct question q = { strtoll(c->id[0], NULL, 10), json_object_new_array() };
	int r = call_read(c, run_question, &q, err);
	struct json_object *row = json_object_array_get_idx(q.list, 0);
	if (r == 0 && !row) {
		r = err_set(err, ENOENT, "no such approval");
	} else if (r == 0 && !c->memo &&
		   strcmp(json_object_get_string(json_object_object_get(row, "state")),
			  "pending") != 0) {
		call_refuse(c, 409, "it was decided already");
	} else if (r == 0) {
		struct json_object *body = json_object_new_object();
		json_put(body, "request_id",
			 json_object_get(json_object_object_get(row, "request_id")));
		json_put(body, "decision", json_object_new_string(call_text(c, "decision")));
		json_put(body, "scope", json_text(call_text(c, "scope")));
		json_put(body, "reason", json_text(call_text(c, "reason")));
		r = give_and_wait(c,
				  json_object_get_string(json_object_object_get(row, "session_id")),
				  "answer", body, ANSWER_S, err);
		json_object_put(body);
		if (r == 1)
			r = call_write(c, run_decided, c, err);
		if (r == 0 && c->status == 200 && !c->wait_us)
			r = answer_result(c);
	}
	json_object_put(q.list);
	return r;
}

/* ---- rollback ------------------------------------------------------------------------------------------------ */

struct reversal {
	struct call *call;
	char agent[AGENT_ID_SIZE], session[CALL_ID_SIZE];
	struct json_object *result;
	int64_t id;
};

static int64_t find_running(struct db *db, void *arg, struct err *err)
{
	struct reversal *v = arg;
	struct agent a;
	struct json_object *list = json_object_new_array();
	int64_t n = agent_find(db, call_text(v->call, "agent_id"), &a, err);
	if (n == 0) {
		memcpy(v->agent, a.id, sizeof(v->agent));
		n = session_running(db, a.id, list, err);
	}
	if (n > 0)
		snprintf(v->session, sizeof(v->session), "%s",
			 json_object_get_string(json_object_array_get_idx(list, 0)));
	json_object_put(list);
	agent_free(&a);
	return n;
}

static int64_t run_note(struct db *db, void *arg, struct err *err)
{
	struct reversal *v = arg;
	const char *by = call_text(v->call, "initiated_by");
	return rollback_note(db, v->agent, v->session, v->result, call_text(v->call, "reason"),
			     by ? by : v->call->key.name, &v->id, err);
}

int api_rollback(struct call *c, struct err *err)
{
	struct reversal v = { .call = c };
	int r = call_read(c, find_running, &v, err);
	if (r < 0)
		return r;
	if (!*v.session)
		return call_refuse(c, 409,
				   "no running sandbox of this agent could reverse anything");
	struct json_object *body = json_object_new_object();
	struct json_object *count = json_object_object_get(c->body, "n_actions");
	json_put(body, "last", json_object_new_int64(count ? json_object_get_int64(count) : 1));
	r = give_and_wait(c, v.session, "rollback", body, ROLLBACK_S, err);
	json_object_put(body);
	if (r != 1)
		return r;
	answer_result(c);
	v.result = c->reply;
	r = call_write(c, run_note, &v, err);
	json_put(c->reply, "rollback_id", json_object_new_int64(v.id));
	return r;
}

static int64_t run_history(struct db *db, void *arg, struct err *err)
{
	struct listing *l = arg;
	return rollback_rows(db, l->page.at, l->page.limit, l->call->reply, err);
}

int api_rollback_history(struct call *c, struct err *err)
{
	struct listing l = { .call = c };
	if (page_read(c, &l.page, err) < 0)
		return -EINVAL;
	c->reply = json_object_new_array();
	int r = call_read(c, run_history, &l, err);
	if (r == 0)
		page_next(c, c->reply, l.page.limit);
	return r;
}
