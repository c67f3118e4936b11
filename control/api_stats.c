/* Sums, from the daily table: their cost does not grow with the log. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/call.h"
#include "control/ids.h"
#include "control/json.h"
#include "control/metrics.h"
#include "control/schema.h"

enum { TOP = 10 };

static int64_t first_day(void)
{
	return ids_now_us() / 86400000000 - DAILY_DAYS + 1;
}

/* {name: count} */
static int add_count(const struct db_row *row, void *arg)
{
	return json_object_object_add(arg, db_text(row, 0), json_object_new_int64(db_int(row, 1)));
}

static struct json_object *day_text(int64_t day)
{
	char text[16];
	time_t at = (time_t)day * 86400;
	struct tm tm;
	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	return json_object_new_string(text);
}

static int add_day(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "date", day_text(db_int(row, 0)));
	json_put(o, "actions", json_object_new_int64(db_int(row, 1)));
	json_put(o, "blocked", json_object_new_int64(db_int(row, 2)));
	json_put(o, "flagged", json_object_new_int64(db_int(row, 3)));
	return json_object_array_add(arg, o);
}

static int add_top(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "agent_id", json_text(db_text(row, 0)));
	json_put(o, "name", json_text(db_text(row, 1)));
	json_put(o, "actions", json_object_new_int64(db_int(row, 2)));
	return json_object_array_add(arg, o);
}

static int add_totals(const struct db_row *row, void *arg)
{
	static const char *const names[] = { "total_agents",     "total_actions",
					     "flagged_actions",  "rolled_back_actions",
					     "active_alerts",    "policies",
					     "running_sessions", "pending_approvals" };
	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
		json_put(arg, names[i], json_object_new_int64(db_int(row, i)));
	return 0;
}

static struct json_object *levels(void)
{
	struct json_object *o = json_object_new_object();
	static const char *const names[] = { "critical", "high", "medium", "low" };
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_put(o, names[i], json_object_new_int64(0));
	return o;
}

static int64_t daily(struct db *db, struct json_object *list, struct err *err)
{
	return db_each(
		db, err, add_day, list,
		"SELECT day, sum(count), sum(CASE WHEN decision = 'BLOCK' THEN count ELSE 0 END),"
		" sum(CASE WHEN decision <> 'ALLOW' THEN count ELSE 0 END) FROM daily"
		" WHERE day >= $1 GROUP BY day ORDER BY day DESC",
		db_i(first_day()));
}

static int64_t run_stats(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *risk = levels(), *days = json_object_new_array();
	struct json_object *top = json_object_new_array();
	json_put(c->reply, "risk_distribution", risk);
	json_put(c->reply, "daily_breakdown", days);
	json_put(c->reply, "top_agents", top);
	int64_t n = db_query(db,
			     "SELECT (SELECT count(*) FROM agents), (SELECT COALESCE(sum(actions), "
			     "0) FROM agents),"
			     " (SELECT COALESCE(sum(flagged), 0) FROM agents),"
			     " (SELECT COALESCE(sum(rolled_back), 0) FROM agents),"
			     " (SELECT count(*) FROM alerts WHERE acknowledged = 0), (SELECT "
			     "count(*) FROM policies),"
			     " (SELECT count(*) FROM sessions WHERE ended_at IS NULL),"
			     " (SELECT count(*) FROM approvals WHERE state = 'pending')",
			     NULL, 0, add_totals, c->reply, err);
	if (n >= 0)
		n = db_each(db, err, add_count, risk,
			    "SELECT level, sum(count) FROM daily WHERE day >= $1 GROUP BY level",
			    db_i(first_day()));
	if (n >= 0)
		n = daily(db, days, err);
	if (n >= 0)
		n = db_each(db, err, add_top, top,
			    "SELECT a.agent_id, a.name, sum(d.count) AS total FROM daily d"
			    " JOIN agents a ON a.id = d.agent WHERE d.day >= $1"
			    " GROUP BY a.agent_id, a.name ORDER BY total DESC LIMIT $2",
			    db_i(first_day()), db_i(TOP));
	return n;
}

int api_stats(struct call *c, struct err *err)
{
	c->reply = json_object_new_object();
	return call_read(c, run_stats, c, err);
}

static int64_t run_usage(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *types = json_object_new_object(), *decisions = json_object_new_object();
	json_put(c->reply, "days", json_object_new_int64(DAILY_DAYS));
	json_put(c->reply, "by_type", types);
	json_put(c->reply, "by_decision", decisions);
	int64_t n = run_stats(db, c, err);
	if (n >= 0)
		n = db_each(db, err, add_count, types,
			    "SELECT type, sum(count) FROM daily WHERE day >= $1 GROUP BY type",
			    db_i(first_day()));
	return n < 0 ? n
		     : db_each(db, err, add_count, decisions,
			       "SELECT decision, sum(count) FROM daily WHERE day >= $1 GROUP BY "
			       "decision",
			       db_i(first_day()));
}

int api_usage(struct call *c, struct err *err)
{
	c->reply = json_object_new_object();
	return call_read(c, run_usage, c, err);
}

int api_metrics(struct call *c, struct err *err)
{
	c->text = metrics_text(c->server->metrics, c->server->store);
	c->content_type = "text/plain; version=0.0.4; charset=utf-8";
	return c->text ? 0 : err_set(err, ENOMEM, "out of memory");
}
