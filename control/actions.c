#include "control/actions.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "control/alerts.h"
#include "control/ids.h"
#include "control/json.h"

static const char *risk_level(double risk)
{
	return risk >= .80 ? "critical" : risk >= .65 ? "high" : risk >= .40 ? "medium" : "low";
}

static int take_id(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

struct batch {
	struct record *records;
	unsigned count;
};

/* Who holds the client's id; a repetition gets the first one's number. */
static int64_t find_first(struct db *db, struct record *r, struct err *err)
{
	int64_t id = r->id;
	int64_t n = db_each(db, err, take_id, &id,
			    "SELECT id FROM action_keys WHERE agent = $1 AND session_id "
			    "= $2 AND action_id = $3",
			    db_t(r->agent), db_t(r->session ? r->session : ""), db_t(r->client_id));
	r->duplicate = id != r->id;
	r->id = id;
	return n;
}

/* Whoever is a repetition is marked as one. As a rule nobody is, and then the number of rows says so. */
static int64_t claim_client_ids(struct db *db, struct batch *b, struct db_value *args,
				struct err *err)
{
	static const struct db_insert claim = {
		"INSERT INTO action_keys(agent, session_id, action_id, id)", "ttti",
		"ON CONFLICT DO NOTHING"
	};
	unsigned n = 0;
	for (unsigned i = 0; i < b->count; i++) {
		struct record *r = &b->records[i];
		r->duplicate = false;
		if (!r->client_id)
			continue;
		args[n++] = db_t(r->agent);
		args[n++] = db_t(r->session ? r->session : "");
		args[n++] = db_t(r->client_id);
		args[n++] = db_i(r->id);
	}
	int64_t claimed = db_insert(db, &claim, args, n / 4, err);
	if (claimed < 0 || claimed == n / 4)
		return claimed;
	for (unsigned i = 0; i < b->count && claimed >= 0; i++)
		if (b->records[i].client_id)
			claimed = find_first(db, &b->records[i], err);
	return claimed;
}

enum { COLUMNS = 16 };

static int64_t insert_new(struct db *db, const struct batch *b, struct db_value *args,
			  struct err *err)
{
	static const struct db_insert insert = {
		"INSERT INTO actions(id, agent, session_id, action_id, type, resource, payload,"
		" snapshot, metadata, source, risk, breakdown, decision, flagged, flag_reason, at)",
		"itttttttttrttiti", ""
	};
	_Static_assert(sizeof("itttttttttrttiti") - 1 == COLUMNS, "a type each");
	unsigned n = 0;
	for (unsigned i = 0; i < b->count; i++) {
		const struct record *r = &b->records[i];
		if (r->duplicate)
			continue;
		const struct db_value row[COLUMNS] = {
			db_i(r->id),        db_t(r->agent),    db_t(r->session),
			db_t(r->client_id), db_t(r->type),     db_t(r->resource),
			db_t(r->payload),   db_t(r->snapshot), db_t(r->metadata),
			db_t(r->source),    db_r(r->risk),     db_t(r->breakdown),
			db_t(r->decision),  db_i(r->flagged),  db_t(r->flagged ? r->reason : NULL),
			db_i(r->at),
		};
		memcpy(args + n, row, sizeof(row));
		n += COLUMNS;
	}
	return db_insert(db, &insert, args, n / COLUMNS, err);
}

/* What one agent's part of a batch adds to its row. */
struct sums {
	const char *agent;
	int64_t actions, flagged, allowed;
	double risk;
};

static int64_t add_sums(struct db *db, const struct sums *s, struct err *err)
{
	return db_run(db, err,
		      "UPDATE agents SET actions = actions + $2, flagged = flagged + $3,"
		      " allowed = allowed + $4, risk_sum = risk_sum + $5, last_seen_at = $6 WHERE "
		      "id = $1",
		      db_t(s->agent), db_i(s->actions), db_i(s->flagged), db_i(s->allowed),
		      db_r(s->risk), db_i(ids_now_us()));
}

/* What a batch adds to one day's count of one kind. */
struct day_sum {
	const struct record *like;
	int64_t count;
};
enum { DAY_SUMS = 32 };

static int64_t add_daily(struct db *db, const struct day_sum *sums, unsigned count, struct err *err)
{
	static const struct db_insert insert = {
		"INSERT INTO daily(day, agent, type, decision, level, count)", "itttti",
		"ON CONFLICT (day, agent, type, decision, level)"
		" DO UPDATE SET count = daily.count + excluded.count"
	};
	enum { WIDTH = 6 };
	struct db_value args[DAY_SUMS * WIDTH];
	for (unsigned i = 0; i < count; i++) {
		const struct record *r = sums[i].like;
		const struct db_value row[WIDTH] = { db_i(r->at / 86400000000),
						     db_t(r->agent),
						     db_t(r->type),
						     db_t(r->decision),
						     db_t(risk_level(r->risk)),
						     db_i(sums[i].count) };
		memcpy(args + i * WIDTH, row, sizeof(row));
	}
	return db_insert(db, &insert, args, count, err);
}

static bool same_day_sum(const struct record *a, const struct record *b)
{
	return a->at / 86400000000 == b->at / 86400000000 && strcmp(a->agent, b->agent) == 0 &&
	       strcmp(a->type, b->type) == 0 && strcmp(a->decision, b->decision) == 0 &&
	       strcmp(risk_level(a->risk), risk_level(b->risk)) == 0;
}

static int64_t add_day_sums(struct db *db, const struct record *records, unsigned count,
			    struct err *err)
{
	struct day_sum sums[DAY_SUMS];
	unsigned used = 0;
	int64_t n = 0;
	for (unsigned i = 0; i < count && n >= 0; i++) {
		unsigned at = 0;
		if (records[i].duplicate)
			continue;
		while (at < used && !same_day_sum(sums[at].like, &records[i]))
			at++;
		if (at == DAY_SUMS) { /* no room: they go out before the batch ends */
			n = add_daily(db, sums, used, err);
			used = at = 0;
		}
		if (at == used)
			sums[used++] = (struct day_sum){ &records[i], 0 };
		sums[at].count++;
	}
	return n < 0 ? n : add_daily(db, sums, used, err);
}

/* A batch is mostly one agent's: sums of equal neighbours cost one statement. */
static int64_t add_agent_sums(struct db *db, const struct record *records, unsigned count,
			      struct err *err)
{
	struct sums sums = { 0 };
	int64_t n = 0;
	for (unsigned i = 0; i < count && n >= 0; i++) {
		const struct record *r = &records[i];
		if (r->duplicate)
			continue;
		if (sums.agent && strcmp(sums.agent, r->agent) != 0) {
			n = add_sums(db, &sums, err);
			sums = (struct sums){ 0 };
		}
		sums.agent = r->agent;
		sums.actions++;
		sums.flagged += r->flagged;
		sums.allowed +=
			strcmp(r->decision, "ALLOW") == 0 || strcmp(r->decision, "ALERT") == 0;
		sums.risk += r->risk;
	}
	return n >= 0 && sums.agent ? add_sums(db, &sums, err) : n;
}

static int64_t open_alert(struct db *db, const struct record *first, int64_t count,
			  int64_t window_us, struct err *err)
{
	return alert_open(db,
			  &(struct alert){ .agent = first->agent,
					   .action = first->id,
					   .level = risk_level(first->risk),
					   .message = first->reason,
					   .source = first->source,
					   .session = first->session,
					   .kind = first->kind,
					   .count = count },
			  window_us, NULL, err);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_alert(const struct record *a, const struct record *b)
{
	return strcmp(a->agent, b->agent) == 0 && same_text(a->session, b->session) &&
	       strcmp(a->kind, b->kind) == 0 &&
	       strcmp(risk_level(a->risk), risk_level(b->risk)) == 0;
}

/* A flood's actions are neighbours: counted here first, they cost one statement. */
static int64_t open_alerts(struct db *db, const struct batch *b, int64_t window_us, struct err *err)
{
	const struct record *first = NULL;
	int64_t n = 0, count = 0;
	for (unsigned i = 0; i < b->count && n >= 0; i++) {
		const struct record *r = &b->records[i];
		if (!r->flagged || r->duplicate)
			continue;
		if (first && (window_us <= 0 || !same_alert(first, r))) {
			n = open_alert(db, first, count, window_us, err);
			count = 0;
		}
		if (!count++)
			first = r;
	}
	return n >= 0 && first ? open_alert(db, first, count, window_us, err) : n;
}

int record_append(struct db *db, struct record *records, unsigned count, int64_t window_us,
		  struct err *err)
{
	struct batch batch = { records, count };
	cleanup_free struct db_value *args = calloc(count * COLUMNS + 1, sizeof(*args));
	if (!args)
		return err_set(err, ENOMEM, "out of memory");
	for (unsigned i = 0; i < count; i++)
		records[i].id = ids_next();
	int64_t n = claim_client_ids(db, &batch, args, err);
	if (n >= 0)
		n = insert_new(db, &batch, args, err);
	if (n >= 0)
		n = open_alerts(db, &batch, window_us, err);
	if (n >= 0)
		n = add_agent_sums(db, records, count, err);
	if (n >= 0)
		n = add_day_sums(db, records, count, err);
	return n < 0 ? (int)n : 0;
}

static const char *text_or_null(const struct db_row *row, int column)
{
	return db_is_null(row, column) ? NULL : db_text(row, column);
}

static int append(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(db_int(row, 0)));
	json_put(o, "agent_id", json_text(text_or_null(row, 1)));
	json_put(o, "session_id", json_text(text_or_null(row, 2)));
	json_put(o, "action_id", json_text(text_or_null(row, 3)));
	json_put(o, "action_type", json_text(db_text(row, 4)));
	json_put(o, "resource", json_text(db_text(row, 5)));
	json_put(o, "payload", json_verbatim(text_or_null(row, 6)));
	json_put(o, "snapshot", json_verbatim(text_or_null(row, 7)));
	json_put(o, "metadata", json_verbatim(text_or_null(row, 8)));
	json_put(o, "source", json_text(text_or_null(row, 9)));
	json_put(o, "risk_score", json_score(db_real(row, 10)));
	json_put(o, "risk_breakdown", json_verbatim(text_or_null(row, 11)));
	json_put(o, "decision", json_text(db_text(row, 12)));
	json_put(o, "flagged", json_object_new_boolean((json_bool)db_int(row, 13)));
	json_put(o, "flag_reason", json_text(text_or_null(row, 14)));
	json_put(o, "timestamp", json_time(db_int(row, 15)));
	json_put(o, "rolled_back", json_object_new_boolean((json_bool)db_int(row, 16)));
	return json_object_array_add(arg, o);
}

#define SELECT \
	"SELECT x.id, a.agent_id, x.session_id, x.action_id, x.type, x.resource, x.payload," \
	" x.snapshot, x.metadata, x.source, x.risk, x.breakdown, x.decision, x.flagged," \
	" x.flag_reason, x.at, x.rolled_back FROM actions x LEFT JOIN agents a ON a.id = x.agent" \
	" WHERE x.id >= $2"
#define REST  " AND ($3 = '' OR x.type = $3) AND ($4 = '' OR x.decision = $4)"
#define BY_ID " AND x.id < $1 ORDER BY x.id DESC LIMIT $5"
#define BY_TIME \
	" AND (x.at < $1 OR (x.at = $1 AND x.id < $8)) ORDER BY x.at DESC, x.id DESC LIMIT $5"

int64_t record_list(struct db *db, const struct record_filter *f, struct json_object *list,
		    struct err *err)
{
	struct db_value before = db_i(f->page.at ? f->page.at : INT64_MAX);
	/* by the server's clock: ids are of the moment of arrival */
	struct db_value since = db_i(f->since_us ? ids_at(f->since_us) : 0);
	struct db_value type = db_t(f->type ? f->type : "");
	struct db_value decision = db_t(f->decision ? f->decision : "");
	if (f->session)
		return db_each(db, err, append, list,
			       SELECT
			       " AND x.session_id = $6 AND ($7 = '' OR x.agent = $7)" REST BY_TIME,
			       before, since, type, decision, db_i(f->page.limit), db_t(f->session),
			       db_t(f->agent ? f->agent : ""),
			       db_i(strtoll(f->page.after, NULL, 10)));
	if (f->agent)
		return db_each(db, err, append, list, SELECT " AND x.agent = $6" REST BY_ID, before,
			       since, type, decision, db_i(f->page.limit), db_t(f->agent));
	return db_each(db, err, append, list, SELECT REST BY_ID, before, since, type, decision,
		       db_i(f->page.limit));
}

int64_t record_between(struct db *db, int64_t after, int64_t until, int64_t limit,
		       struct json_object *list, struct err *err)
{
	return db_each(db, err, append, list, SELECT " AND x.id < $1 ORDER BY x.id LIMIT $3",
		       db_i(until), db_i(after + 1), db_i(limit));
}
