/* A snapshot of a running session: everything in it stands still meanwhile. */
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "launcher/control.h"
#include "launcher/log.h"
#include "launcher/snapshots.h"

enum { ANSWER_MS = 5000, STOP_TRIES = 20 };

static int ask(const struct session *s, const char *request, const char *member, bool *ret,
	       struct err *err)
{
	struct json_object *result = NULL;
	int rc = control_call(s, request, NULL, ANSWER_MS, &result, err);
	if (rc == 0 && ret)
		*ret = json_object_get_boolean(json_object_object_get(result, member));
	json_object_put(result);
	return rc;
}

/*
 * A task that is on its way through a system call may not come to its stop, and could still write: then
 * all go on for a moment, and are stopped elsewhere. @paused: a person holds them, so they stay.
 */
static int stop_all(const struct session *s, bool paused, struct err *err)
{
	bool still = false;
	int rc = ask(s, "pause", "still", &still, err);
	for (unsigned tries = 1; rc == 0 && !still && !paused && tries < STOP_TRIES; tries++) {
		rc = ask(s, "resume", "frozen", NULL, err);
		usleep(20000);
		if (rc == 0)
			rc = ask(s, "pause", "still", &still, err);
	}
	if (rc == 0 && !still)
		rc = err_set(err, EBUSY,
			     "session %s does not come to a stop: something in it waits in the "
			     "kernel; try again, or end it first",
			     s->id);
	return rc;
}

int snapshots_take_running(const struct session *s, const char *name, const char *reason,
			   char ret[static SNAPSHOT_NAME_SIZE], struct err *err)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	sigset_t set, before;
	bool paused = false;
	struct err ignored;
	int rc = ask(s, "status", "paused", &paused, err);
	if (rc < 0)
		return rc;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	/* Ctrl-C ends the program that writes; we stay to let the session go on */
	sigprocmask(SIG_BLOCK, &set, &before);
	rc = stop_all(s, paused, err);
	if (rc == 0)
		rc = snapshots_take(s, name, reason, ret, err);
	/* what a person has paused stays so */
	if (!paused && ask(s, "resume", "frozen", NULL, &ignored) < 0)
		log_warn("session %s stays paused: %s; vsandbox resume %s", s->id, ignored.text,
			 s->id);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return rc;
}
