#include "control/agents.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/ids.h"
#include "control/json.h"
#include "control/page.h"

void uuid_make(char ret[static AGENT_ID_SIZE])
{
	unsigned char b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		abort(); /* 16 bytes are never cut short once the pool is ready (getrandom(2)) */
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(ret, AGENT_ID_SIZE,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

#define COLUMNS \
	"id, agent_id, name, kill_switch_mode, paused, terminated, allowed_action_types," \
	" allowed_resources, blocked_resources, max_actions_per_minute, max_risk_score, version," \
	" created_at, updated_at, last_seen_at, actions, flagged, rolled_back, allowed, risk_sum"

static char *copy(const struct db_row *row, int column)
{
	return db_is_null(row, column) ? NULL : strdup(db_text(row, column));
}

static int take(const struct db_row *row, void *arg)
{
	struct agent *a = arg;
	*a = (struct agent){
		.agent_id = copy(row, 1),
		.name = copy(row, 2),
		.paused = db_int(row, 4),
		.terminated = db_int(row, 5),
		.allowed_types = copy(row, 6),
		.allowed = copy(row, 7),
		.blocked = copy(row, 8),
		.rate = db_is_null(row, 9) ? -1 : db_int(row, 9),
		.max_risk = db_is_null(row, 10) ? -1 : db_real(row, 10),
		.version = db_int(row, 11),
		.created_at = db_int(row, 12),
		.updated_at = db_int(row, 13),
		.last_seen_at = db_int(row, 14),
		.actions = db_int(row, 15),
		.flagged = db_int(row, 16),
		.rolled_back = db_int(row, 17),
		.allowed_actions = db_int(row, 18),
		.risk_sum = db_real(row, 19),
	};
	snprintf(a->id, sizeof(a->id), "%s", db_text(row, 0));
	snprintf(a->mode, sizeof(a->mode), "%s", db_text(row, 3));
	return a->agent_id && a->name ? 0 : -ENOMEM;
}

int agent_find(struct db *db, const char *handle, struct agent *ret, struct err *err)
{
	*ret = (struct agent){ 0 };
	int64_t n = db_each(db, err, take, ret,
			    "SELECT " COLUMNS " FROM agents WHERE agent_id = $1", db_t(handle));
	if (n == 0)
		n = db_each(db, err, take, ret, "SELECT " COLUMNS " FROM agents WHERE id = $1",
			    db_t(handle));
	if (n == 0)
		return err_set(err, ENOENT, "no agent \"%.100s\"", handle);
	if (n < 0)
		agent_free(ret);
	return n < 0 ? (int)n : 0;
}

void agent_free(struct agent *a)
{
	free(a->agent_id);
	free(a->name);
	free(a->allowed_types);
	free(a->allowed);
	free(a->blocked);
	*a = (struct agent){ 0 };
}

static int64_t insert(struct db *db, const char *agent_id, const char *name, struct err *err)
{
	char id[AGENT_ID_SIZE];
	int64_t now = ids_now_us();
	uuid_make(id);
	return db_run(
		db, err,
		"INSERT INTO agents(id, agent_id, name, kill_switch_mode, created_at, updated_at)"
		" VALUES ($1, $2, $3, 'alert', $4, $5) ON CONFLICT (agent_id) DO NOTHING",
		db_t(id), db_t(agent_id), db_t(name ? name : agent_id), db_i(now), db_i(now));
}

int agent_create(struct db *db, const char *agent_id, const char *name, struct err *err)
{
	int64_t n = insert(db, agent_id, name, err);
	if (n == 0)
		return err_set(err, EEXIST, "agent \"%.100s\" exists already", agent_id);
	return n < 0 ? (int)n : 0;
}

int agent_touch(struct db *db, const char *agent_id, const char *name, struct agent *ret,
		struct err *err)
{
	int r = agent_find(db, agent_id, ret, err);
	if (r != -ENOENT)
		return r;
	int64_t n = insert(db, agent_id, name, err);
	return n < 0 ? (int)n : agent_find(db, agent_id, ret, err);
}

int agent_save(struct db *db, const struct agent *a, struct err *err)
{
	int64_t n = db_run(
		db, err,
		"UPDATE agents SET name = $2, kill_switch_mode = $3, paused = $4, terminated = $5,"
		" allowed_action_types = $6, allowed_resources = $7, blocked_resources = $8,"
		" max_actions_per_minute = $9, max_risk_score = $10, version = version + 1,"
		" updated_at = $11 WHERE id = $1",
		db_t(a->id), db_t(a->name), db_t(a->mode), db_i(a->paused), db_i(a->terminated),
		db_t(a->allowed_types), db_t(a->allowed), db_t(a->blocked),
		a->rate < 0 ? db_null() : db_i(a->rate),
		a->max_risk < 0 ? db_null() : db_r(a->max_risk), db_i(ids_now_us()));
	if (n == 0)
		return err_set(err, ENOENT, "no agent \"%.100s\"", a->agent_id);
	return n < 0 ? (int)n : 0;
}

int64_t agent_delete(struct db *db, const char *id, struct err *err)
{
	return db_run(db, err, "DELETE FROM agents WHERE id = $1", db_t(id));
}

struct json_object *agent_json(const struct agent *a)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_text(a->id));
	json_put(o, "agent_id", json_text(a->agent_id));
	json_put(o, "name", json_text(a->name));
	json_put(o, "kill_switch_mode", json_text(a->mode));
	json_put(o, "paused", json_object_new_boolean(a->paused));
	json_put(o, "terminated", json_object_new_boolean(a->terminated));
	json_put(o, "baseline_actions", json_object_new_int64(a->allowed_actions));
	json_put(o, "avg_risk_score",
		 json_score(a->actions ? a->risk_sum / (double)a->actions : 0));
	json_put(o, "allowed_action_types", json_stored(a->allowed_types));
	json_put(o, "allowed_resources", json_stored(a->allowed));
	json_put(o, "blocked_resources", json_stored(a->blocked));
	json_put(o, "max_actions_per_minute", a->rate < 0 ? NULL : json_object_new_int64(a->rate));
	json_put(o, "max_risk_score", a->max_risk < 0 ? NULL : json_score(a->max_risk));
	json_put(o, "created_at", json_time(a->created_at));
	json_put(o, "updated_at", json_time(a->updated_at));
	json_put(o, "total_actions", json_object_new_int64(a->actions));
	json_put(o, "flagged_actions", json_object_new_int64(a->flagged));
	json_put(o, "rolled_back_actions", json_object_new_int64(a->rolled_back));
	json_put(o, "last_seen", json_time(a->last_seen_at));
	return o;
}

static int append(const struct db_row *row, void *arg)
{
	struct agent a;
	int r = take(row, &a);
	if (r == 0)
		json_object_array_add(arg, agent_json(&a));
	agent_free(&a);
	return r;
}

int64_t agent_list(struct db *db, const struct page *page, struct json_object *list,
		   struct err *err)
{
	return db_each(db, err, append, list,
		       "SELECT " COLUMNS
		       " FROM agents WHERE created_at < $1 OR (created_at = $1 AND id > $3)"
		       " ORDER BY created_at DESC, id LIMIT $2",
		       db_i(page->at ? page->at : INT64_MAX), db_i(page->limit), db_t(page->after));
}
