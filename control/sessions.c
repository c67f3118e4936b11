#include "control/sessions.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "control/ids.h"
#include "control/json.h"
#include "control/page.h"

static struct db_value text_of(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_object_get(o, name);
	if (!v)
		return db_null();
	return db_t(json_object_is_type(v, json_type_string)
			    ? json_object_get_string(v)
			    : json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
}

static struct db_value time_of(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v = json_object_object_get(o, name);
	int64_t us;
	if (v && json_time_parse(json_object_get_string(v), &us) == 0)
		return db_i(us);
	return otherwise ? db_i(otherwise) : db_null();
}

static struct db_value int_of(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_object_get(o, name);
	return v ? db_i(json_object_get_int64(v)) : db_null();
}

static struct json_object *maybe_text(const struct db_row *row, int column)
{
	return json_text(db_is_null(row, column) ? NULL : db_text(row, column));
}

static struct json_object *maybe_int(const struct db_row *row, int column)
{
	return db_is_null(row, column) ? NULL : json_object_new_int64(db_int(row, column));
}

static struct json_object *maybe_json(const struct db_row *row, int column)
{
	return json_stored(db_is_null(row, column) ? NULL : db_text(row, column));
}

/* ---- sessions -------------------------------------------------------------------------------- */

int64_t feed_note(struct db *db, const char *kind, const char *body, struct err *err)
{
	return db_run(db, err, "INSERT INTO feed(id, kind, body) VALUES ($1, $2, $3)",
		      db_i(ids_next()), db_t(kind), db_t(body));
}

int64_t session_owned(struct db *db, const char *id, const char *key, struct err *err)
{
	return db_run(db, err, "SELECT 1 FROM sessions WHERE id = $1 AND key_id = $2", db_t(id),
		      db_t(key));
}

static int take_agent(const struct db_row *row, void *arg)
{
	snprintf(arg, AGENT_ID_SIZE, "%s", db_text(row, 0));
	return 0;
}

int session_agent(struct db *db, const char *id, char ret[static AGENT_ID_SIZE], struct err *err)
{
	*ret = '\0';
	int64_t n = db_each(db, err, take_agent, ret, "SELECT agent FROM sessions WHERE id = $1",
			    db_t(id));
	return n < 0 ? (int)n : 0;
}

int64_t session_report(struct db *db, const char *agent, const char *key, struct json_object *body,
		       struct err *err)
{
	int64_t now = ids_now_us();
	/* what a later report leaves out stays as it was */
	return db_run(
		db, err,
		"INSERT INTO sessions(id, agent, host, state, policy, mode, command, started_at,"
		" seen_at, ended_at, exit_code, info, changes, key_id)"
		" VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)"
		" ON CONFLICT (id) DO UPDATE SET state = excluded.state, seen_at = "
		"excluded.seen_at,"
		" ended_at = COALESCE(excluded.ended_at, sessions.ended_at),"
		" exit_code = COALESCE(excluded.exit_code, sessions.exit_code),"
		" info = COALESCE(excluded.info, sessions.info),"
		" changes = COALESCE(excluded.changes, sessions.changes)"
		" WHERE sessions.agent = excluded.agent AND sessions.key_id = excluded.key_id",
		text_of(body, "id"), db_t(agent), text_of(body, "host"), text_of(body, "state"),
		text_of(body, "policy"), text_of(body, "mode"), text_of(body, "command"),
		time_of(body, "started_at", now), db_i(now), time_of(body, "ended_at", 0),
		int_of(body, "exit_code"), text_of(body, "info"), text_of(body, "changes"),
		db_t(key));
}

static int append_session(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_text(db_text(row, 0)));
	json_put(o, "agent_id", maybe_text(row, 1));
	json_put(o, "host", maybe_text(row, 2));
	json_put(o, "state", maybe_text(row, 3));
	json_put(o, "policy", maybe_text(row, 4));
	json_put(o, "mode", maybe_text(row, 5));
	json_put(o, "command", maybe_json(row, 6));
	json_put(o, "started_at", json_time(db_int(row, 7)));
	json_put(o, "last_seen", json_time(db_int(row, 8)));
	json_put(o, "ended_at", json_time(db_int(row, 9)));
	json_put(o, "exit_code", maybe_int(row, 10));
	json_put(o, "info", maybe_json(row, 11));
	json_put(o, "changes", maybe_json(row, 12));
	json_put(o, "pending_approvals", json_object_new_int64(db_int(row, 13)));
	return json_object_array_add(arg, o);
}

#define SESSIONS \
	"SELECT s.id, a.agent_id, s.host, s.state, s.policy, s.mode, s.command, s.started_at," \
	" s.seen_at, s.ended_at, s.exit_code, s.info, s.changes, (SELECT count(*) FROM approvals " \
	"p" \
	" WHERE p.session_id = s.id AND p.state = 'pending') FROM sessions s" \
	" LEFT JOIN agents a ON a.id = s.agent "

int64_t session_row(struct db *db, const char *id, struct json_object *list, struct err *err)
{
	return db_each(db, err, append_session, list, SESSIONS "WHERE s.id = $1", db_t(id));
}

int64_t session_rows(struct db *db, const char *agent, const struct page *page,
		     struct json_object *list, struct err *err)
{
	return db_each(db, err, append_session, list,
		       SESSIONS "WHERE (s.started_at < $1 OR (s.started_at = $1 AND s.id > $4))"
				" AND ($2 = '' OR s.agent = $2)"
				" ORDER BY s.started_at DESC, s.id LIMIT $3",
		       db_i(page->at ? page->at : INT64_MAX), db_t(agent ? agent : ""),
		       db_i(page->limit), db_t(page->after));
}

static int append_id(const struct db_row *row, void *arg)
{
	return json_object_array_add(arg, json_object_new_string(db_text(row, 0)));
}

int64_t session_running(struct db *db, const char *agent, struct json_object *list, struct err *err)
{
	return db_each(db, err, append_id, list,
		       "SELECT id FROM sessions WHERE agent = $1 AND ended_at IS NULL"
		       " AND id NOT LIKE 'sdk-%' ORDER BY started_at DESC LIMIT 1000",
		       db_t(agent));
}

/* ---- approvals ------------------------------------------------------------------------------- */

int64_t approval_report(struct db *db, const char *session, struct json_object *body,
			struct err *err)
{
	return db_run(db, err,
		      "INSERT INTO approvals(id, session_id, agent, request_id, request, state, "
		      "created_at)"
		      " SELECT $1, s.id, s.agent, $3, $4, $5, $6 FROM sessions s WHERE s.id = $2"
		      " ON CONFLICT (session_id, request_id) DO UPDATE SET state = excluded.state"
		      " WHERE approvals.state = excluded.state OR approvals.state = 'pending'"
		      " OR (approvals.state = 'expired' AND excluded.state <> 'pending')",
		      db_i(ids_next()), db_t(session), text_of(body, "request_id"),
		      text_of(body, "request"), text_of(body, "state"), db_i(ids_now_us()));
}

static int append_approval(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "session_id", maybe_text(row, 1));
	json_put(o, "agent_id", maybe_text(row, 2));
	json_put(o, "request_id", maybe_text(row, 3));
	json_put(o, "request", maybe_json(row, 4));
	json_put(o, "state", maybe_text(row, 5));
	json_put(o, "scope", maybe_text(row, 6));
	json_put(o, "reason", maybe_text(row, 7));
	json_put(o, "decided_by", maybe_text(row, 8));
	json_put(o, "created_at", json_time(db_int(row, 9)));
	json_put(o, "decided_at", json_time(db_int(row, 10)));
	return json_object_array_add(arg, o);
}

#define APPROVALS \
	"SELECT p.id, p.session_id, a.agent_id, p.request_id, p.request, p.state, p.scope," \
	" p.reason, p.decided_by, p.created_at, p.decided_at FROM approvals p" \
	" LEFT JOIN agents a ON a.id = p.agent "

int64_t approval_row(struct db *db, int64_t id, struct json_object *list, struct err *err)
{
	return db_each(db, err, append_approval, list, APPROVALS "WHERE p.id = $1", db_i(id));
}

int64_t approval_rows(struct db *db, const char *state, const struct page *page,
		      struct json_object *list, struct err *err)
{
	return db_each(db, err, append_approval, list,
		       APPROVALS
		       "WHERE ($1 = '' OR p.state = $1) AND p.id > $2 ORDER BY p.id LIMIT $3",
		       db_t(state ? state : ""), db_i(page->at), db_i(page->limit));
}

int64_t approval_decided(struct db *db, int64_t id, const char *decision, const char *scope,
			 const char *reason, const char *by, struct err *err)
{
	return db_run(db, err,
		      "UPDATE approvals SET state = $2, scope = $3, reason = $4, decided_by = $5,"
		      " decided_at = $6 WHERE id = $1",
		      db_i(id), db_t(decision), db_t(scope), db_t(reason), db_t(by),
		      db_i(ids_now_us()));
}

/* ---- commands -------------------------------------------------------------------------------- */

int64_t command_give(struct db *db, const char *session, const char *kind, const char *body,
		     int64_t *ret_id, struct err *err)
{
	*ret_id = ids_next();
	return db_run(db, err,
		      "INSERT INTO commands(id, session_id, kind, body, state, created_at)"
		      " VALUES ($1, $2, $3, $4, 'waiting', $5)",
		      db_i(*ret_id), db_t(session), db_t(kind), db_t(body), db_i(ids_now_us()));
}

static int append_command(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "kind", maybe_text(row, 1));
	json_put(o, "body", maybe_json(row, 2));
	return json_object_array_add(arg, o);
}

int64_t command_take(struct db *db, const char *session, struct json_object *list, struct err *err)
{
	return db_each(
		db, err, append_command, list,
		"UPDATE commands SET state = 'taken' WHERE session_id = $1 AND state = 'waiting'"
		" RETURNING id, kind, body",
		db_t(session));
}

static int take_int(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

int64_t command_waiting(struct db *db, const char *session, struct err *err)
{
	int64_t count = 0;
	int64_t n =
		db_each(db, err, take_int, &count,
			"SELECT count(*) FROM commands WHERE session_id = $1 AND state = 'waiting'",
			db_t(session));
	return n < 0 ? n : count;
}

int64_t command_done(struct db *db, const char *session, int64_t id, bool ok, const char *result,
		     struct err *err)
{
	return db_run(db, err,
		      "UPDATE commands SET state = $3, result = $4, done_at = $5"
		      " WHERE id = $1 AND session_id = $2 AND state IN ('waiting', 'taken')",
		      db_i(id), db_t(session), db_t(ok ? "done" : "failed"), db_t(result),
		      db_i(ids_now_us()));
}

static int append_result(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "session_id", maybe_text(row, 1));
	json_put(o, "state", maybe_text(row, 2));
	json_put(o, "result", maybe_json(row, 3));
	return json_object_array_add(arg, o);
}

int64_t command_result(struct db *db, int64_t id, struct json_object *list, struct err *err)
{
	return db_each(db, err, append_result, list,
		       "SELECT id, session_id, state, result FROM commands WHERE id = $1 AND state "
		       "IN ('done', 'failed')",
		       db_i(id));
}

/* ---- rollbacks --------------------------------------------------------------------------------- */

int64_t rollback_note(struct db *db, const char *agent, const char *session,
		      struct json_object *result, const char *reason, const char *by,
		      int64_t *ret_id, struct err *err)
{
	struct json_object *ids = json_object_object_get(result, "action_ids");
	struct json_object *count = json_object_object_get(result, "rolled_back");
	struct json_object *message = json_object_object_get(result, "message");
	*ret_id = ids_next();
	int64_t n = db_run(
		db, err,
		"INSERT INTO rollbacks(id, agent, session_id, n_actions, action_ids, message,"
		" reason, initiated_by, created_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9)",
		db_i(*ret_id), db_t(agent), db_t(session), db_i(json_object_get_int64(count)),
		db_t(ids ? json_object_to_json_string_ext(ids, JSON_C_TO_STRING_PLAIN) : "[]"),
		db_t(message ? json_object_get_string(message) : ""), db_t(reason), db_t(by),
		db_i(ids_now_us()));
	if (n >= 0)
		n = db_run(db, err,
			   "UPDATE agents SET rolled_back = rolled_back + $2 WHERE id = $1",
			   db_t(agent), db_i(json_object_get_int64(count)));
	return n;
}

static int append_rollback(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "agent_id", maybe_text(row, 1));
	json_put(o, "session_id", maybe_text(row, 2));
	json_put(o, "rolled_back", json_object_new_int64(db_int(row, 3)));
	json_put(o, "action_ids", maybe_json(row, 4));
	json_put(o, "message", maybe_text(row, 5));
	json_put(o, "reason", maybe_text(row, 6));
	json_put(o, "initiated_by", maybe_text(row, 7));
	json_put(o, "created_at", json_time(db_int(row, 8)));
	return json_object_array_add(arg, o);
}

int64_t rollback_rows(struct db *db, int64_t before, int64_t limit, struct json_object *list,
		      struct err *err)
{
	return db_each(
		db, err, append_rollback, list,
		"SELECT r.id, a.agent_id, r.session_id, r.n_actions, r.action_ids, r.message,"
		" r.reason, r.initiated_by, r.created_at FROM rollbacks r"
		" LEFT JOIN agents a ON a.id = r.agent WHERE r.id < $1 ORDER BY r.id DESC LIMIT $2",
		db_i(before ? before : INT64_MAX), db_i(limit));
}
