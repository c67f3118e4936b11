#include "control/policies.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "control/agents.h"
#include "control/ids.h"
#include "control/json.h"

static int take_int(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

int64_t rule_version(struct db *db, struct err *err)
{
	int64_t version = 0;
	int64_t n = db_query(db, "SELECT value FROM meta WHERE name = 'policies_version'", NULL, 0,
			     take_int, &version, err);
	return n < 0 ? n : version;
}

static int64_t raise_version(struct db *db, struct err *err)
{
	return db_query(db, "UPDATE meta SET value = value + 1 WHERE name = 'policies_version'",
			NULL, 0, NULL, NULL, err);
}

static const char *text_or_null(const struct db_row *row, int column)
{
	return db_is_null(row, column) ? NULL : db_text(row, column);
}

static int append(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_text(db_text(row, 0)));
	json_put(o, "name", json_text(db_text(row, 1)));
	json_put(o, "action_type", json_text(text_or_null(row, 2)));
	json_put(o, "resource_pattern", json_text(text_or_null(row, 3)));
	json_put(o, "effect", json_text(db_text(row, 4)));
	json_put(o, "max_risk_score", db_is_null(row, 5) ? NULL : json_score(db_real(row, 5)));
	json_put(o, "priority", json_object_new_int64(db_int(row, 6)));
	json_put(o, "time_start", json_text(text_or_null(row, 7)));
	json_put(o, "time_end", json_text(text_or_null(row, 8)));
	json_put(o, "days_allowed", json_stored(text_or_null(row, 9)));
	json_put(o, "enabled", json_object_new_boolean((json_bool)db_int(row, 10)));
	json_put(o, "created_at", json_time(db_int(row, 11)));
	json_put(o, "updated_at", json_time(db_int(row, 12)));
	return json_object_array_add(arg, o);
}

#define COLUMNS \
	"id, name, action_type, resource_pattern, effect, max_risk_score, priority, time_start," \
	" time_end, days_allowed, enabled, created_at, updated_at"

int64_t rule_list(struct db *db, bool only_enabled, int64_t limit, struct json_object *list,
		  struct err *err)
{
	/* at one priority the strictest first, as the evaluator takes them */
	return db_each(
		db, err, append, list,
		"SELECT " COLUMNS " FROM policies WHERE enabled >= $1 ORDER BY priority DESC,"
		" CASE effect WHEN 'block' THEN 0 WHEN 'pause' THEN 1 ELSE 2 END, id LIMIT $2",
		db_i(only_enabled), db_i(limit));
}

static int64_t get(struct db *db, const char *id, struct json_object *list, struct err *err)
{
	return db_each(db, err, append, list, "SELECT " COLUMNS " FROM policies WHERE id = $1",
		       db_t(id));
}

/* A member as a value of SQL; lists as their JSON text. */
static struct db_value member(struct json_object *body, const char *name)
{
	struct json_object *v = json_object_object_get(body, name);
	switch (json_object_get_type(v)) {
	case json_type_int:
		return db_i(json_object_get_int64(v));
	case json_type_double:
		return db_r(json_object_get_double(v));
	case json_type_boolean:
		return db_i(json_object_get_boolean(v));
	case json_type_string:
		return db_t(json_object_get_string(v));
	case json_type_array:
	case json_type_object:
		return db_t(json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
	case json_type_null:
		break;
	}
	return db_null();
}

int64_t rule_create(struct db *db, struct json_object *body, struct json_object *list,
		    struct err *err)
{
	char id[AGENT_ID_SIZE];
	int64_t now = ids_now_us(), count = 0;
	uuid_make(id);
	int64_t n = db_query(db, "SELECT count(*) FROM policies", NULL, 0, take_int, &count, err);
	if (n >= 0 && count >= RULES_MAX)
		n = err_set(err, EEXIST, "there are %d rules, and more would not be enforced",
			    (int)RULES_MAX);
	if (n < 0)
		return n;
	struct db_value priority = member(body, "priority");
	if (priority.type == DB_NULL)
		priority = db_i(0);
	n = db_run(db, err,
		   "INSERT INTO policies(" COLUMNS
		   ") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,1,$11,$12)",
		   db_t(id), member(body, "name"), member(body, "action_type"),
		   member(body, "resource_pattern"), member(body, "effect"),
		   member(body, "max_risk_score"), priority, member(body, "time_start"),
		   member(body, "time_end"), member(body, "days_allowed"), db_i(now), db_i(now));
	if (n >= 0)
		n = raise_version(db, err);
	return n < 0 ? n : get(db, id, list, err);
}

int64_t rule_update(struct db *db, const char *id, struct json_object *body,
		    struct json_object *list, struct err *err)
{
	struct json_object *rows = json_object_new_array();
	int64_t n = get(db, id, rows, err);
	if (n > 0) {
		struct json_object *row = json_object_array_get_idx(rows, 0);
		json_object_object_foreach(body, name, value)
			json_object_object_add(row, name, json_object_get(value));
		n = db_run(db, err,
			   "UPDATE policies SET name = $2, action_type = $3, resource_pattern = $4,"
			   " effect = $5, max_risk_score = $6, priority = $7, time_start = $8,"
			   " time_end = $9, days_allowed = $10, enabled = $11, updated_at = $12 "
			   "WHERE id = $1",
			   db_t(id), member(row, "name"), member(row, "action_type"),
			   member(row, "resource_pattern"), member(row, "effect"),
			   member(row, "max_risk_score"), member(row, "priority"),
			   member(row, "time_start"), member(row, "time_end"),
			   member(row, "days_allowed"), member(row, "enabled"), db_i(ids_now_us()));
	}
	json_object_put(rows);
	if (n > 0 && raise_version(db, err) < 0)
		return -EIO;
	return n > 0 ? get(db, id, list, err) : n;
}

int64_t rule_delete(struct db *db, const char *id, struct err *err)
{
	int64_t n = db_run(db, err, "DELETE FROM policies WHERE id = $1", db_t(id));
	if (n > 0 && raise_version(db, err) < 0)
		return -EIO;
	return n;
}
