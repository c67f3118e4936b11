#include "control/audit.h"

#include <json-c/json.h>

#include "control/ids.h"
#include "control/json.h"
#include "control/keys.h"

int64_t audit_note(struct db *db, const struct key *key, const char *what, const char *detail,
		   struct err *err)
{
	return db_run(db, err,
		      "INSERT INTO audit(id, key_id, what, detail, at) VALUES ($1, $2, $3, $4, $5)",
		      db_i(ids_next()), db_t(key->id), db_t(what), db_t(detail),
		      db_i(ids_now_us()));
}

static int append(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "key_id", json_text(db_text(row, 1)));
	json_put(o, "key_name", json_text(db_is_null(row, 2) ? NULL : db_text(row, 2)));
	json_put(o, "what", json_text(db_text(row, 3)));
	json_put(o, "detail", json_text(db_text(row, 4)));
	json_put(o, "created_at", json_time(db_int(row, 5)));
	return json_object_array_add(arg, o);
}

int64_t audit_rows(struct db *db, int64_t before, int64_t limit, struct json_object *list,
		   struct err *err)
{
	return db_each(db, err, append, list,
		       "SELECT x.id, x.key_id, k.name, x.what, x.detail, x.at FROM audit x"
		       " LEFT JOIN keys k ON k.id = x.key_id WHERE x.id < $1"
		       " ORDER BY x.id DESC LIMIT $2",
		       db_i(before ? before : INT64_MAX), db_i(limit));
}
