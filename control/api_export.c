/* For other systems: the log of acts, and alerts and actions as lines in the order they came. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/actions.h"
#include "control/alerts.h"
#include "control/call.h"
#include "control/finding.h"
#include "control/ids.h"
#include "control/json.h"
#include "control/page.h"

struct reading {
	struct call *call;
	struct page page;
};

static int64_t run_audit(struct db *db, void *arg, struct err *err)
{
	struct reading *r = arg;
	return audit_rows(db, r->page.at, r->page.limit, r->call->reply, err);
}

int api_audit(struct call *c, struct err *err)
{
	struct reading reading = { .call = c };
	if (page_read(c, &reading.page, err) < 0)
		return -EINVAL;
	c->reply = json_object_new_array();
	int r = call_read(c, run_audit, &reading, err);
	if (r == 0)
		page_next(c, c->reply, reading.page.limit);
	return r;
}

struct transfer {
	struct page page;
	struct json_object *list; /* owned */
	bool actions;
};

/* A line that another server has not committed yet must not be passed by. */
enum { LATE_MS = 2000 };

static int64_t run_export(struct db *db, void *arg, struct err *err)
{
	struct transfer *e = arg;
	int64_t late = db_kind(db) == DB_POSTGRES ? LATE_MS * 1000LL : -1000;
	int64_t until = ids_at(ids_now_us() - late);
	int64_t (*rows)(struct db *, int64_t, int64_t, int64_t, struct json_object *,
			struct err *) = e->actions ? record_between : alert_between;
	return rows(db, e->page.at, until, e->page.limit, e->list, err);
}

/* The rows as lines of JSON; owned by the caller. */
static char *lines_of(struct json_object *list, bool ocsf)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	if (!f)
		return NULL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *row = json_object_array_get_idx(list, i);
		struct json_object *o = ocsf ? finding_of_alert(row) : json_object_get(row);
		fprintf(f, "%s\n",
			json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(o);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

int api_export(struct call *c, struct err *err)
{
	const char *what = c->query(c, "what"), *format = c->query(c, "format");
	struct transfer e = { .actions = what && strcmp(what, "actions") == 0 };
	bool ocsf = format && strcmp(format, "ocsf") == 0;
	if ((what && !e.actions && strcmp(what, "alerts") != 0) ||
	    (format && !ocsf && strcmp(format, "jsonl") != 0))
		return err_set(err, EINVAL, "what is alerts or actions, format jsonl or ocsf");
	if (page_read(c, &e.page, err) < 0)
		return -EINVAL;
	if (e.actions && ocsf)
		return err_set(err, EINVAL,
			       "actions are exported as OCSF by their host, from the log that has "
			       "all of them: vsandbox audit export --format ocsf");
	e.list = json_object_new_array();
	int r = call_read(c, run_export, &e, err);
	if (r == 0) {
		page_next(c, e.list, 1);
		c->text = lines_of(e.list, ocsf);
		c->content_type = "application/x-ndjson";
	}
	json_object_put(e.list);
	return r == 0 && !c->text ? err_set(err, ENOMEM, "out of memory") : r;
}
