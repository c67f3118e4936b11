/* Inside libvsandbox: what its files share. */
#ifndef SDK_C_CLIENT_H
#define SDK_C_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "sdk/c/vsandbox.h"

struct json_object;

enum {
	ID_SIZE = 40,
	DONE_MAX = 1000, /* actions that can still be reversed */
};

/* A callback with copies of what it was logged with. */
struct done {
	struct vs_action action; /* type, resource, payload owned */
	char id[ID_SIZE];
};

struct vs_client {
	char *endpoint, *api_key, *ca_file; /* owned */
	char **types, **allowed, **blocked; /* owned; NULL: not given */
	unsigned rate, rollback_limit, timeout_ms, approval_timeout_ms;
	bool rate_given, max_risk_given;
	double max_risk, threshold;
	enum vs_mode mode;

	pthread_mutex_t line_lock; /* of line; who finds it taken opens a line of its own */
	void *line;                /* CURL, kept for its connection */

	pthread_mutex_t lock;  /* of all below */
	char *agent, *session; /* owned; NULL: no monitor */
	bool halted;
	char halt_reason[512];
	int64_t *times; /* owned, rate of them: when the last actions were, monotonic ns */
	size_t next_time;
	struct done *done; /* owned, a ring of DONE_MAX */
	size_t done_first, done_count;
};

int error_set(struct vs_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void id_new(char ret[static ID_SIZE]);
void put(struct json_object *o, const char *name, struct json_object *value);
void put_text(struct json_object *o, const char *name, const char *text);

/*
 * One request, with retries: body may be NULL and stays the caller's. The caller owns *ret. -EACCES: 401 or 403; -EPROTO: another
 * refusal or an answer that is none; -EHOSTUNREACH: no answer. extra_ms is what the server may take on purpose.
 */
int request(struct vs_client *c, const char *method, const char *path, struct json_object *body,
	    unsigned extra_ms, struct json_object **ret, struct vs_error *err);

/* Whether the lists forbid it; the reason goes to out. */
bool profile_forbids(const struct vs_client *c, const char *type, const char *resource, char *out,
		     size_t size);
/* Whether one action more is too many in this minute; count notes it when it is not. Takes the lock. */
bool profile_too_many(struct vs_client *c, bool count);
int profile_sync(struct vs_client *c, const char *agent, struct vs_error *err);

struct question {
	const char *agent, *session;
	const struct vs_action *action;
	const struct vs_decision *decision;
	bool done;
};
/* 0: allowed; -EPERM: denied, the person's words in reason; -ETIMEDOUT; others: the server could not be asked. */
int approval_wait(struct vs_client *c, const struct question *q, char *reason, size_t size,
		  struct vs_error *err);

int done_remember(struct vs_client *c, const struct vs_action *a, const char *id);
void done_free_all(struct vs_client *c);

#endif
