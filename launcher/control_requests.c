/* The one table of what the control socket understands. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "launcher/approvals.h"
#include "launcher/config.h"
#include "launcher/control.h"
#include "launcher/eventfile.h"

static void request_status(struct control *c, struct control_client *client,
			   struct json_object *request)
{
	(void)request;
	control_ask(c, client, REQUEST_STATUS, "");
}

static void request_pause(struct control *c, struct control_client *client,
			  struct json_object *request)
{
	(void)request;
	control_ask(c, client, REQUEST_PAUSE, "");
}

static void request_resume(struct control *c, struct control_client *client,
			   struct json_object *request)
{
	(void)request;
	control_ask(c, client, REQUEST_RESUME, "");
}

static void request_kill(struct control *c, struct control_client *client,
			 struct json_object *request)
{
	(void)request;
	c->host.end(c->host.gateway, "killed");
	control_answer(c, client, 0, "");
}

static void request_rollback(struct control *c, struct control_client *client,
			     struct json_object *request)
{
	control_ask(c, client, REQUEST_ROLLBACK, json_object_to_json_string(request));
}

static void request_detach(struct control *c, struct control_client *client,
			   struct json_object *request)
{
	(void)request;
	control_ask(c, client, REQUEST_DETACH, "");
}

static void request_orders(struct control *c, struct control_client *client,
			   struct json_object *request)
{
	(void)request;
	control_ask(c, client, REQUEST_ORDERS, "");
}

/* {"bytes":n}: so much of the log may wait for the control plane, and more did. */
static void request_overflow(struct control *c, struct control_client *client,
			     struct json_object *request)
{
	control_ask(c, client, REQUEST_OVERFLOW, json_object_to_json_string(request));
}

static void request_list(struct control *c, struct control_client *client,
			 struct json_object *request)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	(void)request;
	FILE *f = open_memstream(&text, &len);
	if (f)
		approvals_list(c->host.approvals, f);
	if (f && fclose(f) == 0)
		control_answer(c, client, 0, text);
	else
		control_answer(c, client, -ENOMEM, "");
}

static bool scope_of(const char *name, enum hold_scope *ret)
{
	static const char *const names[] = {
		[SCOPE_ONCE] = "once", [SCOPE_SESSION] = "session", [SCOPE_ALWAYS] = "always"
	};
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		*ret = (enum hold_scope)i;
		return true;
	}
	*ret = SCOPE_ONCE;
	return !*name;
}

/* An answer for good that was given at the control plane is kept, unless this user's configuration forbids it. */
static int may_keep(struct json_object *request, enum hold_scope scope, struct err *err)
{
	struct config config;
	if (scope != SCOPE_ALWAYS ||
	    !json_object_get_boolean(json_object_object_get(request, "server")))
		return 0;
	int r = config_load(&config, err);
	if (r == 0 && !config.server_always)
		r = err_set(err, EPERM,
			    "this host keeps no answer for good that is given at the control plane "
			    "(server_always in its config.json); answer once or for the session");
	return r;
}

/* {"id":n,"allow":bool,"scope":"once"|"session"|"always","reason":text,"server":bool} */
static void request_answer(struct control *c, struct control_client *client,
			   struct json_object *request)
{
	struct json_object *allow = json_object_object_get(request, "allow");
	const char *reason = event_text(request, "reason");
	enum hold_scope scope;
	struct err err = { "" };
	char by[512];
	if (!json_object_is_type(allow, json_type_boolean) ||
	    !scope_of(event_text(request, "scope"), &scope)) {
		control_answer(c, client, -EINVAL,
			       "answer: {\"id\":n,\"allow\":bool,"
			       "\"scope\":\"once\", \"session\" or \"always\"}");
		return;
	}
	int r = may_keep(request, scope, &err);
	if (r < 0) {
		control_answer(c, client, r, err.text);
		return;
	}
	snprintf(by, sizeof(by), "by vsandbox approve%s%s", *reason ? ": " : "", reason);
	control_begin(c, client);
	r = approvals_answer(c->host.approvals, (uint32_t)event_number(request, "id"),
			     json_object_get_boolean(allow), scope, by, client->ticket, &err);
	if (r < 0)
		control_answer(c, client, r, err.text);
}

static const struct {
	const char *name;
	control_request_fn *handler;
} requests[] = {
	{ "status", request_status },     { "pause", request_pause },
	{ "resume", request_resume },     { "kill", request_kill },
	{ "rollback", request_rollback }, { "detach", request_detach },
	{ "list", request_list },         { "answer", request_answer },
	{ "orders", request_orders },     { "overflow", request_overflow },
};

control_request_fn *control_request_find(const char *name)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (!strcmp(requests[i].name, name))
			return requests[i].handler;
	return NULL;
}
