/*
 * One request on its way to an answer, and THE table of routes: dispatch, roles, the checks of
 * bodies and /openapi.json read it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/audit.h"
#include "control/evaluate.h"
#include "control/keys.h"
#include "control/store.h"

struct json_object;

enum { PEER_SIZE = 64, CALL_IDS = 2, CALL_ID_SIZE = 256 };

struct server {
	struct store *store;
	struct evaluator *evaluator;
	struct live *live;
	struct events *events;
	struct rates *rates;
	struct metrics *metrics;
	unsigned mask;           /* bits of enum mask: what is masked at all */
	int64_t alert_window_us; /* as alert_open's */
};

struct call {
	struct server *server;
	const struct route *route;
	struct key key;                  /* who asks; role 0 on open routes */
	char id[CALL_IDS][CALL_ID_SIZE]; /* what stood for {…} in the path */
	struct json_object *body;        /* checked against the route's fields; NULL none */
	const char *(*query)(const struct call *c, const char *name); /* NULL: not given */
	void *connection;                                             /* for query */
	/* What a browser sent: its cookie, the proof that the page and not another's sent it, and whether it says
	 * itself that another site's page did. */
	const char *login, *csrf;
	bool cross_site;
	char peer[PEER_SIZE]; /* the address that connects, for limits; "" unknown */
	/* A call that cannot be answered yet sets wait_us and returns 0; it is run again, with the
	 * same memo, when something was written or that moment has come. */
	int64_t first_us;         /* when it was first run */
	bool again;               /* this is not the first run */
	int64_t wait_us;          /* look again by then; 0: this is the answer */
	struct json_object *memo; /* what the handler wants to find again; the connection owns it */
	/* the answer */
	int status;
	struct json_object *reply; /* owned; NULL with text */
	char *text;                /* owned; instead of reply */
	const char *content_type;  /* of text */
	bool stream;               /* the answer is the stream of events */
	char cookie[64];           /* the login to remember; "" none */
	bool forget;               /* the login is over */
	char next[128];            /* cursor of the next page; "" none */
	unsigned retry_after_s;    /* with 429 and 503 */
};

enum field_type {
	FIELD_TEXT,
	FIELD_INT,
	FIELD_NUMBER,
	FIELD_BOOL,
	FIELD_TEXTS,  /* a list of strings */
	FIELD_OBJECT, /* any object */
	FIELD_ID,     /* a text or a number, of somebody else's making */
	FIELD_ANY,
};

struct field {
	const char *name; /* NULL ends the list */
	enum field_type type;
	bool required;            /* else null and absence are fine */
	const char *const *words; /* TEXT, TEXTS: one of these; NULL any. NULL-terminated */
	double min, max;          /* INT, NUMBER, when min < max */
	size_t longest;           /* TEXT, ID: bytes; 0: 4096 */
	unsigned mask;            /* bits of enum mask: what of it is not to be stored */
};

struct route {
	const char *method, *path; /* {name} stands for one segment */
	unsigned roles;            /* bits of enum role; 0: open to everybody */
	/* Sets status and reply. Negative errno: the store failed, or -EINVAL with the reason in @err. */
	int (*handle)(struct call *c, struct err *err);
	const struct field *fields; /* of the body; NULL: no body is read */
	/* The body may also be an array of such objects, and the handler masks it: it is looked at in full first. */
	bool batch;
	const char *summary;
	bool reads; /* writes nothing, though the method is not GET */
};

extern const struct route routes[]; /* ended by a NULL method */

/* Sets c->route, or the refusal. @path: as it was sent, escapes and all. */
void call_find(struct call *c, const char *method, const char *path);
/* Whether its answer may have to wait for a commit. */
bool call_writes(const struct call *c);
/* Checks and runs what was found: fills the answer whatever happens. @body: text of the body, not terminated. */
void call_run(struct call *c, const char *key, const char *body, size_t len);
/*
 * Runs the route that is written @pattern in the table, with c->id set, for somebody who was let in already: c->key
 * says who, and its role is looked at. @body stays the caller's; NULL: none.
 */
void call_on_behalf(struct call *c, const char *method, const char *pattern,
		    struct json_object *body);

/* Answers {"detail": text}. Returns 0. */
int call_refuse(struct call *c, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A member of the body: NULL or @otherwise when absent or null. */
const char *call_text(const struct call *c, const char *name);

/* store_read and store_write for a handler. */
int call_read(struct call *c, store_fn *fn, void *arg, struct err *err);
int call_write(struct call *c, store_fn *fn, void *arg, struct err *err);
/* As call_write; calls that wait look again. For what they wait for: commands, their results, profiles and rules. */
int call_announce(struct call *c, store_fn *fn, void *arg, struct err *err);

/* fields.c: checks @body; true, or the list of what is wrong with it (owned by the caller) in @ret. */
bool fields_check(const struct field *fields, struct json_object *body, struct json_object **ret);
/* Masks in @body what the list says, as far as @what goes. Number of places, -ENOMEM. */
int fields_mask(const struct field *fields, struct json_object *body, unsigned what);
/* The list as a JSON Schema. A new reference. */
struct json_object *fields_schema(const struct field *fields);
/* The table as OpenAPI 3.1. A new reference. */
struct json_object *routes_openapi(void);

/* api_*.c */
int api_login(struct call *c, struct err *err);
int api_logout(struct call *c, struct err *err);
int api_me(struct call *c, struct err *err);
int api_events(struct call *c, struct err *err);
int api_page(struct call *c, struct err *err);
int api_page_file(struct call *c, struct err *err);
int api_check(struct call *c, struct err *err);
int api_actions_post(struct call *c, struct err *err);
int api_actions_list(struct call *c, struct err *err);
int api_risk_score(struct call *c, struct err *err);
int api_agents_list(struct call *c, struct err *err);
int api_agents_create(struct call *c, struct err *err);
int api_agents_patch(struct call *c, struct err *err);
int api_agents_profile(struct call *c, struct err *err);
int api_agents_delete(struct call *c, struct err *err);
int api_policies_create(struct call *c, struct err *err);
int api_policies_trial(struct call *c, struct err *err);
int api_policies_list(struct call *c, struct err *err);
int api_policies_patch(struct call *c, struct err *err);
int api_policies_delete(struct call *c, struct err *err);
int api_alerts_list(struct call *c, struct err *err);
int api_alerts_create(struct call *c, struct err *err);
int api_alerts_acknowledge(struct call *c, struct err *err);
int api_sessions_report(struct call *c, struct err *err);
int api_sessions_list(struct call *c, struct err *err);
int api_sessions_get(struct call *c, struct err *err);
int api_sessions_changes(struct call *c, struct err *err);
int api_sessions_diff(struct call *c, struct err *err);
int api_sessions_control(struct call *c, struct err *err);
int api_sessions_commands(struct call *c, struct err *err);
int api_sessions_done(struct call *c, struct err *err);
int api_approvals_report(struct call *c, struct err *err);
int api_approvals_list(struct call *c, struct err *err);
int api_approvals_decide(struct call *c, struct err *err);
int api_rollback(struct call *c, struct err *err);
int api_rollback_history(struct call *c, struct err *err);
int api_stats(struct call *c, struct err *err);
int api_usage(struct call *c, struct err *err);
int api_keys_list(struct call *c, struct err *err);
int api_keys_create(struct call *c, struct err *err);
int api_keys_delete(struct call *c, struct err *err);
int api_audit(struct call *c, struct err *err);
int api_export(struct call *c, struct err *err);
int api_metrics(struct call *c, struct err *err);
int api_mcp(struct call *c, struct err *err);
int api_health(struct call *c, struct err *err);
int api_openapi(struct call *c, struct err *err);
