/*
 * Theory of operation. Things to tell, in this order: the session's state when it changed, outcomes of
 * commands, that actions were given up, questions that wait or were answered, actions. One post at a time; what was not taken stays where it
 * is and is tried again, later each time (with jitter, so that many sandboxes do not come back at once). Meanwhile
 * the log grows, which is all the memory that an outage costs, and beyond a budget the oldest actions are given up.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/control.h"
#include "siblings/uplink.h"

enum {
	TICK_MS = 500,    /* how often the session is asked for questions */
	LOOK_MS = 2000,   /* and whether it is frozen */
	GATHER_MS = 100,  /* a batch a tenth of a second */
	ALIVE_MS = 30000, /* a session that does nothing says so */
	POST_SECONDS = 30,
	POLL_SECONDS = 25, /* that the server may wait with its answer */
	BACKOFF_MIN_MS = 500,
	BACKOFF_MAX_MS = 60000,
	SETTLE_MS =
		15 * 60000, /* how long a session with changes can be committed from the server */
};

enum telling { TELL_NOTHING, TELL_STATE, TELL_OUTCOME, TELL_OVERFLOW, TELL_QUESTION, TELL_ACTIONS };

struct uplink {
	struct session *session;
	struct uplink_http http;
	struct exchange post, poll;
	struct spool spool;
	enum telling telling;
	const char *state, *told; /* of the session; NULL nothing yet */
	char host[256];
	struct json_object *outcomes; /* owned; [{"id", "outcome"}], the first is sent first */
	struct questions questions;
	struct question *asked; /* the question under way */
	uint64_t budget;        /* bytes of the log that may wait */
	uint64_t overflow;      /* actions given up, in the message under way */
	struct orders orders;
	int watch_fd; /* owned; inotify of the session's directory */
	int64_t tick_at, look_at, alive_at, gather_at, retry_at, poll_at, ended_at;
	unsigned backoff_ms, poll_backoff_ms;
	bool frozen;
	bool stays; /* after the end, for what people at the server make of the changes */
	bool changed, settled; /* the end left some; they were committed or discarded */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* To the session's own file; the program has no terminal. */
__attribute__((format(printf, 2, 3))) static void note(struct uplink *u, const char *fmt, ...)
{
	char text[ERR_TEXT_SIZE], stamp[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cleanup_fd int fd = openat(u->session->dirfd, "uplink.log",
				   O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (len < 0 || fd < 0)
		return;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	dprintf(fd, "%s %s\n", stamp, text);
}

static unsigned grow(unsigned backoff_ms)
{
	return backoff_ms ? backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff_ms * 2
			  : BACKOFF_MIN_MS;
}

static int64_t jitter(unsigned backoff_ms)
{
	unsigned r = 0;
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
		r = (unsigned)now_ms();
	return backoff_ms / 2 + r % (backoff_ms / 2 + 1);
}

/* ---- the session ---------------------------------------------------------------------------------------- */

static void add_time(struct json_object *o, const char *name, int64_t ns)
{
	char text[64];
	time_t seconds = ns / 1000000000;
	struct tm tm;
	if (ns <= 0)
		return;
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
	snprintf(text + n, sizeof(text) - n, ".%06lld+00:00", (long long)(ns % 1000000000 / 1000));
	json_object_object_add(o, name, json_object_new_string(text));
}

static const char *state_of(const struct uplink *u)
{
	switch (u->session->state) {
	case SESSION_RUNNING:
		return u->frozen ? "paused" : "running";
	case SESSION_ENDED:
		return "ended";
	case SESSION_CRASHED:
	case SESSION_DAMAGED:
	case SESSION_STATE_COUNT:
		break;
	}
	return "crashed";
}

/* The changes that an ended session has left, as the verb lists them, go to the report. */
static void add_changes(struct uplink *u, struct json_object *o)
{
	struct json_object *diff = json_object_new_object(), *outcome, *changes;
	json_object_object_add(diff, "kind", json_object_new_string("diff"));
	json_object_object_add(diff, "body", json_object_new_object());
	struct session copy = *u->session;
	outcome = command_carry_out(&copy, diff);
	changes = json_object_object_get(json_object_object_get(outcome, "result"), "changes");
	u->changed = json_object_is_type(changes, json_type_array) &&
		     json_object_array_length(changes) > 0;
	if (changes)
		json_object_object_add(o, "changes", json_object_get(changes));
	json_object_put(outcome);
	json_object_put(diff);
}

static struct json_object *session_body(struct uplink *u)
{
	const struct session *s = u->session;
	struct json_object *o = json_object_new_object(), *info = json_object_new_object();
	json_object_object_add(o, "id", json_object_new_string(s->id));
	json_object_object_add(o, "agent_id", json_object_new_string(session_text(s, "agent")));
	json_object_object_add(o, "host", json_object_new_string(u->host));
	json_object_object_add(o, "state", json_object_new_string(u->state));
	event_copy(o, "policy", s->start, "policy");
	event_copy(o, "mode", s->start, "mode");
	event_copy(o, "command", s->start, "argv");
	add_time(o, "started_at", session_number(s, "started_ns"));
	event_copy(info, "cwd", s->start, "cwd");
	event_copy(info, "net", s->start, "net");
	event_copy(info, "degraded", s->start, "degraded");
	if (u->orders.told)
		json_object_object_add(info, "orders", json_object_get(u->orders.told));
	if (s->end) {
		add_time(o, "ended_at", event_number(s->end, "ended_ns"));
		event_copy(o, "exit_code", s->end, "exit_code");
		event_copy(info, "reason", s->end, "reason");
		event_copy(info, "decisions", s->end, "decisions");
		event_copy(info, "types", s->end, "types");
		event_copy(info, "external", s->end, "external");
		event_copy(info, "external_effects", s->end, "external_effects");
	} else if (s->state != SESSION_RUNNING) {
		/* it left no word of its end */
		struct timespec t;
		clock_gettime(CLOCK_REALTIME, &t);
		add_time(o, "ended_at", (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	}
	json_object_object_add(o, "info", info);
	if (s->state != SESSION_RUNNING)
		add_changes(u, o);
	if (u->stays && u->changed && !u->settled && u->ended_at) {
		struct timespec t;
		clock_gettime(CLOCK_REALTIME, &t);
		add_time(info, "settle_until",
			 ((int64_t)t.tv_sec * 1000 + SETTLE_MS - (now_ms() - u->ended_at)) *
				 1000000);
	}
	return o;
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

static void begin_post(struct uplink *u, enum telling what, const char *path,
		       struct json_object *body)
{
	if (exchange_begin(&u->http, &u->post, path, body, POST_SECONDS) == 0)
		u->telling = what;
	else
		u->retry_at = now_ms() + BACKOFF_MAX_MS;
}

static struct json_object *overflow_body(struct uplink *u)
{
	char text[256];
	struct json_object *o = json_object_new_object();
	u->overflow = u->spool.untold;
	snprintf(text, sizeof(text),
		 "%" PRIu64 " actions of session %s are not reported: more than %" PRIu64
		 " bytes of its log waited for this server (upload_budget). That log has them.",
		 u->overflow, u->session->id, u->budget);
	json_object_object_add(o, "agent_id",
			       json_object_new_string(session_text(u->session, "agent")));
	json_object_object_add(o, "message", json_object_new_string(text));
	json_object_object_add(o, "severity", json_object_new_string("high"));
	json_object_object_add(o, "source", json_object_new_string("vsandbox"));
	return o;
}

/* An episode lasts from the first action that is given up until the server has been told how many were. */
static void bound_spool(struct uplink *u)
{
	struct err err;
	bool begins = !u->spool.untold;
	if (u->telling == TELL_ACTIONS)
		return;
	int r = spool_bound(&u->spool, u->session, u->budget, questions_answered, &u->questions,
			    &err);
	if (r < 0)
		note(u, "%s", err.text);
	if (r <= 0 || !begins)
		return;
	struct json_object *bytes = json_object_new_object();
	json_object_object_add(bytes, "bytes", json_object_new_int64((int64_t)u->budget));
	note(u, "more than %" PRIu64 " bytes wait; the oldest actions are not reported", u->budget);
	if (control_call(u->session, "overflow", bytes, UPLINK_CONTROL_MS, NULL, &err) < 0)
		note(u, "%s", err.text);
	json_object_put(bytes);
}

/* True when something is under way or waits to be told. */
static bool tell_next(struct uplink *u, int64_t now)
{
	char path[256];
	struct err err;
	if (u->post.busy || now < u->retry_at)
		return true;
	struct question *q;
	if (!u->told || strcmp(u->told, u->state) || now >= u->alive_at) {
		begin_post(u, TELL_STATE, "/api/sessions", session_body(u));
	} else if (json_object_array_length(u->outcomes)) {
		struct json_object *first = json_object_array_get_idx(u->outcomes, 0);
		snprintf(path, sizeof(path), "/api/sessions/%s/commands/%" PRId64, u->session->id,
			 event_number(first, "id"));
		begin_post(u, TELL_OUTCOME, path,
			   json_object_get(json_object_object_get(first, "outcome")));
	} else if (u->spool.untold) {
		begin_post(u, TELL_OVERFLOW, "/api/alerts", overflow_body(u));
	} else if ((q = questions_next(&u->questions))) {
		u->asked = q;
		snprintf(path, sizeof(path), "/api/sessions/%s/approvals", u->session->id);
		begin_post(u, TELL_QUESTION, path, question_body(q));
	} else if (now >= u->gather_at || u->ended_at) {
		int r = spool_fill(&u->spool, u->session, questions_answered, &u->questions, &err);
		if (r < 0)
			note(u, "%s", err.text);
		questions_settle(&u->questions, u->session->state == SESSION_RUNNING, r == 0);
		if (r <= 0)
			return questions_next(&u->questions) != NULL;
		u->gather_at = now + GATHER_MS;
		const char *where;
		struct json_object *body = spool_next(&u->spool, &where);
		begin_post(u, TELL_ACTIONS, where, body);
	}
	return true;
}

static void on_told(struct uplink *u, int64_t now)
{
	struct err err;
	switch (u->telling) {
	case TELL_STATE: {
		struct json_object *o = json_tokener_parse(u->post.body), *state;
		u->told = json_object_object_get_ex(o, "state", &state) &&
					  !strcmp(json_object_get_string(state), u->state)
				  ? u->state
				  : NULL; /* it changed meanwhile */
		json_object_put(o);
		u->alive_at = u->ended_at ? INT64_MAX : now + ALIVE_MS;
		break;
	}
	case TELL_OUTCOME:
		json_object_array_del_idx(u->outcomes, 0, 1);
		break;
	case TELL_OVERFLOW:
		u->spool.untold -= u->overflow;
		if (spool_save(&u->spool, u->session, false, &err) < 0)
			note(u, "%s", err.text);
		break;
	case TELL_QUESTION: {
		struct json_object *o = json_tokener_parse(u->post.body);
		struct question *q = u->asked;
		q->told = !strcmp(event_text(o, "state"), q->state) ? q->state : "";
		json_object_put(o);
		break;
	}
	case TELL_ACTIONS:
		if (spool_acknowledge(&u->spool, u->session, &err) < 0)
			note(u, "%s", err.text);
		break;
	case TELL_NOTHING:
		break;
	}
}

/* What the server will never take must not stop the rest. */
static void on_refused(struct uplink *u)
{
	struct err err;
	if (u->telling == TELL_STATE) {
		u->retry_at = now_ms() + BACKOFF_MAX_MS;
	} else if (u->telling == TELL_OUTCOME) {
		json_object_array_del_idx(u->outcomes, 0, 1);
	} else if (u->telling == TELL_OVERFLOW) {
		u->spool.untold -= u->overflow; /* others may have gone meanwhile */
	} else if (u->telling == TELL_QUESTION) {
		u->asked->told = u->asked->state;
	} else if (u->telling == TELL_ACTIONS && spool_refused(&u->spool, u->session, &err) < 0) {
		note(u, "%s", err.text);
	}
}

static void on_post(struct uplink *u, int64_t now)
{
	struct err err;
	int r = exchange_result(&u->post, &err);
	if (r == 0) {
		if (u->backoff_ms)
			note(u, "the server answers again");
		u->backoff_ms = 0;
		on_told(u, now);
	} else if (r == -EBADMSG || (r == -ENOENT && u->telling == TELL_OUTCOME)) {
		note(u, "%s", err.text);
		on_refused(u);
	} else {
		if (!u->backoff_ms)
			note(u, "%s; trying again", err.text);
		if (r == -ENOENT)
			u->told = NULL; /* it knows no such session (any more) */
		u->backoff_ms = grow(u->backoff_ms);
		u->retry_at = now + jitter(u->backoff_ms);
	}
	u->telling = TELL_NOTHING;
}

/* ---- being told ------------------------------------------------------------------------------------------------- */

static bool settles(const char *kind)
{
	return !strcmp(kind, "commit") || !strcmp(kind, "discard");
}

static void on_commands(struct uplink *u)
{
	struct json_object *list = json_tokener_parse(u->poll.reply ? u->poll.reply : "");
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < count; i++) {
		struct json_object *command = json_object_array_get_idx(list, i);
		struct json_object *o;
		note(u, "command %s", event_text(command, "kind"));
		if (!strcmp(event_text(command, "kind"), "orders")) {
			orders_receive(&u->orders, json_object_object_get(command, "body"));
			continue;
		}
		o = json_object_new_object();
		event_copy(o, "id", command, "id");
		struct json_object *outcome = command_carry_out(u->session, command);
		json_object_object_add(o, "outcome", outcome);
		json_object_array_add(u->outcomes, o);
		if (settles(event_text(command, "kind")) &&
		    json_object_get_boolean(json_object_object_get(outcome, "ok"))) {
			/* one that runs goes on, and may change more */
			u->settled = u->session->state == SESSION_ENDED;
			u->alive_at = 0; /* what is left is told anew */
		}
	}
	if (count)
		u->tick_at = u->look_at = 0; /* its state may be another now */
	json_object_put(list);
}

/* All is delivered; the changes wait for somebody to decide, here or at the server, which is still there. */
static bool lingers(const struct uplink *u, int64_t now)
{
	struct stat st;
	return u->stays && u->changed && !u->settled && !u->poll_backoff_ms &&
	       u->session->state == SESSION_ENDED && now - u->ended_at < SETTLE_MS &&
	       fstat(u->session->dirfd, &st) == 0 && st.st_nlink > 0;
}

static void listen_next(struct uplink *u, int64_t now)
{
	char path[320];
	struct err err;
	if (exchange_ended(&u->poll)) {
		int r = exchange_result(&u->poll, &err);
		if (r == 0)
			on_commands(u);
		else if (r == -ENOENT)
			u->told = NULL;
		u->poll_backoff_ms = r == 0 ? 0 : grow(u->poll_backoff_ms);
		u->poll_at = r == 0 ? 0 : now + jitter(u->poll_backoff_ms);
	}
	if (u->poll.busy || !u->told || (u->ended_at && !lingers(u, now)) || now < u->poll_at)
		return;
	snprintf(path, sizeof(path), "/api/sessions/%s/commands?wait=%d&orders=%s", u->session->id,
		 POLL_SECONDS, u->orders.version);
	if (exchange_begin(&u->http, &u->poll, path, NULL, POLL_SECONDS + 10) < 0)
		u->poll_at = now + BACKOFF_MAX_MS;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static void look_at_session(struct uplink *u, int64_t now)
{
	struct json_object *status = NULL;
	if (now < u->tick_at)
		return;
	u->tick_at = now + TICK_MS;
	session_refresh(u->session);
	if (u->session->state == SESSION_RUNNING) {
		bound_spool(u);
		/* or it was entered again while its changes waited for a decision */
		u->ended_at = 0;
		questions_ask(&u->questions, u->session);
		if (now >= u->look_at &&
		    control_call(u->session, "status", NULL, UPLINK_CONTROL_MS, &status, NULL) == 0)
			u->frozen =
				json_object_get_boolean(json_object_object_get(status, "paused"));
		if (now >= u->look_at)
			u->look_at = now + LOOK_MS;
		json_object_put(status);
	} else if (!u->ended_at) {
		struct err err;
		u->ended_at = now;
		if (u->session->state == SESSION_CRASHED && session_recover(u->session, &err) < 0)
			note(u, "%s", err.text);
		if (!u->backoff_ms)
			u->retry_at = 0;
	}
	u->state = state_of(u);
}

static void drain_watch(const struct uplink *u)
{
	char events[4096];
	while (u->watch_fd >= 0 && read(u->watch_fd, events, sizeof(events)) > 0)
		;
}

static int lock(const struct session *s)
{
	cleanup_fd int fd =
		openat(s->dirfd, "uplink.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return take_fd(&fd);
}

static void watch_log(struct uplink *u)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d/events.jsonl", u->session->dirfd);
	u->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	/* without it news are seen at the next tick */
	if (u->watch_fd >= 0 && inotify_add_watch(u->watch_fd, path, IN_MODIFY) < 0)
		note(u, "the log is not watched: %s, continuing", strerrordesc_np(errno));
}

static void finish(struct uplink *u)
{
	exchange_finish(&u->http, &u->post);
	exchange_finish(&u->http, &u->poll);
	uplink_http_finish(&u->http);
	spool_close(&u->spool);
	scope_close(&u->watch_fd);
	json_object_put(u->outcomes);
	orders_finish(&u->orders);
	questions_finish(&u->questions);
}

int uplink_follow(const struct server *server, struct session *s, enum uplink_flags flags,
		  uint64_t budget, unsigned patience_ms, struct err *err)
{
	struct uplink u = { .session = s,
			    .stays = flags & UPLINK_STAYS,
			    .budget = budget,
			    .watch_fd = -1,
			    .spool.file.fd = -1 };
	bool waits = true, kept = false;
	cleanup_fd int held = lock(s);
	if (held < 0)
		return held == -EBUSY ? -EBUSY : err_sys(err, -held, "cannot lock the spool");
	int r = uplink_http_init(&u.http, server, err);
	u.outcomes = json_object_new_array();
	gethostname(u.host, sizeof(u.host) - 1);
	if (r == 0)
		watch_log(&u);
	while (r == 0) {
		int64_t now = now_ms();
		look_at_session(&u, now);
		if (exchange_ended(&u.post))
			on_post(&u, now);
		listen_next(&u, now);
		if (orders_carry_out(&u.orders, s)) {
			note(&u, "the server's profile: %s",
			     json_object_to_json_string_ext(u.orders.told, JSON_C_TO_STRING_PLAIN));
			u.alive_at = now; /* the server is told how that went */
		}
		waits = tell_next(&u, now);
		if (u.ended_at && !waits && lingers(&u, now)) {
			if (!kept)
				kept = spool_save(&u.spool, s, true, err) == 0;
		} else if (u.ended_at && (!waits || now - u.ended_at > patience_ms)) {
			break;
		}
		int64_t next = u.tick_at;
		if (!u.post.busy && u.retry_at > now && u.retry_at < next)
			next = u.retry_at;
		if (!u.post.busy && u.gather_at > now && u.gather_at < next)
			next = u.gather_at;
		uplink_http_wait(&u.http, u.watch_fd, next > now ? (int)(next - now) : 0);
		drain_watch(&u);
	}
	if (r == 0) {
		waits &= !kept; /* what a person could have made of it is nothing to deliver */
		r = spool_save(&u.spool, s, !waits, err);
		if (waits)
			note(&u, "the server did not answer; the rest goes with the next run or "
				 "`vsandbox status --flush`");
		if (u.spool.refused)
			note(&u, "%" PRIu64 " actions were refused by the server", u.spool.refused);
	}
	finish(&u);
	return r < 0 ? r : !waits;
}
