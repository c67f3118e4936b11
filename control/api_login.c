/* A person's browser: in, out, and who it is. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "control/call.h"
#include "control/json.h"
#include "control/logins.h"
#include "control/rates.h"

static void answer_me(struct call *c, const char *login)
{
	char token[SECRET_HEX_SIZE];
	c->reply = json_object_new_object();
	json_put(c->reply, "name", json_object_new_string(c->key.name));
	json_put(c->reply, "role", json_object_new_string(role_name(c->key.role)));
	if (!login)
		return;
	login_token(login, token);
	json_put(c->reply, "csrf_token", json_object_new_string(token));
}

static int64_t find_key(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	return key_find(db, call_text(c, "key"), &c->key, err);
}

static int64_t run_login(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	int64_t n = login_create(db, c->key.id, c->cookie, err);
	return n < 0 ? n : audit_note(db, &c->key, "login", "", err);
}

int api_login(struct call *c, struct err *err)
{
	/* Guesses, not logins, use the budget up; then even the right key waits, so that nobody learns which it is. */
	c->retry_after_s = rate_left(c->server->rates, RATE_LOGIN, c->peer);
	if (c->retry_after_s)
		return call_refuse(c, 429, "Too many logins failed");
	/* Nothing is written for who has no key: the writer is everybody's. */
	int r = call_read(c, find_key, c, err);
	if (r == -ENOENT) {
		rate_take(c->server->rates, RATE_LOGIN, c->peer);
		return call_refuse(c, 401, "Invalid API key");
	}
	if (r == 0)
		r = call_write(c, run_login, c, err);
	if (r == 0)
		answer_me(c, c->cookie);
	return r;
}

static int64_t run_logout(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	return login_end(db, c->login, err);
}

int api_logout(struct call *c, struct err *err)
{
	if (!c->login)
		return call_refuse(c, 409, "A key in a header is no login");
	int r = call_write(c, run_logout, c, err);
	c->forget = true;
	c->reply = json_object_new_object();
	json_put(c->reply, "ended", json_object_new_boolean(1));
	return r;
}

int api_me(struct call *c, struct err *err)
{
	(void)err;
	answer_me(c, c->login);
	return 0;
}

int api_events(struct call *c, struct err *err)
{
	(void)err;
	c->stream = true;
	return 0;
}
