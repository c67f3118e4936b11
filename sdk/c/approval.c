/*
 * Asking a person, through the server, with a key that may not decide itself. The question belongs to a session of its
 * own, because the session of the sandbox around this process takes its commands elsewhere.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sdk/c/client.h"

enum { POLL_S = 10 };

struct talk {
	struct vs_client *c;
	const struct question *q;
	char id[ID_SIZE + 4];
	char path[ID_SIZE + 32];
};

static int send_and_forget(struct talk *t, const char *path, struct json_object *body,
			   struct vs_error *err)
{
	struct json_object *answer = NULL;
	int r = request(t->c, "POST", path, body, 0, &answer, err);
	json_object_put(answer);
	json_object_put(body);
	return r;
}

static int report(struct talk *t, const char *state, struct vs_error *err)
{
	char host[256] = "";
	struct json_object *o = json_object_new_object(), *info = json_object_new_object();
	gethostname(host, sizeof(host) - 1);
	put_text(info, "sdk", "c");
	put_text(info, "session", t->q->session);
	put(info, "pid", json_object_new_int(getpid()));
	put_text(o, "id", t->id);
	put_text(o, "agent_id", t->q->agent);
	put_text(o, "host", host);
	put_text(o, "state", state);
	put(o, "info", info);
	if (strcmp(state, "ended") == 0) {
		char text[40];
		struct tm tm;
		time_t now = time(NULL);
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.000000+00:00", &tm);
		put_text(o, "ended_at", text);
	}
	return send_and_forget(t, "/api/sessions", o, err);
}

static int ask(struct talk *t, const char *state, struct vs_error *err)
{
	char path[sizeof(t->path) + 16];
	const struct vs_decision *d = t->q->decision;
	struct json_object *o = json_object_new_object(), *r = json_object_new_object();
	put_text(r, "action_type", t->q->action->type);
	put_text(r, "resource", t->q->action->resource);
	put_text(r, "reason", d->reason);
	put_text(r, "session_id", t->q->session);
	put(r, "risk_score", d->risk_score < 0 ? NULL : json_object_new_double(d->risk_score));
	put(r, "done", json_object_new_boolean(t->q->done));
	put_text(o, "request_id", t->id);
	put_text(o, "state", state);
	put(o, "request", r);
	snprintf(path, sizeof(path), "%s/approvals", t->path);
	return send_and_forget(t, path, o, err);
}

static const char *member(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_object_get(o, name);
	return v ? json_object_get_string(v) : "";
}

/* 1: allowed, -EPERM: denied, 0: another command, which is told that it is not for here. */
static int obey(struct talk *t, struct json_object *command, char *reason, size_t size,
		struct vs_error *err)
{
	char path[sizeof(t->path) + 48];
	struct json_object *body = json_object_object_get(command, "body");
	bool mine = strcmp(member(command, "kind"), "answer") == 0 &&
		    strcmp(member(body, "request_id"), t->id) == 0;
	struct json_object *o = json_object_new_object();
	put(o, "ok", json_object_new_boolean(mine));
	put(o, "result",
	    mine ? json_object_new_object()
		 : json_object_new_string(
			   "this program waits for an approval and does nothing else"));
	snprintf(path, sizeof(path), "%s/commands/%s", t->path, member(command, "id"));
	int r = send_and_forget(t, path, o, err);
	if (r < 0 || !mine)
		return r;
	snprintf(reason, size, "%s", member(body, "reason"));
	return strcmp(member(body, "decision"), "allow") == 0 ? 1 : -EPERM;
}

static int poll_once(struct talk *t, unsigned seconds, char *reason, size_t size,
		     struct vs_error *err)
{
	char path[sizeof(t->path) + 32];
	struct json_object *list = NULL;
	snprintf(path, sizeof(path), "%s/commands?wait=%u", t->path, seconds);
	int r = request(t->c, "GET", path, NULL, seconds * 1000, &list, err);
	size_t count = r == 0 && json_object_is_type(list, json_type_array)
			       ? json_object_array_length(list)
			       : 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = obey(t, json_object_array_get_idx(list, i), reason, size, err);
	json_object_put(list);
	return r;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int approval_wait(struct vs_client *c, const struct question *q, char *reason, size_t size,
		  struct vs_error *err)
{
	struct talk t = { .c = c, .q = q };
	char id[ID_SIZE];
	id_new(id);
	snprintf(t.id, sizeof(t.id), "sdk-%s", id);
	snprintf(t.path, sizeof(t.path), "/api/sessions/%s", t.id);
	int r = report(&t, "paused", err);
	if (r == 0)
		r = ask(&t, "pending", err);
	if (r < 0)
		return r;
	const int64_t end = now_ms() + c->approval_timeout_ms;
	for (int64_t left; r == 0 && (left = end - now_ms()) > 0;) {
		unsigned seconds = left < 1000 ? 1 : (unsigned)(left / 1000);
		r = poll_once(&t, seconds < POLL_S ? seconds : POLL_S, reason, size, err);
	}
	if (r == 0) {
		snprintf(reason, size, "Nobody answered in time");
		r = error_set(err, ETIMEDOUT, "nobody answered in time");
	}
	/* what was answered stands, even when the server does not hear that it arrived */
	if (r != 1 && r != -EPERM)
		ask(&t, "expired", NULL);
	report(&t, "ended", NULL);
	return r == 1 ? 0 : r;
}
