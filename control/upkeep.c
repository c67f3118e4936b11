#include "control/upkeep.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/ids.h"
#include "control/schema.h"
#include "control/worker.h"

enum {
	AGAIN_MS = 60 * 1000, /* when the store was away, or another server held what was to go */
	REST_MS = 20,
	ROWS = 1000, /* at a time: with SQLite a few milliseconds of the one who writes */
};

static const int64_t day_us = 86400LL * 1000000;

struct upkeep {
	unsigned keep_days;
	int64_t round_ms;
	struct store *store;
	struct metrics *metrics;
	struct worker worker;
};

/* ---- what goes -------------------------------------------------------------------------------------- */

/* What a rule's $1 is. */
enum cut {
	CUT_ID,     /* the first id within the time */
	CUT_TIME,   /* the moment where it begins */
	CUT_DAY,    /* its first day, and that of the statistics where they reach further */
	CUT_NOW,    /* the present, whatever is kept */
	CUT_STREAM, /* the first id of the last day, whatever is kept */
};

struct rule {
	enum metric counted;
	enum cut cut;
	const char *sql; /* $2: ROWS */
};

#define OLDEST(table, condition) \
	"DELETE FROM " table " WHERE id IN (SELECT id FROM " table " WHERE " condition \
	" ORDER BY id LIMIT $2)"

/* A sandbox says every half minute that it lives: one unseen for days has lost its host, ended or not. */
#define NOBODY_WAITS(table) \
	" NOT EXISTS (SELECT 1 FROM sessions s WHERE s.id = " table ".session_id" \
	" AND s.ended_at IS NULL AND s.seen_at >= $1)"

/* In this order: a session goes once nothing names it. */
static const struct rule rules[] = {
	{ METRIC_REMOVED_ACTIONS, CUT_ID, OLDEST("actions", "id < $1") },
	{ METRIC_REMOVED_KEYS, CUT_ID, OLDEST("action_keys", "id < $1") },
	{ METRIC_REMOVED_ALERTS, CUT_ID, OLDEST("alerts", "acknowledged = 1 AND id < $1") },
	{ METRIC_REMOVED_APPROVALS, CUT_TIME,
	  OLDEST("approvals",
		 "COALESCE(decided_at, created_at) < $1 AND (state <> 'pending' OR" NOBODY_WAITS(
			 "approvals") ")") },
	{ METRIC_REMOVED_COMMANDS, CUT_TIME,
	  OLDEST("commands", "COALESCE(done_at, created_at) < $1 AND (state IN ('done', 'failed')"
			     " OR" NOBODY_WAITS("commands") ")") },
	{ METRIC_REMOVED_ROLLBACKS, CUT_ID, OLDEST("rollbacks", "id < $1") },
	{ METRIC_REMOVED_SESSIONS, CUT_TIME,
	  OLDEST("sessions",
		 "seen_at < $1"
		 " AND NOT EXISTS (SELECT 1 FROM actions a WHERE a.session_id = sessions.id)"
		 " AND NOT EXISTS (SELECT 1 FROM approvals p WHERE p.session_id = sessions.id)"
		 " AND NOT EXISTS (SELECT 1 FROM commands c WHERE c.session_id = sessions.id)") },
	{ METRIC_REMOVED_DAILY, CUT_DAY,
	  "DELETE FROM daily WHERE (day, agent, type, decision, level) IN"
	  " (SELECT day, agent, type, decision, level FROM daily WHERE day < $1"
	  " ORDER BY day, agent, type, decision, level LIMIT $2)" },
	{ METRIC_REMOVED_LOGINS, CUT_NOW,
	  "DELETE FROM logins WHERE hash IN"
	  " (SELECT hash FROM logins WHERE until < $1 ORDER BY hash LIMIT $2)" },
	{ METRIC_REMOVED_FEED, CUT_STREAM, OLDEST("feed", "id < $1") },
};

static int64_t cut_of(const struct rule *rule, unsigned keep_days)
{
	int64_t now = ids_now_us(), from = now - keep_days * day_us;
	switch (rule->cut) {
	case CUT_ID:
		return ids_at(from);
	case CUT_TIME:
		return from;
	case CUT_DAY:
		return now / day_us - (keep_days > DAILY_DAYS ? keep_days : DAILY_DAYS);
	case CUT_NOW:
		return now;
	case CUT_STREAM:
		return ids_at(now - day_us);
	}
	return 0;
}

/* ---- the thread ------------------------------------------------------------------------------------- */

struct step {
	const struct rule *rule;
	int64_t cut;
	bool met; /* another server was at it */
};

static int64_t run_step(struct db *db, void *arg, struct err *err)
{
	struct step *s = arg;
	int64_t alone = schema_alone(db, err);
	s->met = alone == 0;
	if (alone <= 0)
		return alone;
	/* PostgreSQL has a table for each day: a whole one is dropped for nothing, and rows are not worth the work before. */
	if (s->rule->counted == METRIC_REMOVED_ACTIONS && db_kind(db) == DB_POSTGRES)
		return schema_drop_day(db, s->cut, err);
	return db_run(db, err, s->rule->sql, db_i(s->cut), db_i(ROWS));
}

/* Until nothing of the rule is left or it is time to stop. Negative errno. */
static int64_t apply(struct upkeep *u, const struct rule *rule, struct err *err)
{
	struct step s = { .rule = rule, .cut = cut_of(rule, u->keep_days) };
	int64_t n;
	do {
		n = store_write(u->store, run_step, &s, err);
		if (n > 0)
			metrics_add(u->metrics, rule->counted, (uint64_t)n);
	} while ((n > 0 || (n == 0 && s.met)) && worker_pause(&u->worker, REST_MS));
	return n;
}

/* False: some of it is still there. A rule that fails is no reason to leave the others. */
static bool tidy(struct upkeep *u)
{
	struct err err;
	bool all = true;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		bool always = rules[i].cut == CUT_NOW || rules[i].cut == CUT_STREAM;
		if (worker_stopping(&u->worker) || (!u->keep_days && !always))
			continue;
		if (apply(u, &rules[i], &err) < 0) {
			fprintf(stderr, "vsandbox: serve: removing what is old: %s, trying again\n",
				err.text);
			all = false;
		}
	}
	return all;
}

static void run(void *arg)
{
	struct upkeep *u = arg;
	while (worker_pause(&u->worker, tidy(u) ? u->round_ms : AGAIN_MS))
		;
}

struct upkeep *upkeep_new(unsigned keep_days, int64_t round_ms, struct store *store,
			  struct metrics *metrics)
{
	struct upkeep *u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	*u = (struct upkeep){
		.keep_days = keep_days, .round_ms = round_ms, .store = store, .metrics = metrics
	};
	if (worker_start(&u->worker, run, u) < 0) {
		free(u);
		return NULL;
	}
	return u;
}

void upkeep_stop(struct upkeep *u)
{
	if (!u)
		return;
	worker_stop(&u->worker);
	free(u);
}
