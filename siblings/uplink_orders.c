/* What the control plane wants of the agent altogether: its profile, the rules, whether it is to stand still. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "launcher/control.h"
#include "siblings/uplink.h"

enum { CONTROL_MS = 5000 };

/* What of the server's policy goes to the session; nothing else in it could be meant to. */
static const char *const members[] = {
	"mode",
	"allowed_action_types",
	"allowed_resources",
	"blocked_resources",
	"max_actions_per_minute",
	"max_risk_score",
	"rules",
};
/* A list of allowed resources speaks of files and hosts, not of where output goes. */
static const char devices[] = "[\"/dev/null\",\"/dev/zero\",\"/dev/full\",\"/dev/tty\","
			      "\"/dev/ptmx\",\"/dev/pts/**\",\"/dev/std*\",\"/dev/fd/**\"]";

void orders_receive(struct orders *o, struct json_object *body)
{
	snprintf(o->version, sizeof(o->version), "%s", event_text(body, "version"));
	json_object_put(o->waiting);
	o->waiting = json_object_get(body);
}

void orders_finish(struct orders *o)
{
	json_object_put(o->waiting);
	json_object_put(o->told);
	*o = (struct orders){ .waiting = NULL };
}

/* As a policy file that narrows another: without a threshold of its own a mode would mean nothing there. */
static struct json_object *policy_of(struct json_object *body)
{
	struct json_object *from = json_object_object_get(body, "policy"), *v;
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "name", json_object_new_string("control-plane"));
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (json_object_object_get_ex(from, members[i], &v))
			json_object_object_add(o, members[i], json_object_get(v));
	if (strcmp(event_text(o, "mode"), "alert") != 0)
		json_object_object_add(o, "risk_threshold", json_object_new_double(0.7));
	if (json_object_object_get(o, "allowed_resources"))
		json_object_object_add(o, "allowed_write", json_tokener_parse(devices));
	return o;
}

static int lay_down(const struct session *s, struct json_object *body,
		    struct json_object **ret_result, struct err *err)
{
	struct json_object *policy = policy_of(body);
	size_t len;
	const char *text = json_object_to_json_string_length(policy, JSON_C_TO_STRING_PLAIN, &len);
	int r = state_write_file(s->dirfd, "orders.json", text, len, err);
	json_object_put(policy);
	return r < 0 ? r : control_call(s, "orders", NULL, CONTROL_MS, ret_result, err);
}

/* Only what is another than it was: somebody at the host may have resumed what the server paused. */
static int stand_still(struct orders *o, const struct session *s, struct json_object *body,
		       struct err *err)
{
	struct json_object *result = NULL;
	bool pause = json_object_get_boolean(json_object_object_get(body, "paused"));
	bool end = json_object_get_boolean(json_object_object_get(body, "terminated"));
	int r = 0;
	if (end || pause != o->paused)
		r = control_call(s,
				 end     ? "kill"
				 : pause ? "pause"
					 : "resume",
				 NULL, CONTROL_MS, &result, err);
	json_object_put(result);
	if (r == 0)
		o->paused = pause;
	return r;
}

/* Worth another try: the session may be busy, or not yet so far. */
static bool passing(int r)
{
	return r == -ETIMEDOUT || r == -EAGAIN || r == -ECONNREFUSED || r == -ENOENT;
}

bool orders_carry_out(struct orders *o, const struct session *s)
{
	struct json_object *result = NULL, *unenforced, *told;
	struct err err = { "" };
	if (!o->waiting || s->state != SESSION_RUNNING)
		return false;
	int r = lay_down(s, o->waiting, &result, &err);
	int stands = stand_still(o, s, o->waiting, r < 0 ? NULL : &err);
	if (passing(r) || passing(stands)) {
		json_object_put(result);
		return false;
	}
	unenforced = json_object_object_get(result, "unenforced");
	told = json_object_new_object();
	json_object_object_add(told, "version", json_object_new_string(o->version));
	json_object_object_add(told, "enforced", json_object_new_boolean(r == 0 && stands == 0));
	json_object_object_add(told, "unenforced",
			       unenforced ? json_object_get(unenforced) : json_object_new_array());
	if (r < 0 || stands < 0)
		json_object_object_add(told, "error", json_object_new_string(err.text));
	json_object_put(o->told);
	o->told = told;
	json_object_put(o->waiting);
	o->waiting = NULL;
	json_object_put(result);
	return true;
}
