#include "control/alerts.h"

#include <json-c/json.h>

#include "control/ids.h"
#include "control/json.h"

static int take_id(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

/* 1: it was counted under the alert *ret_id. */
static int64_t count_under(struct db *db, const struct alert *a, int64_t window_us, int64_t *ret_id,
			   struct err *err)
{
	int64_t now = ids_now_us();
	return db_each(db, err, take_id, ret_id,
		       "UPDATE alerts SET count = count + $5, last_at = $6 WHERE id = (SELECT "
		       "max(id) FROM alerts WHERE agent = $1 AND kind = $2 AND session_id = $3"
		       " AND level = $4 AND acknowledged = 0 AND id > $7) RETURNING id",
		       db_t(a->agent), db_t(a->kind), db_t(a->session ? a->session : ""),
		       db_t(a->level), db_i(a->count), db_i(now), db_i(ids_at(now - window_us)));
}

int64_t alert_open(struct db *db, const struct alert *a, int64_t window_us, int64_t *ret_id,
		   struct err *err)
{
	int64_t id = 0, now = ids_now_us();
	int64_t n = a->kind && window_us > 0 ? count_under(db, a, window_us, &id, err) : 0;
	if (n == 0)
		id = ids_next();
	if (n >= 0 && ret_id)
		*ret_id = id;
	if (n != 0)
		return n;
	return db_run(db, err,
		      "INSERT INTO alerts(id, agent, action, level, message, source, created_at,"
		      " session_id, kind, count, last_at)"
		      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $7)",
		      db_i(id), db_t(a->agent), a->action ? db_i(a->action) : db_null(),
		      db_t(a->level), db_t(a->message), db_t(a->source), db_i(a->at ? a->at : now),
		      db_t(a->session ? a->session : ""), db_t(a->kind), db_i(a->count));
}

int64_t alert_acknowledge(struct db *db, int64_t id, const char *by, struct err *err)
{
	return db_run(db, err,
		      "UPDATE alerts SET acknowledged = 1, acknowledged_by = $2 WHERE id = $1",
		      db_i(id), db_t(by));
}

static int append(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "agent_id", json_text(db_is_null(row, 1) ? NULL : db_text(row, 1)));
	json_put(o, "action_id", db_is_null(row, 2) ? NULL : json_object_new_int64(db_int(row, 2)));
	json_put(o, "level", json_text(db_text(row, 3)));
	json_put(o, "message", json_text(db_text(row, 4)));
	json_put(o, "acknowledged", json_object_new_boolean((json_bool)db_int(row, 5)));
	json_put(o, "created_at", json_time(db_int(row, 6)));
	json_put(o, "source", json_text(db_is_null(row, 7) ? NULL : db_text(row, 7)));
	json_put(o, "session_id", json_text(*db_text(row, 8) ? db_text(row, 8) : NULL));
	json_put(o, "count", json_object_new_int64(db_int(row, 9)));
	json_put(o, "last_at", json_time(db_int(row, 10)));
	return json_object_array_add(arg, o);
}

#define SELECT \
	"SELECT x.id, a.agent_id, x.action, x.level, x.message, x.acknowledged, x.created_at, " \
	"x.source, x.session_id, x.count, COALESCE(x.last_at, x.created_at)" \
	" FROM alerts x LEFT JOIN agents a ON a.id = x.agent "

int64_t alert_list(struct db *db, const struct alert_filter *f, struct json_object *list,
		   struct err *err)
{
	struct db_value before = db_i(f->before ? f->before : INT64_MAX);
	struct db_value agent = db_t(f->agent ? f->agent : "");
	if (f->acknowledged < 0)
		return db_each(
			db, err, append, list,
			SELECT
			"WHERE x.id < $1 AND ($2 = '' OR x.agent = $2) ORDER BY x.id DESC LIMIT $3",
			before, agent, db_i(f->limit));
	return db_each(db, err, append, list,
		       SELECT
		       "WHERE x.acknowledged = $4 AND x.id < $1 AND ($2 = '' OR x.agent = $2)"
		       " ORDER BY x.id DESC LIMIT $3",
		       before, agent, db_i(f->limit), db_i(f->acknowledged));
}

int64_t alert_get(struct db *db, int64_t id, struct json_object *list, struct err *err)
{
	return db_each(db, err, append, list, SELECT "WHERE x.id = $1", db_i(id));
}

int64_t alert_between(struct db *db, int64_t after, int64_t until, int64_t limit,
		      struct json_object *list, struct err *err)
{
	return db_each(db, err, append, list,
		       SELECT "WHERE x.id > $1 AND x.id < $2 ORDER BY x.id LIMIT $3", db_i(after),
		       db_i(until), db_i(limit));
}
