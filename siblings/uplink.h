/*
 * vsandbox-uplink: tells the control plane what a session does, and the session what people at the control plane
 * want of it. One process a session, started by its gateway, which takes no further notice of it:
 * everything reported is read from the session's own files, and no decision ever waits for this program.
 *
 * The spool is the session's log, of which so much may wait as the configuration's upload_budget says; uplink.json beside it holds how far it was acknowledged. An action
 * goes under (session, seq), so that one sent twice is one at the server. uplink.lock is held by who delivers.
 *
 * One thread. Two requests at a time: `post` for what is told, one after the other, and `poll`, which the
 * server answers when somebody wants something.
 */
#pragma once

#include <curl/curl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/eventfile.h"
#include "launcher/server.h"
#include "launcher/session.h"

/* ---- uplink_http.c ---- */

enum { REPLY_MAX = 4 << 20 };

struct exchange {
	CURL *easy;       /* owned */
	bool busy, ended; /* ended: and not yet looked at */
	char *body;       /* of the request; owned */
	char *reply;
	size_t len;   /* of the reply; it ends with a NUL */
	long status;  /* HTTP; 0 none came */
	CURLcode end; /* why none came */
};

struct uplink_http {
	CURLM *multi;               /* owned */
	struct curl_slist *headers; /* owned; the key among them */
	const struct server *server;
	unsigned mask; /* bits of enum mask: what is masked in bodies that go out */
};

int uplink_http_init(struct uplink_http *h, const struct server *server, struct err *err);
void uplink_http_finish(struct uplink_http *h);
void exchange_finish(struct uplink_http *h, struct exchange *e);
/* GET when there is no @body (taken over: one reference, and masked in place), else POST. */
int exchange_begin(struct uplink_http *h, struct exchange *e, const char *path,
		   struct json_object *body, long seconds);
/* Sleeps until something comes on the network or on @fd (-1 none), or that time is over. */
void uplink_http_wait(struct uplink_http *h, int fd, int timeout_ms);
/* True once for each exchange that has ended. */
bool exchange_ended(struct exchange *e);
/* 2xx: 0. -EACCES the key is refused; -ENOENT; -EBADMSG the server will never take it; else try again: -EAGAIN. */
int exchange_result(const struct exchange *e, struct err *err);

/* ---- uplink_actions.c ---- */

struct batch {
	struct json_object *actions; /* owned; NULL empty */
	uint64_t last_seq;           /* of the log, up to which it goes */
};

struct spool {
	struct eventfile file; /* fd -1: not opened yet */
	uint64_t acknowledged; /* seq */
	uint64_t read;         /* seq that batches go up to */
	unsigned limit;        /* actions in the next batch */
	struct batch batch;    /* under way, until acknowledged */
	uint64_t refused;      /* actions that the server will never take */
	uint64_t dropped;      /* actions given up for the budget */
	uint64_t untold;       /* of those, what the server was not told of */
	/* a threshold that was passed after the batch; owned, NULL none */
	struct json_object *alert;
	uint64_t alert_seq;
};

enum approval_end { APPROVAL_ALLOWED, APPROVAL_DENIED };
/* The log's word on a question: it was answered. */
typedef void approval_end_fn(void *arg, uint32_t id, enum approval_end end);

void spool_close(struct spool *p);
/* Fills the batch if it is empty, up to the next alert. 1: there is something to tell. 0: nothing new. -errno. */
int spool_fill(struct spool *p, const struct session *s, approval_end_fn *on_end, void *arg,
	       struct err *err);
/*
 * Gives the oldest actions up when more than @budget bytes of the log (0 no limit) wait behind the batch, which goes with
 * them, until three quarters of it do. Not while the batch is on its way. 1: some were given up. 0. -errno.
 */
int spool_bound(struct spool *p, const struct session *s, uint64_t budget, approval_end_fn *on_end,
		void *arg, struct err *err);
/* What is to be told next: the batch, then the alert. A reference for the caller; @ret_path: where to. */
struct json_object *spool_next(const struct spool *p, const char **ret_path);
/* The server has that: the position is kept. */
int spool_acknowledge(struct spool *p, const struct session *s, struct err *err);
/* The server refused it: the next is half as large; one alone is given up. */
int spool_refused(struct spool *p, const struct session *s, struct err *err);
/* The position, and whether all is delivered. */
int spool_save(const struct spool *p, const struct session *s, bool delivered, struct err *err);

/* ---- uplink_questions.c ---- */

enum { QUESTIONS = 64, UPLINK_CONTROL_MS = 2000 /* for the session to answer a verb */ };

struct question {
	uint32_t id; /* 0 free */
	bool open;
	const char *told, *state; /* as the server has it, NULL not at all; as it is */
	int64_t remaining_ms;
	struct json_object *action; /* owned */
};

struct questions {
	struct question list[QUESTIONS];
};

/* Sees which questions of @s wait now; a session that does not answer leaves all as it was. */
void questions_ask(struct questions *qs, const struct session *s);
/* approval_end_fn, with the questions as its argument */
void questions_answered(void *questions, uint32_t id, enum approval_end end);
/*
 * Forgets what is over and told. A question that is gone without the log's word was not answered: its time was
 * over, or its caller is gone.
 */
void questions_settle(struct questions *qs, bool running, bool log_is_read);
/* One that the server does not have as it is; NULL none. It keeps its place until it is told and over. */
struct question *questions_next(struct questions *qs);
/* For the server; the caller's. */
struct json_object *question_body(const struct question *q);
void questions_finish(struct questions *qs);

/* ---- uplink_commands.c ---- */

/* Carries a command out. The outcome {"ok", "result"}, the caller's. @session's state may have changed. */
struct json_object *command_carry_out(struct session *s, struct json_object *command);

/* ---- uplink_orders.c ---- */

struct orders {
	char version[128];           /* of the last that came; "" none */
	struct json_object *waiting; /* owned; it came and is not carried out yet */
	struct json_object *told;    /* owned; what became of the last one, for the server */
	bool paused;                 /* the agent was paused at the server */
};

/* @body: {"version", "paused", "terminated", "policy"}; takes the place of an earlier one. */
void orders_receive(struct orders *o, struct json_object *body);
/* Lays what waits on the session (sandbox/orders.h). True: o->told is news; what cannot be done yet is tried again
 * with the next call. */
bool orders_carry_out(struct orders *o, const struct session *s);
void orders_finish(struct orders *o);

/* ---- uplink_session.c ---- */

enum uplink_flags {
	UPLINK_NONE = 0,
	UPLINK_STAYS = 1, /* for a quarter of an hour after the end, so that its changes can be
			     committed or discarded from the server */
};
/*
 * Reports a session until it has ended and all is delivered; while it runs, at most @budget bytes of its log (0 no
 * limit) wait for a server that is away, and what goes for that is told in the log and to the server. Gives up @patience_ms after its end while the
 * server does not answer. 1 all delivered, 0 something is left, -EBUSY another process delivers it.
 */
int uplink_follow(const struct server *server, struct session *s, enum uplink_flags flags,
		  uint64_t budget, unsigned patience_ms, struct err *err);
