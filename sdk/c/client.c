/* The session of a client and what it decides. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/c/client.h"

/* ---- the session --------------------------------------------------------------------------- */

/* The session of the sandbox around this process; NULL: there is none. */
static const char *sandbox_session(void)
{
	const char *marker = getenv("VSANDBOX"), *session = getenv("VSANDBOX_SESSION");
	return marker && strcmp(marker, "1") == 0 && session && *session ? session : NULL;
}

int vs_monitor_begin(struct vs_client *c, const char *agent_id, struct vs_error *err)
{
	char id[ID_SIZE];
	const char *around = sandbox_session();
	if (!agent_id || !*agent_id)
		return error_set(err, EINVAL, "no agent_id");
	int r = profile_sync(c, agent_id, err);
	if (r < 0)
		return r;
	id_new(id);
	char *agent = strdup(agent_id), *session = strdup(around ? around : id);
	if (!agent || !session)
		r = error_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&c->lock);
	if (r == 0 && c->agent)
		r = error_set(err, EBUSY, "a monitor is begun already");
	if (r == 0) {
		c->agent = agent;
		c->session = session;
	}
	pthread_mutex_unlock(&c->lock);
	if (r < 0) {
		free(agent);
		free(session);
	}
	return r;
}

void vs_monitor_end(struct vs_client *c)
{
	pthread_mutex_lock(&c->lock);
	free(c->agent);
	free(c->session);
	c->agent = c->session = NULL;
	pthread_mutex_unlock(&c->lock);
}

/* What one call works with: the monitor may end meanwhile. */
struct scene {
	char *agent, *session;       /* owned */
	struct json_object *payload; /* owned */
	bool halted;
	struct vs_decision halt;
};

static void scene_end(struct scene *s)
{
	free(s->agent);
	free(s->session);
	json_object_put(s->payload);
}

static int scene_begin(struct vs_client *c, const struct vs_action *a, struct scene *ret,
		       struct vs_error *err)
{
	*ret = (struct scene){ 0 };
	if (!a->type)
		return error_set(err, EINVAL, "the action has no type");
	if (a->payload && !((ret->payload = json_tokener_parse(a->payload)) &&
			    json_object_is_type(ret->payload, json_type_object))) {
		scene_end(ret);
		return error_set(err, EINVAL, "the payload is no JSON object");
	}
	pthread_mutex_lock(&c->lock);
	bool begun = c->agent != NULL;
	if (begun) {
		ret->agent = strdup(c->agent);
		ret->session = strdup(c->session);
		ret->halted = c->halted;
		ret->halt = (struct vs_decision){ VS_VERDICT_BLOCK, true, -1, "" };
		memcpy(ret->halt.reason, c->halt_reason, sizeof(ret->halt.reason));
	}
	pthread_mutex_unlock(&c->lock);
	if (ret->agent && ret->session)
		return 0;
	scene_end(ret);
	return begun ? error_set(err, ENOMEM, "out of memory")
		     : error_set(err, ENOTCONN, "vs_monitor_begin was not called");
}

static void halt(struct vs_client *c, const char *reason)
{
	pthread_mutex_lock(&c->lock);
	c->halted = true;
	snprintf(c->halt_reason, sizeof(c->halt_reason), "Agent is halted: %.480s", reason);
	pthread_mutex_unlock(&c->lock);
}

void vs_resume(struct vs_client *c)
{
	pthread_mutex_lock(&c->lock);
	c->halted = false;
	pthread_mutex_unlock(&c->lock);
}

/* ---- deciding ------------------------------------------------------------------------------ */

static struct json_object *row_of(const struct vs_action *a, const struct scene *s)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "agent_id", s->agent);
	put_text(o, "action_type", a->type);
	put_text(o, "resource", a->resource ? a->resource : "");
	if (s->payload)
		put(o, "payload", json_object_get(s->payload));
	return o;
}

static int ask_server(struct vs_client *c, const struct vs_action *a, const struct scene *s,
		      struct vs_decision *ret, struct vs_error *err)
{
	struct json_object *o = row_of(a, s), *answer = NULL, *word, *reason, *risk;
	int r = request(c, "POST", "/api/check", o, 0, &answer, err);
	if (r == 0 && !(json_object_object_get_ex(answer, "decision", &word) &&
			json_object_object_get_ex(answer, "reason", &reason) &&
			json_object_object_get_ex(answer, "risk_score", &risk)))
		r = error_set(err, EPROTO, "the answer of /api/check lacks members");
	if (r == 0) {
		const char *text = json_object_get_string(word);
		/* a word that this version does not know is no permission */
		ret->verdict = text && strcmp(text, "allow") == 0   ? VS_VERDICT_ALLOW
			       : text && strcmp(text, "pause") == 0 ? VS_VERDICT_PAUSE
								    : VS_VERDICT_BLOCK;
		ret->risk_score = json_object_get_double(risk);
		snprintf(ret->reason, sizeof(ret->reason), "%s", json_object_get_string(reason));
	}
	json_object_put(answer);
	json_object_put(o);
	return r;
}

/* The server's decision, made stricter by what only this process knows. True: a limit of its own is broken. */
static bool own_limits(const struct vs_client *c, bool too_many, struct vs_decision *d)
{
	static const enum vs_verdict words[] = { [VS_ALERT] = VS_VERDICT_ALLOW,
						 [VS_PAUSE] = VS_VERDICT_PAUSE,
						 [VS_ROLLBACK] = VS_VERDICT_BLOCK };
	if (d->verdict == VS_VERDICT_BLOCK)
		return false;
	if (d->risk_score > c->max_risk) {
		d->verdict = VS_VERDICT_BLOCK;
		snprintf(d->reason, sizeof(d->reason),
			 "Risk score %.2f exceeds this agent's maximum of %.2f", d->risk_score,
			 c->max_risk);
		return true;
	}
	bool risky = d->risk_score >= c->threshold;
	if (!too_many && !risky)
		return false;
	if (words[c->mode] > d->verdict || d->verdict == VS_VERDICT_ALLOW) {
		d->verdict = words[c->mode];
		if (too_many)
			snprintf(d->reason, sizeof(d->reason), "More than %u actions in a minute",
				 c->rate);
		else
			snprintf(d->reason, sizeof(d->reason),
				 "Risk score %.2f reaches the threshold of %.2f", d->risk_score,
				 c->threshold);
	}
	return true;
}

/* Lists first, then the server, then the other limits. */
static int judge(struct vs_client *c, const struct vs_action *a, const struct scene *s,
		 bool too_many, struct vs_decision *ret, struct vs_error *err)
{
	*ret = (struct vs_decision){ VS_VERDICT_BLOCK, true, -1, "" };
	if (profile_forbids(c, a->type, a->resource ? a->resource : "", ret->reason,
			    sizeof(ret->reason)))
		return 0;
	int r = ask_server(c, a, s, ret, err);
	if (r == 0) {
		bool own = own_limits(c, too_many, ret);
		ret->violation = own || ret->verdict != VS_VERDICT_ALLOW;
	}
	return r;
}

static int check(struct vs_client *c, const struct vs_action *a, const struct scene *s,
		 struct vs_decision *ret, struct vs_error *err)
{
	if (s->halted) {
		*ret = s->halt;
		return 0;
	}
	return judge(c, a, s, profile_too_many(c, false), ret, err);
}

int vs_check(struct vs_client *c, const struct vs_action *action, struct vs_decision *ret,
	     struct vs_error *err)
{
	struct scene s;
	int r = scene_begin(c, action, &s, err);
	if (r < 0)
		return r;
	r = check(c, action, &s, ret, err);
	scene_end(&s);
	return r;
}

/* word NULL: the server decides what the record says. */
static int post(struct vs_client *c, const struct vs_action *a, const struct scene *s,
		const char *id, const char *word, const struct vs_decision *d, struct vs_error *err)
{
	struct json_object *o = row_of(a, s), *answer = NULL;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	put_text(o, "session_id", s->session);
	put_text(o, "action_id", id);
	put_text(o, "source", "c-sdk");
	put(o, "timestamp", json_object_new_double((double)now.tv_sec + (double)now.tv_nsec / 1e9));
	if (word) {
		put_text(o, "decision", word);
		put(o, "flagged", json_object_new_boolean(1));
		put_text(o, "flag_reason", d->reason);
	}
	int r = request(c, "POST", "/api/actions", o, 0, &answer, err);
	json_object_put(answer);
	json_object_put(o);
	return r;
}

/* 0: a person allowed it. */
static int wait_for_person(struct vs_client *c, const struct vs_action *a, const struct scene *s,
			   bool done, struct vs_decision *d, struct vs_error *err)
{
	char said[sizeof(d->reason)] = "";
	struct question q = { s->agent, s->session, a, d, done };
	int r = approval_wait(c, &q, said, sizeof(said), err);
	d->verdict = r == 0 ? VS_VERDICT_ALLOW : VS_VERDICT_BLOCK;
	if (r == -EPERM) {
		error_set(err, EPERM, "a person denied: %.200s", *said ? said : d->reason);
		if (done)
			halt(c, *said ? said : d->reason);
	}
	return r;
}

int vs_require(struct vs_client *c, const struct vs_action *action, struct vs_decision *ret,
	       struct vs_error *err)
{
	struct scene s;
	char id[ID_SIZE];
	int r = scene_begin(c, action, &s, err);
	if (r < 0)
		return r;
	r = check(c, action, &s, ret, err);
	if (r == 0 && ret->verdict == VS_VERDICT_PAUSE)
		r = wait_for_person(c, action, &s, false, ret, err);
	if (r == 0 && ret->verdict != VS_VERDICT_ALLOW)
		r = error_set(err, EPERM, "%.250s", ret->reason);
	if (r == -EPERM || r == -ETIMEDOUT) {
		/* refused already: a log that fails changes nothing */
		id_new(id);
		post(c, action, &s, id, "BLOCK", ret, NULL);
	}
	scene_end(&s);
	return r;
}

static int roll_back(struct vs_client *c, const struct vs_decision *d, struct vs_error *err)
{
	struct vs_rollback_report report;
	struct vs_error failed = { "" };
	int r = vs_rollback(c, c->rollback_limit, &report, &failed);
	halt(c, d->reason);
	return error_set(err, ECANCELED, "%.90s: %u reversed, %u irreversible%s%.90s", d->reason,
			 report.reversed, report.irreversible, r < 0 ? "; " : "",
			 r < 0 ? failed.text : "");
}

static int respond(struct vs_client *c, const struct vs_action *a, const struct scene *s,
		   struct vs_decision *d, struct vs_error *err)
{
	switch (c->mode) {
	case VS_ALERT:
		return 0;
	case VS_PAUSE:
		return wait_for_person(c, a, s, true, d, err);
	case VS_ROLLBACK:
		break;
	}
	return roll_back(c, d, err);
}

int vs_log_action(struct vs_client *c, const struct vs_action *action, struct vs_decision *ret,
		  struct vs_error *err)
{
	static const char *const words[] = {
		[VS_ALERT] = "ALERT", [VS_PAUSE] = "PAUSE", [VS_ROLLBACK] = "ROLLBACK"
	};
	struct scene s;
	char id[ID_SIZE];
	int r = scene_begin(c, action, &s, err);
	if (r < 0)
		return r;
	id_new(id);
	/* it was done, so it can be reversed whatever becomes of its record */
	r = done_remember(c, action, id);
	if (r < 0) {
		error_set(err, ENOMEM, "out of memory");
	} else if (s.halted) {
		*ret = s.halt;
		r = post(c, action, &s, id, "PAUSE", ret, err);
		r = r < 0 ? r : error_set(err, EPERM, "%.250s", ret->reason);
	} else {
		r = judge(c, action, &s, profile_too_many(c, true), ret, err);
		int posted = post(c, action, &s, id,
				  r == 0 && ret->violation ? words[c->mode] : NULL, ret, err);
		/* a violation is answered even when it could not be logged */
		if (r == 0 && ret->violation)
			r = respond(c, action, &s, ret, err);
		if (r == 0)
			r = posted;
	}
	scene_end(&s);
	return r;
}
