#include "control/alerts.h"

#include <json-c/json.h>

#include "control/ids.h"
#include "control/json.h"

int64_t alert_open(struct db *db, const struct alert *a, int64_t *ret_id, struct err *err)
{
	int64_t id = ids_next();
	if (ret_id)
		*ret_id = id;
	return db_run(db, err,
		      "INSERT INTO alerts(id, agent, action, level, message, source, created_at)"
		      " VALUES ($1, $2, $3, $4, $5, $6, $7)",
		      db_i(id), db_t(a->agent), a->action ? db_i(a->action) : db_null(),
		      db_t(a->level), db_t(a->message), db_t(a->source), db_i(ids_now_us()));
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
	return json_object_array_add(arg, o);
}

#define SELECT \
	"SELECT x.id, a.agent_id, x.action, x.level, x.message, x.acknowledged, x.created_at, " \
	"x.source" \
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
