#include "control/outbox.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/agents.h"
#include "control/alerts.h"
#include "control/ids.h"

enum {
	LOOK_MS = 500,
	LEASE_S = 30,
	WAIT_MAX_S = 300,
	REFUSALS = 5,
	DAY_S = 86400,
	/* On several servers a younger number can be committed before an older one, and a count a little late. */
	LATE_MS = 2000,
};

struct outbox {
	struct outbox_plan plan;
	struct store *store;
	struct metrics *metrics;
	char owner[AGENT_ID_SIZE];
	struct worker worker;
};

const char *outbox_event(enum outbox_news news)
{
	return news == OUTBOX_REPEATED ? "alert_repeated" : "alert";
}

/* ---- the queue in the store --------------------------------------------------------------------- */

struct turn {
	const struct outbox *outbox;
	enum outbox_news news;
	int64_t delivered, repeated; /* up to these alerts, as the row has it */
	struct json_object *list;    /* owned; of none or one alert */
};

static int take_marks(const struct db_row *row, void *arg)
{
	struct turn *t = arg;
	t->delivered = db_int(row, 0);
	t->repeated = db_int(row, 1);
	return 0;
}

static int take_int(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

static int64_t next_opened(struct db *db, const struct turn *t, int64_t *ret_id, struct err *err)
{
	int64_t late = db_kind(db) == DB_POSTGRES ? LATE_MS * 1000LL : 0;
	return db_each(db, err, take_int, ret_id,
		       "SELECT id FROM alerts WHERE id > $1 AND id < $2 ORDER BY id LIMIT 1",
		       db_i(t->delivered), db_i(ids_at(ids_now_us() - late) + 4096));
}

static int64_t next_repeated(struct db *db, const struct turn *t, int64_t *ret_id, struct err *err)
{
	int64_t over_us = ids_now_us() - t->outbox->plan.window_us - LATE_MS * 1000LL;
	return db_each(db, err, take_int, ret_id,
		       "SELECT id FROM alerts WHERE count > 1 AND id > $1 AND id <= $2 AND id < $3"
		       " ORDER BY id LIMIT 1",
		       db_i(t->repeated), db_i(t->delivered), db_i(ids_at(over_us)));
}

/* The oldest alert that is to be sent, into t->list. */
static int64_t run_next(struct db *db, void *arg, struct err *err)
{
	struct turn *t = arg;
	int64_t id = 0;
	int64_t n = db_each(db, err, take_marks, t,
			    "SELECT delivered, repeated FROM outboxes WHERE id = $1",
			    db_i(t->outbox->plan.id));
	if (n > 0)
		n = t->news == OUTBOX_OPENED ? next_opened(db, t, &id, err)
					     : next_repeated(db, t, &id, err);
	return n > 0 && id ? alert_get(db, id, t->list, err) : n;
}

/* 1: this server delivers until the lease ends. 0: another does. */
static int64_t run_claim(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	int64_t now = ids_now_us();
	return db_run(db, err,
		      "UPDATE outboxes SET owner = $1, until = $2 WHERE id = $4 AND (owner = $1 OR "
		      "until < $3)",
		      db_t(t->outbox->owner), db_i(now + LEASE_S * 1000000LL), db_i(now),
		      db_i(t->outbox->plan.id));
}

static int64_t run_delivered(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	return db_run(db, err,
		      "UPDATE outboxes SET delivered = $2, repeated = $3 WHERE id = $4 AND owner "
		      "= $1",
		      db_t(t->outbox->owner), db_i(t->delivered), db_i(t->repeated),
		      db_i(t->outbox->plan.id));
}

/* Another server need not wait for the lease's end. */
static int64_t run_release(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	return db_run(db, err, "UPDATE outboxes SET until = 0 WHERE id = $2 AND owner = $1",
		      db_t(t->outbox->owner), db_i(t->outbox->plan.id));
}

/* Alerts from before there was a receiver are nobody's news. */
static int64_t run_first(struct db *db, void *arg, struct err *err)
{
	const struct turn *t = arg;
	return db_run(db, err,
		      "INSERT INTO outboxes(id, delivered, repeated, owner, until) VALUES ($1, $2, "
		      "$2, '', 0) ON CONFLICT (id) DO NOTHING",
		      db_i(t->outbox->plan.id), db_i(ids_at(ids_now_us())));
}

/* ---- the thread ----------------------------------------------------------------------------------- */

/* Until it is delivered, dropped, or time to stop. True: the next one's turn. */
static bool deliver(struct outbox *o, struct turn *t, struct json_object *alert)
{
	struct err err;
	int64_t id = json_object_get_int64(json_object_object_get(alert, "id")), wait_s = 1;
	enum metric outcome = o->plan.failed;
	for (unsigned refusals = 0; outcome == o->plan.failed;) {
		if (store_write(o->store, run_claim, t, &err) <= 0)
			return false;
		enum outbox_answer answer =
			o->plan.send(o->plan.arg, &o->worker, alert, t->news, &err);
		refusals += answer == OUTBOX_REFUSED;
		if (answer == OUTBOX_TAKEN)
			outcome = o->plan.delivered;
		else if (refusals == REFUSALS || id < ids_at(ids_now_us() - DAY_S * 1000000LL))
			outcome = o->plan.dropped;
		metrics_add(o->metrics, outcome, 1);
		if (outcome == o->plan.failed && wait_s == 1) /* once for each alert */
			fprintf(stderr, "vsandbox: serve: %s, trying again\n", err.text);
		if (outcome == o->plan.failed && !worker_pause(&o->worker, wait_s * 1000))
			return false;
		wait_s = wait_s * 2 < WAIT_MAX_S ? wait_s * 2 : WAIT_MAX_S;
	}
	if (t->news == OUTBOX_OPENED)
		t->delivered = id;
	else
		t->repeated = id;
	return store_write(o->store, run_delivered, t, &err) >= 0;
}

static void deliver_all(struct outbox *o, enum outbox_news news)
{
	struct err err;
	struct turn t = { .outbox = o, .news = news, .list = json_object_new_array() };
	while (store_read(o->store, run_next, &t, &err) > 0 &&
	       json_object_array_length(t.list) == 1 &&
	       deliver(o, &t, json_object_array_get_idx(t.list, 0)))
		json_object_array_del_idx(t.list, 0, 1);
	json_object_put(t.list);
}

static void run(void *arg)
{
	struct outbox *o = arg;
	struct turn own = { .outbox = o };
	struct err err;
	bool first = false;
	do {
		if (!first)
			first = store_write(o->store, run_first, &own, &err) >= 0;
		if (first) {
			deliver_all(o, OUTBOX_OPENED);
			deliver_all(o, OUTBOX_REPEATED);
		}
	} while (worker_pause(&o->worker, LOOK_MS));
	store_write(o->store, run_release, &own, &err);
}

struct outbox *outbox_new(const struct outbox_plan *plan, struct store *store,
			  struct metrics *metrics)
{
	struct outbox *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	*o = (struct outbox){ .plan = *plan, .store = store, .metrics = metrics };
	uuid_make(o->owner);
	if (worker_start(&o->worker, run, o) < 0) {
		free(o);
		return NULL;
	}
	return o;
}

void outbox_stop(struct outbox *o)
{
	if (!o)
		return;
	worker_stop(&o->worker);
	free(o);
}
