#include "control/events.h"

#include <json-c/json.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "control/ids.h"
#include "control/json.h"
#include "control/worker.h"

enum {
	RING = 4096,
	ROWS = 2000, /* of a table in one look; more is a gap */
	STREAMS = 512,
	BLOCK = 16384,
	TICK_MS = 100,
	ALONE_TICKS = 10, /* while nobody listens, */
	ALONE_MAX =
		600, /* up to this; who comes after that has what is new by the first look, or a gap */
	PAST_S = 600, /* what the ring holds at its start */
	BEAT_S = 10,
	LIFE_S = 60,
	/* A number of another server can be committed after a younger one of ours. */
	LATE_MS = 2000,
};

struct event {
	int64_t id; /* 0: a gap */
	char *text; /* as it goes out; owned */
};

struct stream {
	struct events *events;
	struct MHD_Connection *connection;
	uint64_t next; /* place in the ring */
	char *pending; /* what goes out first; owned */
	size_t sent;   /* of pending */
	int64_t end_us, beat_us;
	struct stream *asleep;
};

struct events {
	struct store *store;
	struct worker worker;
	pthread_mutex_t lock;
	struct event ring[RING];
	uint64_t count;          /* events that ever were in the ring */
	int64_t seen[IDS_NODES]; /* of each server, the last */
	int64_t floor;           /* nothing up to this number was ever in the ring */
	unsigned streams;
	struct stream *asleep;
};

/* ---- what is new --------------------------------------------------------------------------- */

struct look {
	struct events *events;
	struct event found[3 * ROWS];
	unsigned count;
	unsigned rows; /* of this table */
	bool gap;
	int64_t from;
};

static unsigned node_of(int64_t id)
{
	return (unsigned)(id >> IDS_NODE_SHIFT) & (IDS_NODES - 1);
}

/* A row that was not seen yet gets its place; NULL: it was. */
static struct event *find_place(struct look *l, int64_t id)
{
	if (++l->rows == ROWS)
		l->gap = true;
	if (id <= l->events->seen[node_of(id)])
		return NULL;
	struct event *place = &l->found[l->count++];
	*place = (struct event){ .id = id };
	return place;
}

/* JSON in one line: json-c writes a line feed in a text as \n. */
static void put_event(struct event *to, const char *kind, struct json_object *data)
{
	const char *text = json_object_to_json_string_ext(
		data, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (asprintf(&to->text, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)to->id, kind,
		     text) < 0)
		to->text = NULL;
	json_object_put(data);
}

static struct json_object *maybe(const struct db_row *row, int column)
{
	return json_text(db_is_null(row, column) ? NULL : db_text(row, column));
}

static int take_action(const struct db_row *row, void *arg)
{
	struct event *to = find_place(arg, db_int(row, 0));
	if (!to)
		return 0;
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(to->id));
	json_put(o, "agent_id", maybe(row, 1));
	json_put(o, "session_id", maybe(row, 2));
	json_put(o, "action_type", maybe(row, 3));
	json_put(o, "resource", maybe(row, 4));
	json_put(o, "risk_score", json_score(db_real(row, 5)));
	json_put(o, "decision", maybe(row, 6));
	json_put(o, "flag_reason", maybe(row, 7));
	json_put(o, "timestamp", json_time(db_int(row, 8)));
	put_event(to, "action", o);
	return 0;
}

static int take_alert(const struct db_row *row, void *arg)
{
	struct event *to = find_place(arg, db_int(row, 0));
	if (!to)
		return 0;
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_object_new_int64(to->id));
	json_put(o, "agent_id", maybe(row, 1));
	json_put(o, "level", maybe(row, 2));
	json_put(o, "message", maybe(row, 3));
	json_put(o, "created_at", json_time(db_int(row, 4)));
	put_event(to, "alert", o);
	return 0;
}

static int take_feed(const struct db_row *row, void *arg)
{
	struct event *to = find_place(arg, db_int(row, 0));
	if (!to)
		return 0;
	put_event(to, db_text(row, 1), json_stored(db_text(row, 2)));
	return 0;
}

static int64_t run_look(struct db *db, void *arg, struct err *err)
{
	struct look *l = arg;
	struct db_value from =
		db_i(db_kind(db) == DB_POSTGRES ? l->from - ((int64_t)LATE_MS << IDS_TIME_SHIFT)
						: l->from);
	int64_t n = db_each(
		db, err, take_action, l,
		"SELECT x.id, a.agent_id, x.session_id, x.type, substr(x.resource, 1, 512), x.risk,"
		" x.decision, x.flag_reason, x.at FROM actions x LEFT JOIN agents a ON a.id = "
		"x.agent"
		" WHERE x.id > $1 ORDER BY x.id DESC LIMIT $2",
		from, db_i(ROWS));
	l->rows = 0;
	if (n >= 0)
		n = db_each(
			db, err, take_alert, l,
			"SELECT x.id, a.agent_id, x.level, x.message, x.created_at FROM alerts x"
			" LEFT JOIN agents a ON a.id = x.agent WHERE x.id > $1"
			" ORDER BY x.id DESC LIMIT $2",
			from, db_i(ROWS));
	l->rows = 0;
	if (n >= 0)
		n = db_each(
			db, err, take_feed, l,
			"SELECT id, kind, body FROM feed WHERE id > $1 ORDER BY id DESC LIMIT $2",
			from, db_i(ROWS));
	return n;
}

static int by_id(const void *a, const void *b)
{
	int64_t x = ((const struct event *)a)->id, y = ((const struct event *)b)->id;
	return x < y ? -1 : x > y;
}

static void push(struct events *e, struct event event)
{
	struct event *place = &e->ring[e->count++ % RING];
	free(place->text);
	if (e->count > RING && place->id > e->floor)
		e->floor = place->id;
	*place = event;
}

/* Reads what is new; true when there was something. */
static bool look(struct events *e)
{
	struct err err;
	cleanup_free struct look *l = calloc(1, sizeof(*l));
	if (!l)
		return false;
	l->events = e;
	for (unsigned i = 0; i < IDS_NODES; i++)
		if (e->seen[i] > l->from)
			l->from = e->seen[i];
	if (l->from == 0)
		l->from = e->floor;
	int64_t n = store_read(e->store, run_look, l, &err);
	if (n < 0) { /* the store is away: the same again at the next look */
		for (unsigned i = 0; i < l->count; i++)
			free(l->found[i].text);
		return false;
	}
	qsort(l->found, l->count, sizeof(l->found[0]), by_id);
	pthread_mutex_lock(&e->lock);
	if (l->gap && l->count > 0)
		push(e, (struct event){ 0, strdup("event: gap\ndata: {}\n\n") });
	for (unsigned i = 0; i < l->count; i++) {
		e->seen[node_of(l->found[i].id)] = l->found[i].id;
		push(e, l->found[i]);
	}
	pthread_mutex_unlock(&e->lock);
	return l->count > 0;
}

/* ---- streams -------------------------------------------------------------------------------- */

static void say(struct stream *s, const char *text)
{
	free(s->pending);
	s->pending = strdup(text);
	s->sent = 0;
}

static ssize_t send_pending(struct stream *s, char *buf, size_t max)
{
	size_t left = strlen(s->pending + s->sent), len = left < max ? left : max;
	memcpy(buf, s->pending + s->sent, len);
	s->sent += len;
	if (len == left) {
		free(s->pending);
		s->pending = NULL;
	}
	return (ssize_t)len;
}

/* The next thing to say becomes pending; false: there is none. */
static bool choose(struct stream *s, int64_t now)
{
	struct events *e = s->events;
	if (e->count - s->next > RING) {
		s->next = e->count;
		say(s, "event: gap\ndata: {}\n\n");
	} else if (s->next < e->count) {
		const char *text = e->ring[s->next++ % RING].text;
		say(s, text ? text : "event: gap\ndata: {}\n\n");
	} else if (now >= s->beat_us) {
		say(s, ":\n\n");
	} else {
		return false;
	}
	s->beat_us = now + BEAT_S * 1000000LL;
	return true;
}

static ssize_t on_read(void *arg, uint64_t pos, char *buf, size_t max)
{
	(void)pos;
	struct stream *s = arg;
	struct events *e = s->events;
	int64_t now = ids_now_us();
	ssize_t len = 0;
	pthread_mutex_lock(&e->lock);
	while ((size_t)len < max && (s->pending || choose(s, now))) {
		if (!s->pending) { /* no memory: whoever listens resumes at what it saw last */
			pthread_mutex_unlock(&e->lock);
			return MHD_CONTENT_READER_END_WITH_ERROR;
		}
		len += send_pending(s, buf + len, max - (size_t)len);
	}
	if (len == 0 && (worker_stopping(&e->worker) || now >= s->end_us)) {
		len = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (len == 0) {
		MHD_suspend_connection(s->connection);
		s->asleep = e->asleep;
		e->asleep = s;
	}
	pthread_mutex_unlock(&e->lock);
	return len;
}

static void on_free(void *arg)
{
	struct stream *s = arg;
	pthread_mutex_lock(&s->events->lock);
	s->events->streams--;
	pthread_mutex_unlock(&s->events->lock);
	free(s->pending);
	free(s);
}

/* Where a stream that saw @last goes on; with a gap when the ring does not reach so far. */
static void place(struct stream *s, int64_t last)
{
	struct events *e = s->events;
	s->next = e->count;
	say(s, "retry: 1000\n\n");
	if (last <= 0)
		return;
	if (last < e->floor) {
		say(s, "retry: 1000\nevent: gap\ndata: {}\n\n");
		return;
	}
	while (s->next > 0 && e->count - s->next < RING && e->ring[(s->next - 1) % RING].id != last)
		s->next--;
	if (s->next > 0 && e->ring[(s->next - 1) % RING].id == last)
		return;
	/* not a number of the ring: what is younger */
	while (s->next < e->count && e->ring[s->next % RING].id <= last)
		s->next++;
}

bool events_answer(struct events *e, void *connection)
{
	struct stream *s = calloc(1, sizeof(*s));
	const char *last =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
	int64_t now = ids_now_us();
	if (!s)
		return false;
	*s = (struct stream){ .events = e,
			      .connection = connection,
			      .end_us = now + LIFE_S * 1000000LL,
			      .beat_us = now + BEAT_S * 1000000LL };
	pthread_mutex_lock(&e->lock);
	bool room = e->streams < STREAMS && !worker_stopping(&e->worker);
	e->streams += room;
	if (room)
		place(s, last ? strtoll(last, NULL, 10) : 0);
	pthread_mutex_unlock(&e->lock);
	if (!room) {
		free(s);
		return false;
	}
	struct MHD_Response *r =
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, s, on_free);
	if (!r) {
		on_free(s);
		return false;
	}
	MHD_add_response_header(r, "Content-Type", "text/event-stream");
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(r, "X-Accel-Buffering", "no"); /* a proxy must not gather it */
	bool queued = MHD_queue_response(connection, MHD_HTTP_OK, r) == MHD_YES;
	MHD_destroy_response(r);
	return queued;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void wake(struct events *e, bool all)
{
	int64_t now = ids_now_us();
	pthread_mutex_lock(&e->lock);
	for (struct stream **at = &e->asleep; *at;) {
		struct stream *s = *at;
		if (!all && now < s->beat_us && now < s->end_us) {
			at = &s->asleep;
			continue;
		}
		*at = s->asleep;
		MHD_resume_connection(s->connection);
	}
	pthread_mutex_unlock(&e->lock);
}

static void run(void *arg)
{
	struct events *e = arg;
	unsigned alone = 0; /* ticks */
	while (worker_pause(&e->worker, TICK_MS)) {
		pthread_mutex_lock(&e->lock);
		bool listened = e->streams > 0;
		pthread_mutex_unlock(&e->lock);
		alone = listened ? 0 : alone + 1;
		if (listened || (alone < ALONE_MAX && alone % ALONE_TICKS == 0))
			wake(e, look(e));
	}
}

struct events *events_new(struct store *store)
{
	struct events *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->store = store;
	e->floor = ids_at(ids_now_us() - PAST_S * 1000000LL);
	pthread_mutex_init(&e->lock, NULL);
	look(e);
	if (worker_start(&e->worker, run, e) < 0) {
		free(e);
		return NULL;
	}
	return e;
}

void events_stop(struct events *e)
{
	if (!e)
		return;
	worker_stop(&e->worker);
	wake(e, true);
}

void events_free(struct events *e)
{
	for (unsigned i = 0; e && i < RING; i++)
		free(e->ring[i].text);
	free(e);
}
