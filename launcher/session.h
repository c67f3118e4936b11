/*
 * One run and what is kept of it: STATE/sessions/ID/
 *   lock          flock'ed by the gateway for as long as it lives
 *   work.lock     flock'ed by a verb that works on its files while it stands still (launcher/standstill.h)
 *   session.json  written at the start, and again once the agent runs
 *   layers/       the overlay's upper halves, layers.json their plan
 *   events.ring, events.jsonl   base/eventlog.h
 *   end.json      written last, by the gateway
 * Running: locked. Ended: has end.json. Crashed: neither. Damaged: session.json
 * cannot be understood; it is listed as such and never stops a listing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "launcher/state.h"

struct json_object;

enum {
	SESSION_ID_SIZE = 32,
	SESSION_SCHEMA_VERSION = 1,
	SESSION_KILL_VALUE = 0x6b696c6c, /* SIGTERM queued to the gateway with it: end the tree */
};

enum session_state {
	SESSION_RUNNING,
	SESSION_ENDED,
	SESSION_CRASHED,
	SESSION_DAMAGED,
	SESSION_STATE_COUNT,
};

struct session {
	char id[SESSION_ID_SIZE];
	int dirfd; /* owned; -1 in a list */
	char path[STATE_PATH_SIZE];
	enum session_state state;
	struct json_object *start; /* session.json; owned; NULL when damaged */
	struct json_object *end;   /* end.json; owned; NULL none */
	char damage[128];          /* what is wrong with it; "" nothing */
};

const char *session_state_name(enum session_state state);

/* What session.json says of the start. Strings borrowed. */
struct session_start {
	const char *agent, *policy, *policy_file, *mode, *net, *cwd, *workspace, *on_exit;
	char *const *argv;
	struct json_object *policy_flags; /* what was said to the policy, "name=value"; NULL none */
	uint64_t started_ns;              /* wall clock */
	pid_t gateway_pid, monitor_pid, agent_pid; /* 0 not yet known */
	const char *degraded;                      /* comma separated; "" none */
	pid_t attached_pid;                        /* it ran before; 0: started by us */
	const char *container;                     /* it is one of that id; NULL none */
	const char
		*continues;  /* id of the session whose journal it has (succession.h); NULL none */
	const char *control; /* path of the control socket */
};

/* Makes STATE/sessions/ID and takes its lock. @ret_lock is the caller's, and must not be inherited. */
int session_create(int state_fd, const char *state_path, struct session *ret, int *ret_lock,
		   struct err *err);
int session_write_start(const struct session *s, const struct session_start *start,
			struct err *err);

/*
 * Opens one by id or unique beginning of it (the part after the dash will do);
 * NULL: the latest from the current directory, else the latest of this user.
 */
int session_open(int state_fd, const char *state_path, const char *id, struct session *ret,
		 struct err *err);
/* The same, with the state directory looked up: what verbs with [S] call. */
int session_find(const char *id, struct session *ret, struct err *err);
void session_close(struct session *s);
/* Looks again whether it still runs; reads end.json when it does not. */
void session_refresh(struct session *s);

/* All sessions, newest first; freed with session_list_free. Number or -errno. */
int session_list(int state_fd, const char *state_path, struct session **ret, struct err *err);
void session_list_free(struct session *list, int count);

/* A member of session.json; "" or 0 when missing or of another type. */
const char *session_text(const struct session *s, const char *name);
int64_t session_number(const struct session *s, const char *name);

/* A process that session.json names ("gateway", "monitor"); 0 when it does not. */
pid_t session_process(const struct session *s, const char *name, uint64_t *ret_start_ticks);

/*
 * Brings the log of a crashed session up to date. Returns the number of events
 * that were still in the ring, or -errno; -EBUSY: it is alive after all.
 */
int session_recover(const struct session *s, struct err *err);

/*
 * Takes the lock of a session that has ended, for a verb that changes what it holds: meanwhile it counts as
 * running. The descriptor, which the caller closes; -EBUSY with the reason in @err.
 */
int session_lock(const struct session *s, struct err *err);

/*
 * Who works on the files of a session while it runs (standstill.h) holds this one: taken at once, or -EBUSY with the
 * reason. The descriptor, which the caller closes.
 */
int session_work_lock(const struct session *s, struct err *err);

/* True while the process of that pid and start time lives. */
bool process_alive(pid_t pid, uint64_t start_ticks);
/* Start time in clock ticks since boot; 0 when there is no such process. */
uint64_t process_start_ticks(pid_t pid);
