/* What a session asks of people, as the server is to have it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "launcher/control.h"
#include "siblings/uplink.h"

static struct question *find(struct questions *qs, uint32_t id)
{
	for (unsigned i = 0; i < QUESTIONS; i++)
		if (qs->list[i].id == id)
			return &qs->list[i];
	return NULL;
}

void questions_answered(void *questions, uint32_t id, enum approval_end end)
{
	struct questions *qs = questions;
	struct question *q = id ? find(qs, id) : NULL;
	if (q)
		q->state = end == APPROVAL_ALLOWED ? "allowed" : "denied";
}

static void see(struct questions *qs, const struct json_object *o)
{
	uint32_t id = (uint32_t)event_number(o, "id");
	struct question *q = id ? find(qs, id) : NULL;
	if (id && !q && (q = find(qs, 0))) {
		*q = (struct question){ .id = id, .state = "pending" };
		q->action = json_object_get(json_object_object_get(o, "action"));
	}
	if (!q)
		return; /* no room: told when one is settled */
	q->open = true;
	q->remaining_ms = event_number(o, "remaining_ms");
}

void questions_ask(struct questions *qs, const struct session *s)
{
	struct json_object *list = NULL;
	if (control_call(s, "list", NULL, UPLINK_CONTROL_MS, &list, NULL) < 0)
		return;
	for (unsigned i = 0; i < QUESTIONS; i++)
		qs->list[i].open = false;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		see(qs, json_object_array_get_idx(list, i));
	json_object_put(list);
}

void questions_settle(struct questions *qs, bool running, bool log_is_read)
{
	for (unsigned i = 0; i < QUESTIONS; i++) {
		struct question *q = &qs->list[i];
		bool gone = !q->open || !running;
		if (q->id && gone && log_is_read && !strcmp(q->state, "pending"))
			q->state = "expired";
		if (q->id && gone && q->told && !strcmp(q->told, q->state) &&
		    strcmp(q->state, "pending") != 0) {
			json_object_put(q->action);
			*q = (struct question){ .id = 0 };
		}
	}
}

struct question *questions_next(struct questions *qs)
{
	for (unsigned i = 0; i < QUESTIONS; i++) {
		struct question *q = &qs->list[i];
		if (q->id && (!q->told || strcmp(q->told, q->state) != 0))
			return q;
	}
	return NULL;
}

struct json_object *question_body(const struct question *q)
{
	static const char *const details[] = { "type", "op",     "resource", "program",
					       "pid",  "score",  "rule",     "reason",
					       "time", "scores", "kind",     "text" };
	struct json_object *o = json_object_new_object(), *request = json_object_new_object();
	char id[16];
	snprintf(id, sizeof(id), "%" PRIu32, q->id);
	json_object_object_add(o, "request_id", json_object_new_string(id));
	json_object_object_add(o, "state", json_object_new_string(q->state));
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++)
		event_copy(request, details[i], q->action, details[i]);
	json_object_object_add(request, "remaining_ms", json_object_new_int64(q->remaining_ms));
	json_object_object_add(o, "request", request);
	return o;
}

void questions_finish(struct questions *qs)
{
	for (unsigned i = 0; i < QUESTIONS; i++)
		json_object_put(qs->list[i].action);
}
