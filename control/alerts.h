/*
 * Alerts: what a person should look at.
 *
 * A flood of actions is one thing to look at. Those of one agent and session, of one kind and level, are counted under the
 * alert that the first of them opened, for as long as a window lasts and nobody has acknowledged it; then the next one
 * opens another.
 */
#pragma once

#include <stdint.h>

#include "control/db.h"

struct json_object;

/* Strings are borrowed. */
struct alert {
	const char *agent; /* UUID */
	int64_t action;    /* id of the action, 0 none */
	const char *level; /* low medium high critical */
	const char *message;
	const char *source;  /* NULL none */
	const char *session; /* NULL none */
	const char *kind;    /* what is counted together; NULL: this one stands alone */
	int64_t count;       /* how many actions it is about, 1 at least */
	int64_t at;          /* when it was, by who tells it, microseconds; 0: now */
};

enum { ALERT_WINDOW_S = 60 };

/*
 * Writes: a row, or the count of one that was opened less than @window_us ago. @ret_id: of that row; may be NULL. 0 or
 * positive, or as db_query.
 */
int64_t alert_open(struct db *db, const struct alert *a, int64_t window_us, int64_t *ret_id,
		   struct err *err);
/* Writes. 1; 0: no such alert. */
int64_t alert_acknowledge(struct db *db, int64_t id, const char *by, struct err *err);

struct alert_filter {
	int acknowledged;  /* 0, 1; -1 all */
	const char *agent; /* UUID; NULL any */
	int64_t before;    /* id to go on from; 0 the newest */
	int64_t limit;
};
/* Newest first. */
int64_t alert_list(struct db *db, const struct alert_filter *f, struct json_object *list,
		   struct err *err);
/* The one row as the API shows it, appended to @list; 0: no such alert. */
int64_t alert_get(struct db *db, int64_t id, struct json_object *list, struct err *err);
/* Those with @after < id < @until, oldest first. */
int64_t alert_between(struct db *db, int64_t after, int64_t until, int64_t limit,
		      struct json_object *list, struct err *err);
