#include "sandbox/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/scope.h"
#include "rootfs/commit.h"
#include "sandbox/monitor.h"
#include "sandbox/rollback.h"
#include "sandbox/watch.h"

enum { PATIENCE_MS = 500 };

/*
 * @argument: JSON object or "". Writes a JSON object to @reply and returns 0, or returns -errno with the
 * reason in @err.
 */
typedef int request_fn(struct watch *watch, const char *argument, struct buf *reply,
		       struct err *err);

static int request_status(struct watch *watch, const char *argument, struct buf *reply,
			  struct err *err)
{
	(void)argument, (void)err;
	buf_printf(reply, "{\"frozen\":%s,\"paused\":%s,\"held\":%u,\"approvals\":%u}",
		   watch->freeze.reasons ? "true" : "false",
		   freeze_has(&watch->freeze, FREEZE_PERSON) ? "true" : "false",
		   hold_waiting(&watch->hold), hold_questions(&watch->hold));
	return 0;
}

static bool is_worked_on(int session_dirfd)
{
	cleanup_fd int fd =
		openat(session_dirfd, MONITOR_WORK_LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool requests_paused(const struct watch *watch)
{
	return freeze_has(&watch->freeze, FREEZE_PERSON) &&
	       !is_worked_on(watch->plan->box->session_dirfd);
}

/* A task that is long in a system call comes to its stop later: paused all the same, -ETIMEDOUT. */
static int pause_all(struct watch *watch, struct err *err)
{
	bool already = freeze_has(&watch->freeze, FREEZE_PERSON);
	int r = freeze_add(&watch->freeze, FREEZE_PERSON, PATIENCE_MS, err);
	if (!already && (r == 0 || r == -ETIMEDOUT)) {
		if (requests_paused(watch))
			watch_notice(watch, "paused: vsandbox resume %s lets it go on",
				     watch->plan->box->session_id);
		else
			watch_notice(watch, "paused");
	}
	return r;
}

void requests_pause_now(struct watch *watch)
{
	struct err err;
	int r = pause_all(watch, &err);
	if (r < 0 && r != -ETIMEDOUT)
		watch_notice(watch, "not paused: %s", err.text);
}

static int request_pause(struct watch *watch, const char *argument, struct buf *reply,
			 struct err *err)
{
	(void)argument;
	int r = pause_all(watch, err);
	if (r < 0 && r != -ETIMEDOUT)
		return r;
	buf_printf(reply, "{\"frozen\":true,\"still\":%s}", r == 0 ? "true" : "false");
	return 0;
}

static int request_resume(struct watch *watch, const char *argument, struct buf *reply,
			  struct err *err)
{
	if (is_worked_on(watch->plan->box->session_dirfd))
		return err_set(err, EBUSY,
			       "another command is at work on the session's files, and lets it go "
			       "on when it is done");
	enum commit_status commit;
	if (commit_status(watch->plan->box->session_dirfd, &commit, err) == 0 &&
	    (commit == COMMIT_UNFINISHED || commit == COMMIT_UNDOING))
		return err_set(err, EBUSY,
			       "%s of it was interrupted, and what runs in it would see half of "
			       "that; first: vsandbox %s",
			       commit == COMMIT_UNDOING ? "an undo" : "a commit",
			       commit == COMMIT_UNDOING ? "undo"
							: "commit --resume, or vsandbox undo");
	if (freeze_has(&watch->freeze, FREEZE_PERSON)) {
		freeze_drop(&watch->freeze, FREEZE_PERSON);
		watch_notice(watch, "resumed");
	}
	return request_status(watch, argument, reply, err);
}

static int request_rollback(struct watch *watch, const char *argument, struct buf *reply,
			    struct err *err)
{
	struct json_object *o = json_tokener_parse(argument), *last, *dry_run;
	bool good = o && json_object_object_get_ex(o, "last", &last) &&
		    json_object_is_type(last, json_type_int) &&
		    json_object_object_get_ex(o, "dry_run", &dry_run) &&
		    json_object_is_type(dry_run, json_type_boolean);
	struct rollback_request request = { 0 };
	if (good) {
		request.last = json_object_get_uint64(last);
		request.dry_run = json_object_get_boolean(dry_run);
	}
	json_object_put(o);
	if (!good)
		return err_set(err, EINVAL, "a rollback needs \"last\" and \"dry_run\"");
	struct undo_result result;
	int r = rollback_live(watch, &request, &result, err);
	if (r < 0)
		return r;
	rollback_json(&result, reply);
	if (!request.dry_run)
		watch_notice(watch, "rolled back: %s", reply->data);
	return 0;
}

static int request_detach(struct watch *watch, const char *argument, struct buf *reply,
			  struct err *err)
{
	if (!watch->plan->attach)
		return err_set(err, EINVAL,
			       "this session was started in a box, which it cannot leave");
	watch_notice(watch, "detached: from here on every call is let through, unseen. A filter "
			    "cannot be taken out, so this monitor stays as long as they run");
	__atomic_store_n(&watch->detached, true, __ATOMIC_RELAXED);
	return request_resume(watch, argument, reply, err);
}

static int request_answer(struct watch *watch, const char *argument, struct buf *reply,
			  struct err *err)
{
	struct json_object *o = json_tokener_parse(argument);
	uint32_t id = (uint32_t)json_object_get_int64(json_object_object_get(o, "id"));
	bool allow = json_object_get_boolean(json_object_object_get(o, "allow"));
	bool session = json_object_get_boolean(json_object_object_get(o, "session"));
	const char *by = json_object_get_string(json_object_object_get(o, "by"));
	int r = hold_answer(watch, id, allow, session ? SCOPE_SESSION : SCOPE_ONCE, by ? by : "");
	json_object_put(o);
	if (r < 0)
		return err_set(err, -r, "no question %u waits for an answer", id);
	buf_puts(reply, "{}");
	return 0;
}

static int request_prompt(struct watch *watch, const char *argument, struct buf *reply,
			  struct err *err)
{
	struct json_object *o = json_tokener_parse(argument);
	bool on = json_object_get_boolean(json_object_object_get(o, "on"));
	json_object_put(o);
	int r = on ? freeze_add(&watch->freeze, FREEZE_PROMPT, PATIENCE_MS, err) : 0;
	if (on)
		borrowed_note(&watch->tty);
	else
		borrowed_returned(&watch->tty);
	if (!on)
		freeze_drop(&watch->freeze, FREEZE_PROMPT);
	buf_puts(reply, "{}");
	return r == -ETIMEDOUT ? 0 : r;
}

static int request_orders(struct watch *watch, const char *argument, struct buf *reply,
			  struct err *err)
{
	(void)argument;
	int r = orders_take(watch, err);
	if (r < 0)
		watch_notice(watch, "what the control plane asks for is not taken: %s", err->text);
	else
		orders_json(watch, reply);
	return r;
}

static int request_overflow(struct watch *watch, const char *argument, struct buf *reply,
			    struct err *err)
{
	struct json_object *o = json_tokener_parse(argument);
	int64_t bytes = json_object_get_int64(json_object_object_get(o, "bytes"));
	(void)err;
	json_object_put(o);
	watch_notice(watch,
		     "upload_budget: more than %" PRId64
		     " bytes of this log wait for the control plane; "
		     "the oldest actions are not reported to it",
		     bytes);
	buf_puts(reply, "{}");
	return 0;
}

static request_fn *const handlers[REQUEST_COUNT] = {
	[REQUEST_STATUS] = request_status,     [REQUEST_PAUSE] = request_pause,
	[REQUEST_RESUME] = request_resume,     [REQUEST_ROLLBACK] = request_rollback,
	[REQUEST_DETACH] = request_detach,     [REQUEST_ANSWER] = request_answer,
	[REQUEST_PROMPT] = request_prompt,     [REQUEST_ORDERS] = request_orders,
	[REQUEST_OVERFLOW] = request_overflow,
};

void requests_serve(struct watch *watch, const struct packet *m)
{
	static char storage[PACKET_TEXT]; /* of the one thread that supervises */
	struct buf reply;
	struct err err = { "" };
	buf_init(&reply, storage, sizeof(storage));
	int r = m->value >= 0 && m->value < REQUEST_COUNT
			? handlers[m->value](watch, m->text, &reply, &err)
			: err_set(&err, EINVAL, "the monitor knows no request %d", m->value);
	if (r == 0 && reply.overflow)
		r = err_set(&err, EMSGSIZE, "the answer is too long");
	packet_send(watch->plan->gateway_fd, MONITOR_REPLY, r, m->ticket,
		    r < 0 ? err.text : storage, PACKET_WAIT);
}
