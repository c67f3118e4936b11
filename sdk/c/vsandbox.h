/*
 * Client of the vsandbox control plane. vsandbox-sdk(3) says more.
 *
 * A client may be used by many threads at once; no call keeps a pointer of the caller's beyond its return, except the
 * rollback callbacks and their arg. Every call that can fail answers 0 or a negative errno and, with err not NULL, a line
 * for a person. Nothing is queued: when a call answers 0 the server has what it was told.
 */
#ifndef VSANDBOX_H
#define VSANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum vs_mode {
	VS_ALERT,    /* log and notify only; the server's mode stays as it is */
	VS_PAUSE,    /* halt, await a person */
	VS_ROLLBACK, /* reverse the last actions and halt */
};

enum vs_verdict {
	VS_VERDICT_ALLOW,
	VS_VERDICT_PAUSE, /* a person must allow it */
	VS_VERDICT_BLOCK,
};

struct vs_error {
	char text[256];
};

struct vs_action {
	const char *type;     /* "file_read", …, "network_request" */
	const char *resource; /* NULL: none */
	const char *payload;  /* a JSON object; NULL: none */
	/* Reverses the action once it was logged: 0, or a negative errno. NULL: it cannot be reversed. The action it is given
	 * lives as long as the callback runs; it may call any function but vs_close. */
	int (*rollback)(const struct vs_action *action, void *arg);
	void *arg; /* the callback's */
};

struct vs_decision {
	enum vs_verdict verdict;
	bool violation;    /* of a limit; in VS_ALERT the verdict may be to allow it all the same */
	double risk_score; /* 0 to 1; negative: decided here, without the server */
	char reason[512];
};

/* Lists end with NULL; a list that is NULL was not given. What is not given stays as the server has it. */
struct vs_options {
	size_t size; /* vs_options_init sets it */
	const char *
		endpoint; /* NULL: VAULTAK_API_URL, then http://127.0.0.1:7878; no http but to this machine */
	const char *api_key; /* NULL: VSANDBOX_API_KEY */
	const char *ca_file; /* PEM; NULL: the system's */
	const char *const *allowed_action_types;
	const char *const *allowed_resources; /* fnmatch(3) without flags */
	const char *const *blocked_resources;
	unsigned max_actions_per_minute; /* 0: not given, 60 */
	double max_risk_score;           /* negative: not given, 1 */
	double risk_threshold;
	enum vs_mode mode;
	unsigned rollback_limit;      /* actions */
	unsigned timeout_ms;          /* of one try of a request */
	unsigned approval_timeout_ms; /* how long a person may take */
};

struct vs_rollback_report {
	unsigned reversed;
	unsigned irreversible; /* had no callback, and stay done */
	int error;             /* of the callback at which it ended; 0: none failed */
};

struct vs_client;

/* The defaults: VS_ALERT, threshold 0.7, limit 5, 10 s, 300 s. */
void vs_options_init(struct vs_options *o);

/* The caller owns *ret and ends it with vs_close. -EINVAL: an option makes no sense. Sends nothing. */
int vs_open(const struct vs_options *o, struct vs_client **ret, struct vs_error *err);
/* NULL is allowed. No other call may be running. */
void vs_close(struct vs_client *c);

/*
 * Makes the options that were given the agent's profile at the server, and starts a session: the sandbox's own inside a
 * sandbox. -EACCES: the key may not set a profile. -EBUSY: one is begun already.
 */
int vs_monitor_begin(struct vs_client *c, const char *agent_id, struct vs_error *err);
void vs_monitor_end(struct vs_client *c);

/* What would be decided; nothing is logged. All three below: -ENOTCONN outside vs_monitor_begin and _end. */
int vs_check(struct vs_client *c, const struct vs_action *action, struct vs_decision *ret,
	     struct vs_error *err);

/*
 * Asks before the action. 0: do it, and log it then. -EPERM: it must not be done, *ret says why. -ETIMEDOUT: nobody
 * answered the question in time. Anything else: nobody could decide, so do not do it.
 */
int vs_require(struct vs_client *c, const struct vs_action *action, struct vs_decision *ret,
	       struct vs_error *err);

/*
 * Tells of an action that was done. 0: go on; in VS_ALERT ret->violation says what there is to know. VS_PAUSE: a violation waits
 * for a person; -EPERM: denied, the client is halted; -ETIMEDOUT: no answer. VS_ROLLBACK: a violation reverses the last
 * rollback_limit actions, this one first; -ECANCELED, the client is halted. Anything else: it was not logged.
 */
int vs_log_action(struct vs_client *c, const struct vs_action *action, struct vs_decision *ret,
		  struct vs_error *err);

/* Reverses the last count actions, newest first, up to the first callback that fails. That one's errno is the answer. */
int vs_rollback(struct vs_client *c, unsigned count, struct vs_rollback_report *ret,
		struct vs_error *err);

/* Lets a halted client go on. */
void vs_resume(struct vs_client *c);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
