/*
 * One job of a CI system, over the several calls in which its runner asks for it: STATE/ci/NAME/
 *   job.json   what has to be remembered from one call to the next
 *   socket     the errands of its sandbox go in here (base/errand.h)
 *   log        what the sandbox's gateway said
 *
 * Theory of operation. A job has one sandbox, so its scripts see each other's files and its log is one. The first script
 * starts it: a process of ours in a session of its own runs the gateway, whose command is vsandbox-errands with
 * the listening socket as its stdin. Each script is an errand. It ends when the runner says that the job is over,
 * or at the job's own time limit.
 */
#pragma once

#include <stdbool.h>

#include "base/errand.h"
#include "launcher/session.h"

struct json_object;

enum { CI_JOB_NAME_SIZE = 40 };

struct ci_job {
	char name[CI_JOB_NAME_SIZE];
	int dirfd;                  /* owned */
	struct json_object *record; /* owned */
};

/* @kind is the beginning of its name: letters. Freed with ci_job_close. */
int ci_job_create(const char *kind, struct ci_job *ret, struct err *err);
int ci_job_open(const char *name, struct ci_job *ret, struct err *err);
void ci_job_close(struct ci_job *j);
/* Takes everything of it away but the session that it had. */
int ci_job_remove(const struct ci_job *j, struct err *err);

/* Members of job.json: borrowed; "" and NULL when missing. The setters own @value. */
const char *ci_job_text(const struct ci_job *j, const char *name);
struct json_object *ci_job_get(const struct ci_job *j, const char *name);
void ci_job_set(struct ci_job *j, const char *name, struct json_object *value);
int ci_job_save(struct ci_job *j, struct err *err);

/* What a job's sandbox is started with. */
struct ci_start {
	const char *workspace; /* absolute; where the session is started */
	char *const *options;  /* of `vsandbox run`; NULL-terminated */
	char *const *links;    /* NAME, TARGET pairs made inside; NULL-terminated */
	const char *errands; /* path inside of vsandbox-errands; NULL: where it lies on the host */
};
/* Starts the sandbox and waits until it runs; "session" in the record is its id. */
int ci_job_start(struct ci_job *j, const struct ci_start *s, struct err *err);
bool ci_job_started(const struct ci_job *j);

/*
 * Carries out one errand with our stdin, stdout and stderr; signals to us go to its process group. 0 with its
 * wait status; -ECONNRESET: the sandbox ended before it, @err says why.
 */
int ci_job_carry(struct ci_job *j, struct errand *e, int *ret_status, struct err *err);

/* Ends the sandbox, if there is one, in order; @ret gets its ended session, which the caller closes. -ENOENT: none. */
int ci_job_end(struct ci_job *j, struct session *ret, struct err *err);
