/* POST /mcp: the tools over HTTP. A tool's request is run here, with the key of whoever calls it. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/tools.h"

static const char *limit_of(const struct call *c, const char *name)
{
	const struct tool_request *r = c->connection;
	return *r->limit && strcmp(name, "limit") == 0 ? r->limit : NULL;
}

/* The tool's answer, or that it is waited for: then this call waits, and is run again with the same memo. */
static void ask(struct call *c, struct tool_request *r)
{
	struct call inner = { .server = c->server,
			      .key = c->key,
			      .query = limit_of,
			      .connection = r,
			      .first_us = c->first_us,
			      .again = c->again,
			      .memo = c->memo };
	memcpy(inner.id[0], r->id, sizeof(r->id));
	call_on_behalf(&inner, r->method, r->route, r->body);
	c->memo = inner.memo;
	c->wait_us = inner.wait_us;
	if (!c->wait_us)
		c->reply = tools_result(c->body,
					json_object_to_json_string_ext(inner.reply,
								       JSON_C_TO_STRING_PLAIN),
					inner.status != 200);
	json_object_put(inner.reply);
	json_object_put(inner.body);
	free(inner.text);
}

int api_mcp(struct call *c, struct err *err)
{
	(void)err;
	struct tool_request request;
	switch (tools_hear(c->body, &request, &c->reply)) {
	case TOOLS_SILENT:
		c->status = 202;
		c->text = calloc(1, 1);
		return c->text ? 0 : -ENOMEM;
	case TOOLS_ANSWER:
		return 0;
	case TOOLS_ASK:
		break;
	}
	ask(c, &request);
	json_object_put(request.body);
	return 0;
}
