/* The session's log as actions of the REST contract, and how far the server has them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "siblings/uplink.h"

enum { BATCH_ACTIONS = 500, BATCH_BYTES = 512 << 10, POSITION_MAX = 1024 };

static const char position_name[] = "uplink.json";

static int read_position(struct spool *p, const struct session *s)
{
	char text[POSITION_MAX] = "";
	cleanup_fd int fd = openat(s->dirfd, position_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	struct json_object *o = n > 0 ? json_tokener_parse(text) : NULL;
	p->acknowledged = (uint64_t)event_number(o, "seq");
	p->refused = (uint64_t)event_number(o, "refused");
	p->dropped = (uint64_t)event_number(o, "dropped");
	p->untold = (uint64_t)event_number(o, "untold");
	json_object_put(o);
	return 0;
}

int spool_save(const struct spool *p, const struct session *s, bool delivered, struct err *err)
{
	char text[POSITION_MAX];
	int len = snprintf(text, sizeof(text),
			   "{\"schema_version\":1,\"seq\":%" PRIu64 ",\"refused\":%" PRIu64
			   ",\"dropped\":%" PRIu64 ",\"untold\":%" PRIu64 ",\"delivered\":%s}\n",
			   p->acknowledged, p->refused, p->dropped, p->untold,
			   delivered ? "true" : "false");
	return state_write_file(s->dirfd, position_name, text, (size_t)len, err);
}

static int open_spool(struct spool *p, const struct session *s, struct err *err)
{
	if (p->limit) /* only the log was missing */
		return eventfile_open(s->dirfd, &p->file, err);
	*p = (struct spool){ .file = { .fd = -1 }, .limit = BATCH_ACTIONS };
	int r = read_position(p, s);
	p->read = p->acknowledged;
	/* from now on something is left to deliver, also of a session that is entered again */
	if (r == -ENOENT || r == 0)
		r = spool_save(p, s, false, err);
	return r < 0 ? r : eventfile_open(s->dirfd, &p->file, err);
}

/* What was to be told next is not on its way any more. */
static void release(struct spool *p)
{
	json_object_put(p->batch.actions);
	json_object_put(p->alert);
	p->batch.actions = p->alert = NULL;
}

void spool_close(struct spool *p)
{
	eventfile_close(&p->file);
	release(p);
}

/*
 * Arguments of programs and texts of statements beyond the resource stay here: they hold passwords more often
 * than not, and masking finds only those that have a form or a name.
 */
static struct json_object *action_of(const struct session *s, const struct json_object *event)
{
	static const char *const details[] = { "op",     "syscall", "program",    "pid",
					       "result", "rule",    "reason",     "size",
					       "scores", "alias",   "provenance", "ancestry" };
	struct json_object *o = json_object_new_object(), *payload = json_object_new_object();
	char id[32];
	snprintf(id, sizeof(id), "%" PRId64, event_number(event, "seq"));
	for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++)
		event_copy(payload, details[i], event, details[i]);
	json_object_object_add(o, "agent_id", json_object_new_string(session_text(s, "agent")));
	json_object_object_add(o, "session_id", json_object_new_string(s->id));
	json_object_object_add(o, "action_id", json_object_new_string(id));
	json_object_object_add(o, "source", json_object_new_string("vsandbox"));
	event_copy(o, "action_type", event, "type");
	event_copy(o, "resource", event, "resource");
	event_copy(o, "risk_score", event, "score");
	event_copy(o, "decision", event, "decision");
	event_copy(o, "timestamp", event, "time");
	if (strcmp(event_text(event, "decision"), "allow") != 0)
		event_copy(o, "flag_reason", event, "reason");
	json_object_object_add(o, "payload", payload);
	return o;
}

/* An episode of CPU, memory or process count is no action; of those that are alerts the server makes its own. */
static struct json_object *alert_of(const struct session *s, const struct json_object *event)
{
	struct json_object *o = json_object_new_object();
	const char *decision = event_text(event, "decision");
	char text[1024];
	snprintf(text, sizeof(text), "session %s: %.900s (%s)", s->id, event_text(event, "text"),
		 decision);
	json_object_object_add(o, "agent_id", json_object_new_string(session_text(s, "agent")));
	json_object_object_add(o, "message", json_object_new_string(text));
	json_object_object_add(o, "severity",
			       json_object_new_string(strcmp(decision, "alert") == 0 ? "medium"
										     : "high"));
	json_object_object_add(o, "source", json_object_new_string("vsandbox"));
	event_copy(o, "timestamp", event, "time");
	return o;
}

static void look_for_end(const struct json_object *event, approval_end_fn *on_end, void *arg)
{
	char word[16];
	uint32_t id;
	if (on_end &&
	    sscanf(event_text(event, "text"), "approval %" SCNu32 " %15s", &id, word) == 2 &&
	    (!strcmp(word, "allowed") || !strcmp(word, "denied")))
		on_end(arg, id, *word == 'a' ? APPROVAL_ALLOWED : APPROVAL_DENIED);
}

static bool is_action(const struct json_object *event)
{
	return strcmp(event_text(event, "kind"), "action") == 0;
}

/* The next action, or threshold that was passed, of which the server has not heard yet; the caller's. 1, 0 none for now, -errno. */
static int next_event(struct spool *p, approval_end_fn *on_end, void *arg, struct json_object **ret,
		      struct err *err)
{
	struct eventfile_line line;
	int r;
	while ((r = eventfile_next(&p->file, &line, err)) == 1 || r == -EBADMSG) {
		if (r == -EBADMSG)
			continue;
		uint64_t seq = (uint64_t)event_number(line.json, "seq");
		const char *kind = event_text(line.json, "kind");
		bool wanted = seq > p->acknowledged &&
			      (is_action(line.json) ||
			       (!strcmp(kind, "sample") &&
				strcmp(event_text(line.json, "decision"), "allow") != 0));
		if (!strcmp(kind, "notice"))
			look_for_end(line.json, on_end, arg);
		if (seq > p->read)
			p->read = seq;
		if (wanted) {
			*ret = line.json;
			return 1;
		}
		json_object_put(line.json);
	}
	return r;
}

int spool_fill(struct spool *p, const struct session *s, approval_end_fn *on_end, void *arg,
	       struct err *err)
{
	struct json_object *event;
	size_t bytes = 0;
	if (p->file.fd < 0) {
		int r = open_spool(p, s, err);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	if (p->batch.actions || p->alert)
		return 1;
	while (!p->alert && bytes < BATCH_BYTES &&
	       (!p->batch.actions || json_object_array_length(p->batch.actions) < p->limit) &&
	       next_event(p, on_end, arg, &event, err) == 1) {
		if (is_action(event)) {
			struct json_object *o = action_of(s, event);
			if (!p->batch.actions)
				p->batch.actions = json_object_new_array();
			bytes += strlen(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
			json_object_array_add(p->batch.actions, o);
			p->batch.last_seq = p->read;
		} else {
			p->alert = alert_of(s, event);
			p->alert_seq = p->read;
		}
		json_object_put(event);
	}
	return p->batch.actions || p->alert;
}

struct json_object *spool_next(const struct spool *p, const char **ret_path)
{
	*ret_path = p->batch.actions ? "/api/actions" : "/api/alerts";
	return json_object_get(p->batch.actions ? p->batch.actions : p->alert);
}

/* Reads on from there. */
static void told(struct spool *p)
{
	struct json_object **done = p->batch.actions ? &p->batch.actions : &p->alert;
	p->acknowledged = p->batch.actions ? p->batch.last_seq : p->alert_seq;
	json_object_put(*done);
	*done = NULL;
}

int spool_bound(struct spool *p, const struct session *s, uint64_t budget, approval_end_fn *on_end,
		void *arg, struct err *err)
{
	struct json_object *event;
	int r = spool_fill(p, s, on_end, arg, err);
	if (r <= 0 || !budget || eventfile_left(&p->file) <= budget)
		return r < 0 ? r : 0;
	uint64_t count = p->batch.actions ? json_object_array_length(p->batch.actions) : 0;
	while (eventfile_left(&p->file) > budget / 4 * 3 &&
	       next_event(p, on_end, arg, &event, err) == 1) {
		count += is_action(event);
		json_object_put(event);
	}
	p->dropped += count;
	p->untold += count;
	release(p);
	p->acknowledged = p->read;
	p->limit = BATCH_ACTIONS;
	r = spool_save(p, s, false, err);
	return r < 0 ? r : 1;
}

int spool_acknowledge(struct spool *p, const struct session *s, struct err *err)
{
	told(p);
	p->limit = BATCH_ACTIONS;
	return spool_save(p, s, false, err);
}

int spool_refused(struct spool *p, const struct session *s, struct err *err)
{
	size_t count = p->batch.actions ? json_object_array_length(p->batch.actions) : 1;
	if (count <= 1) {
		p->refused++;
		return spool_acknowledge(p, s, err);
	}
	/* from the last position again, in halves */
	p->limit = (unsigned)(count / 2);
	release(p);
	p->read = p->acknowledged;
	eventfile_close(&p->file);
	return 0;
}
