/* What a rule would have done, had it been there: tried on the actions that were recorded last. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/json.h"
#include "control/page.h"

enum { TRIED = LIST_MAX, SHOWN = 50 };

struct trial {
	struct call *call;
	struct json_object *rows;
};

static int64_t run_rows(struct db *db, void *arg, struct err *err)
{
	struct trial *t = arg;
	const struct record_filter newest = { .page.limit = TRIED };
	return record_list(db, &newest, t->rows, err);
}

static const char *text_of(struct json_object *row, const char *name)
{
	return json_object_get_string(json_object_object_get(row, name));
}

static bool bites(const struct policy *rule, struct json_object *row)
{
	struct inquiry q = { .type = text_of(row, "action_type"),
			     .resource = text_of(row, "resource") };
	json_time_parse(text_of(row, "timestamp"), &q.at_us);
	return evaluate_rule_bites(
		rule, &q, json_object_get_double(json_object_object_get(row, "risk_score")));
}

/* Whether a rule of that effect would have answered otherwise than was decided. */
static bool differs(const char *effect, const char *decision)
{
	if (strcmp(effect, "allow") == 0)
		return strcmp(decision, "ALLOW") != 0;
	return strcmp(decision, effect[0] == 'b' ? "BLOCK" : "PAUSE") != 0;
}

static struct json_object *result_of(struct json_object *rows, const struct policy *rule,
				     const char *effect)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	int64_t matched = 0, changed = 0;
	size_t count = json_object_array_length(rows);
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		if (!bites(rule, row))
			continue;
		changed += differs(effect, text_of(row, "decision"));
		if (++matched <= SHOWN)
			json_object_array_add(list, json_object_get(row));
	}
	json_put(o, "tried", json_object_new_int64((int64_t)count));
	json_put(o, "matched", json_object_new_int64(matched));
	json_put(o, "changed", json_object_new_int64(changed));
	json_put(o, "actions", list);
	return o;
}

int api_policies_trial(struct call *c, struct err *err)
{
	struct policy *rule = NULL;
	int r = evaluate_rule(c->body, &rule, err);
	if (r < 0)
		return r;
	struct trial t = { c, json_object_new_array() };
	r = call_read(c, run_rows, &t, err);
	if (r == 0)
		c->reply = result_of(t.rows, rule, call_text(c, "effect"));
	json_object_put(t.rows);
	policy_free(rule);
	return r;
}
