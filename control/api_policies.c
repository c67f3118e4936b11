/* Rules and alerts. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/alerts.h"
#include "control/call.h"
#include "control/json.h"
#include "control/page.h"
#include "control/policies.h"

/* The one row that a write left in @list becomes the answer. */
static void answer_row(struct call *c, struct json_object *list)
{
	json_object_put(c->reply);
	c->reply = json_object_get(json_object_array_get_idx(list, 0));
	json_object_put(list);
}

static int64_t run_create(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *list = json_object_new_array();
	int64_t n = rule_create(db, c->body, list, err);
	if (n > 0)
		n = audit_note(db, &c->key, "policy.create", call_text(c, "name"), err);
	answer_row(c, list);
	return n;
}

int api_policies_create(struct call *c, struct err *err)
{
	int r = evaluate_check_rule(c->body, err);
	if (r < 0)
		return r;
	return call_announce(c, run_create, c, err);
}

static int64_t run_list(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	return rule_list(db, false, LIST_MAX, c->reply, err);
}

int api_policies_list(struct call *c, struct err *err)
{
	c->reply = json_object_new_array();
	return call_read(c, run_list, c, err);
}

static int64_t run_patch(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *list = json_object_new_array();
	int64_t n = rule_update(db, c->id[0], c->body, list, err);
	if (n == 0)
		n = err_set(err, ENOENT, "no such policy");
	if (n > 0)
		n = evaluate_check_rule(json_object_array_get_idx(list, 0), err);
	if (n >= 0)
		n = audit_note(db, &c->key, "policy.change", c->id[0], err);
	answer_row(c, list);
	return n;
}

int api_policies_patch(struct call *c, struct err *err)
{
	const char *enabled = c->query(c, "enabled");
	if (enabled && strcmp(enabled, "true") != 0 && strcmp(enabled, "false") != 0)
		return err_set(err, EINVAL, "enabled is true or false");
	if (enabled)
		json_put(c->body, "enabled", json_object_new_boolean(*enabled == 't'));
	return call_announce(c, run_patch, c, err);
}

static int64_t run_delete(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	int64_t n = rule_delete(db, c->id[0], err);
	if (n == 0)
		return err_set(err, ENOENT, "no such policy");
	return n < 0 ? n : audit_note(db, &c->key, "policy.delete", c->id[0], err);
}

int api_policies_delete(struct call *c, struct err *err)
{
	int r = call_announce(c, run_delete, c, err);
	if (r < 0)
		return r;
	c->reply = json_object_new_object();
	json_put(c->reply, "deleted", json_object_new_boolean(1));
	return 0;
}

/* ---- alerts ---------------------------------------------------------------------------------- */

struct listing {
	struct call *call;
	struct alert_filter filter;
};

static int64_t run_alerts(struct db *db, void *arg, struct err *err)
{
	struct listing *l = arg;
	return alert_list(db, &l->filter, l->call->reply, err);
}

int api_alerts_list(struct call *c, struct err *err)
{
	const char *acknowledged = c->query(c, "acknowledged");
	struct page page;
	if (page_read(c, &page, err) < 0)
		return -EINVAL;
	struct listing l = { c, { .before = page.at, .limit = page.limit } };
	if (acknowledged && strcasecmp(acknowledged, "all") == 0)
		l.filter.acknowledged = -1;
	else if (acknowledged && strcasecmp(acknowledged, "true") == 0)
		l.filter.acknowledged = 1;
	else if (acknowledged && strcasecmp(acknowledged, "false") != 0)
		return err_set(err, EINVAL, "acknowledged is true, false or all");
	c->reply = json_object_new_array();
	int r = call_read(c, run_alerts, &l, err);
	if (r == 0)
		page_next(c, c->reply, page.limit);
	return r;
}

static int64_t run_alert(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct agent a;
	const char *level = call_text(c, "severity");
	struct json_object *list = json_object_new_array();
	int64_t id = 0, n = agent_touch(db, call_text(c, "agent_id"), NULL, &a, err);
	if (n == 0)
		n = alert_open(db,
			       &(struct alert){ .agent = a.id,
						.level = level ? level : "medium",
						.message = call_text(c, "message"),
						.source = call_text(c, "source"),
						.count = 1,
						.at = json_time_given(json_object_object_get(
							c->body, "timestamp")) },
			       c->server->alert_window_us, &id, err);
	if (n >= 0)
		n = alert_get(db, id, list, err);
	agent_free(&a);
	answer_row(c, list);
	return n;
}

int api_alerts_create(struct call *c, struct err *err)
{
	return call_write(c, run_alert, c, err);
}

static int64_t run_acknowledge(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	char *end;
	int64_t id = strtoll(c->id[0], &end, 10);
	struct json_object *list = json_object_new_array();
	int64_t n = *end ? 0 : alert_acknowledge(db, id, c->key.name, err);
	if (n > 0)
		n = audit_note(db, &c->key, "alert.acknowledge", c->id[0], err);
	n = n > 0    ? alert_get(db, id, list, err)
	    : n == 0 ? err_set(err, ENOENT, "no such alert")
		     : n;
	answer_row(c, list);
	return n;
}

int api_alerts_acknowledge(struct call *c, struct err *err)
{
	return call_write(c, run_acknowledge, c, err);
}

/* ---- the server itself ------------------------------------------------------------------------- */

static int64_t run_health(struct db *db, void *arg, struct err *err)
{
	(void)arg;
	return rule_version(db, err);
}

int api_health(struct call *c, struct err *err)
{
	int64_t n = call_read(c, run_health, NULL, err);
	c->status = n < 0 ? 503 : 200;
	c->reply = json_object_new_object();
	json_put(c->reply, "status", json_object_new_string(n < 0 ? "degraded" : "ok"));
	json_put(c->reply, "store", json_object_new_string(n < 0 ? "unavailable" : "ok"));
	json_put(c->reply, "version", json_object_new_string(VSANDBOX_VERSION));
	return 0;
}

int api_openapi(struct call *c, struct err *err)
{
	(void)err;
	c->reply = routes_openapi();
	return 0;
}
