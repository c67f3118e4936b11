#include "launcher/standstill.h"

#include <errno.h>
#include <json-c/json.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/control.h"
#include "launcher/log.h"

enum { ANSWER_MS = 5000, STOP_TRIES = 20 };

static const int signals[STANDSTILL_SIGNALS] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

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

static void let_go(const struct session *s)
{
	struct session now = *s;
	struct err err;
	if (ask(s, "resume", "frozen", NULL, &err) == 0)
		return;
	now.start = now.end = NULL; /* of its own */
	session_refresh(&now);
	json_object_put(now.start);
	json_object_put(now.end);
	if (now.state == SESSION_RUNNING)
		log_warn("session %s stays paused: %s; vsandbox resume %s", s->id, err.text, s->id);
}

/*
 * A task that is on its way through a system call may not come to its stop, and could still write: then
 * all go on for a moment, and are stopped elsewhere. A person who holds them has the last word: so they stay.
 */
static int stop_all(struct standstill *st, struct err *err)
{
	const struct session *s = st->session;
	bool still = false;
	int rc = ask(s, "pause", "still", &still, err);
	for (unsigned tries = 1; rc == 0 && !still && !st->paused && tries < STOP_TRIES; tries++) {
		scope_close(&st->lock); /* who resumes must find it free */
		rc = ask(s, "resume", "frozen", NULL, err);
		usleep(20000);
		if (rc == 0)
			rc = st->lock = session_work_lock(s, err);
		if (rc >= 0)
			rc = ask(s, "pause", "still", &still, err);
	}
	if (rc == 0 && !still)
		rc = err_set(err, EBUSY,
			     "session %s does not come to a stop: something in it waits in the "
			     "kernel; try again, or end it first",
			     s->id);
	return rc;
}

/* Only so that a person who is asked can interrupt the question. */
static void interrupted(int signum)
{
	(void)signum;
}

int standstill_begin(const struct session *s, struct standstill *ret, struct err *err)
{
	sigset_t set;
	*ret = (struct standstill){ .session = s, .lock = session_work_lock(s, err) };
	if (ret->lock < 0)
		return ret->lock;
	sigemptyset(&set);
	for (unsigned i = 0; i < STANDSTILL_SIGNALS; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, &ret->mask);
	for (unsigned i = 0; i < STANDSTILL_SIGNALS; i++)
		sigaction(signals[i], &(struct sigaction){ .sa_handler = interrupted },
			  &ret->actions[i]);
	int rc = ask(s, "status", "paused", &ret->paused, err);
	if (rc == 0)
		rc = stop_all(ret, err);
	if (rc < 0)
		standstill_end(ret);
	return rc;
}

void standstill_end(struct standstill *st)
{
	if (st->lock >= 0) { /* else another command is at work on it, and lets it go */
		close(st->lock);
		st->lock = -1;
		if (!st->paused)
			let_go(st->session);
	}
	/* while they wait still: what came meanwhile ends this program now, not something that is under way */
	for (unsigned i = 0; i < STANDSTILL_SIGNALS; i++)
		sigaction(signals[i], &st->actions[i], NULL);
	sigprocmask(SIG_SETMASK, &st->mask, NULL);
}

int at_rest_begin(const struct session *s, struct at_rest *ret, struct err *err)
{
	ret->lock = -1;
	if (s->state == SESSION_RUNNING)
		return standstill_begin(s, &ret->still, err);
	ret->lock = session_lock(s, err);
	return ret->lock < 0 ? ret->lock : 0;
}

void at_rest_end(struct at_rest *r)
{
	if (r->lock >= 0)
		scope_close(&r->lock);
	else
		standstill_end(&r->still);
}
