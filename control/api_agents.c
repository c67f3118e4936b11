/* Agents and keys. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/json.h"
#include "control/page.h"

struct listing {
	struct call *call;
	struct page page;
};

static int64_t run_list(struct db *db, void *arg, struct err *err)
{
	struct listing *l = arg;
	return agent_list(db, &l->page, l->call->reply, err);
}

int api_agents_list(struct call *c, struct err *err)
{
	struct listing l = { .call = c };
	if (page_read(c, &l.page, err) < 0)
		return -EINVAL;
	c->reply = json_object_new_array();
	int r = call_read(c, run_list, &l, err);
	if (r == 0)
		page_next_by(c, c->reply, l.page.limit, "created_at");
	return r;
}

static int64_t run_create(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	const char *name = call_text(c, "name"), *handle = call_text(c, "agent_id");
	struct agent a;
	int r = agent_create(db, handle && *handle ? handle : name, name, err);
	if (r == 0)
		r = agent_find(db, handle && *handle ? handle : name, &a, err);
	if (r < 0)
		return r;
	json_object_put(c->reply);
	c->reply = agent_json(&a);
	agent_free(&a);
	return audit_note(db, &c->key, "agent.create", name, err);
}

int api_agents_create(struct call *c, struct err *err)
{
	return call_write(c, run_create, c, err);
}

/* Replaces an owned text by a member of the body: absent keeps, null clears. */
static void take_member(struct call *c, const char *name, char **field)
{
	struct json_object *v;
	if (!json_object_object_get_ex(c->body, name, &v))
		return;
	free(*field);
	*field = !v ? NULL
		 : json_object_is_type(v, json_type_string)
			 ? strdup(json_object_get_string(v))
			 : strdup(json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN));
}

static int64_t finish_change(struct db *db, struct call *c, struct agent *a, const char *what,
			     struct err *err)
{
	int r = agent_save(db, a, err);
	if (r == 0)
		r = (int)audit_note(db, &c->key, what, a->agent_id, err);
	char id[AGENT_ID_SIZE];
	memcpy(id, a->id, sizeof(id));
	agent_free(a);
	if (r < 0)
		return r;
	r = agent_find(db, id, a, err);
	if (r < 0)
		return r;
	json_object_put(c->reply);
	c->reply = agent_json(a);
	agent_free(a);
	return 0;
}

static int64_t run_profile(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *v;
	struct agent a;
	int r = agent_touch(db, c->id[0], NULL, &a, err);
	if (r < 0)
		return r;
	take_member(c, "allowed_action_types", &a.allowed_types);
	take_member(c, "allowed_resources", &a.allowed);
	take_member(c, "blocked_resources", &a.blocked);
	if (json_object_object_get_ex(c->body, "max_actions_per_minute", &v))
		a.rate = v ? json_object_get_int64(v) : -1;
	if (json_object_object_get_ex(c->body, "max_risk_score", &v))
		a.max_risk = v ? json_object_get_double(v) : -1;
	r = evaluate_check_profile(&a, err);
	if (r < 0) {
		agent_free(&a);
		return r;
	}
	return finish_change(db, c, &a, "agent.profile", err);
}

int api_agents_profile(struct call *c, struct err *err)
{
	return call_announce(c, run_profile, c, err);
}

static int64_t run_patch(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct json_object *v;
	struct agent a;
	int r = agent_find(db, c->id[0], &a, err);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(c->body, "paused", &v) && v)
		a.paused = json_object_get_boolean(v);
	if (json_object_object_get_ex(c->body, "terminated", &v) && v)
		a.terminated = json_object_get_boolean(v);
	if (call_text(c, "name"))
		take_member(c, "name", &a.name);
	const char *mode = call_text(c, "kill_switch_mode");
	for (size_t i = 0; mode && i + 1 < sizeof(a.mode); i++) {
		a.mode[i] = (char)tolower((unsigned char)mode[i]);
		if (!mode[i])
			break;
	}
	return finish_change(db, c, &a, "agent.change", err);
}

int api_agents_patch(struct call *c, struct err *err)
{
	return call_announce(c, run_patch, c, err);
}

static int64_t run_delete(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	struct agent a;
	int r = agent_find(db, c->id[0], &a, err);
	if (r < 0)
		return r;
	int64_t n = agent_delete(db, a.id, err);
	if (n >= 0)
		n = audit_note(db, &c->key, "agent.delete", a.agent_id, err);
	json_object_put(c->reply);
	c->reply = json_object_new_object();
	json_put(c->reply, "deleted", json_object_new_boolean(1));
	json_put(c->reply, "id", json_object_new_string(a.id));
	agent_free(&a);
	return n;
}

int api_agents_delete(struct call *c, struct err *err)
{
	return call_announce(c, run_delete, c, err);
}

/* ---- keys -------------------------------------------------------------------------------- */

static int64_t run_keys(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	return key_list(db, c->reply, err);
}

int api_keys_list(struct call *c, struct err *err)
{
	c->reply = json_object_new_array();
	return call_read(c, run_keys, c, err);
}

static int64_t run_key_create(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	char text[KEY_TEXT_SIZE];
	struct key key;
	enum role role;
	if (role_parse(call_text(c, "role"), &role) < 0)
		return err_set(err, EINVAL, "no such role");
	int r = key_create(db, call_text(c, "name"), role, text, &key, err);
	if (r < 0)
		return r;
	json_object_put(c->reply);
	c->reply = json_object_new_object();
	json_put(c->reply, "id", json_object_new_string(key.id));
	json_put(c->reply, "name", json_object_new_string(key.name));
	json_put(c->reply, "role", json_object_new_string(role_name(key.role)));
	json_put(c->reply, "key", json_object_new_string(text)); /* shown this once */
	return audit_note(db, &c->key, "key.create", key.id, err);
}

int api_keys_create(struct call *c, struct err *err)
{
	return call_write(c, run_key_create, c, err);
}

static int64_t run_key_delete(struct db *db, void *arg, struct err *err)
{
	struct call *c = arg;
	int64_t n = key_revoke(db, c->id[0], err);
	if (n == 0)
		return err_set(err, ENOENT, "no such key");
	return n < 0 ? n : audit_note(db, &c->key, "key.revoke", c->id[0], err);
}

int api_keys_delete(struct call *c, struct err *err)
{
	int r = call_write(c, run_key_delete, c, err);
	if (r < 0)
		return r;
	c->reply = json_object_new_object();
	json_put(c->reply, "revoked", json_object_new_boolean(1));
	return 0;
}
