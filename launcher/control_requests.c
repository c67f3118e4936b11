/* The one table of what the control socket understands. */
#include <json-c/json.h>
#include <string.h>

#include "launcher/control.h"

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

static const struct {
	const char *name;
	control_request_fn *handler;
} requests[] = {
	{ "status", request_status },     { "pause", request_pause },
	{ "resume", request_resume },     { "kill", request_kill },
	{ "rollback", request_rollback }, { "detach", request_detach },
};

control_request_fn *control_request_find(const char *name)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (!strcmp(requests[i].name, name))
			return requests[i].handler;
	return NULL;
}
