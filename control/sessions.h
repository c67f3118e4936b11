/*
 * Sandboxes that report here, what they ask people, and what people tell them.
 *
 * A command is a row that the sandbox's gateway picks up (it keeps one long poll), carries out
 * and answers; whoever gave it waits for that answer. Nothing is said to be done before it is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/agents.h"
#include "control/db.h"

struct json_object;
struct page;

/* @body: the members of POST /api/sessions, checked. @agent: UUID. @key: id of the key that reports; a session
 * stays with its first. 0: it is another key's or agent's. Writes. */
int64_t session_report(struct db *db, const char *agent, const char *key, struct json_object *body,
		       struct err *err);
/* 1 when session @id is of that key. */
int64_t session_owned(struct db *db, const char *id, const char *key, struct err *err);
/* The agent's UUID, "" for a session nobody knows. Its row may be gone meanwhile. */
int session_agent(struct db *db, const char *id, char ret[static AGENT_ID_SIZE], struct err *err);
/* The one row, into the JSON array @list. */
int64_t session_row(struct db *db, const char *id, struct json_object *list, struct err *err);
/* Newest first, pages by started_at; @agent UUID or NULL. */
int64_t session_rows(struct db *db, const char *agent, const struct page *page,
		     struct json_object *list, struct err *err);
/* Ids of the sandboxes of @agent (UUID) that run, newest first, as a JSON array of strings. Not the sessions of
 * an SDK ("sdk-…"): nobody there could reverse or stop anything. */
int64_t session_running(struct db *db, const char *agent, struct json_object *list,
			struct err *err);

/* One question, or what became of it; repeated reports change the row. Writes. */
/* What an agent's key says of a question. 0: it is another's word than the one that settled it, which stays. Writes. */
int64_t approval_report(struct db *db, const char *session, struct json_object *body,
			struct err *err);
int64_t approval_row(struct db *db, int64_t id, struct json_object *list, struct err *err);
/* @state NULL: any. Oldest first: they wait. */
int64_t approval_rows(struct db *db, const char *state, const struct page *page,
		      struct json_object *list, struct err *err);
/* Notes who decided; the sandbox's own report changes the state. Writes. */
int64_t approval_decided(struct db *db, int64_t id, const char *decision, const char *scope,
			 const char *reason, const char *by, struct err *err);

/* Writes; @ret_id: to wait for. @body: JSON text. */
int64_t command_give(struct db *db, const char *session, const char *kind, const char *body,
		     int64_t *ret_id, struct err *err);
/* Those of a session that wait to be picked up; they count as picked up from now on. Writes. */
int64_t command_take(struct db *db, const char *session, struct json_object *list, struct err *err);
/* Number of those that wait. */
int64_t command_waiting(struct db *db, const char *session, struct err *err);
/* The gateway's answer. Writes. 0: no such command of that session. */
int64_t command_done(struct db *db, const char *session, int64_t id, bool ok, const char *result,
		     struct err *err);
/* 1 and {"id", "session_id", "state", "result"} in @list when it was answered, else 0. */
int64_t command_result(struct db *db, int64_t id, struct json_object *list, struct err *err);

/* A line of the feed: what has no row of its own that says so. @body: JSON. Writes. */
int64_t feed_note(struct db *db, const char *kind, const char *body, struct err *err);
/* What was rolled back; @ids: JSON array of the log's ids. Writes. */
int64_t rollback_note(struct db *db, const char *agent, const char *session,
		      struct json_object *result, const char *reason, const char *by,
		      int64_t *ret_id, struct err *err);
int64_t rollback_rows(struct db *db, int64_t before, int64_t limit, struct json_object *list,
		      struct err *err);
