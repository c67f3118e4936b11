/*
 * The control plane as tools of the Model Context Protocol: THE table of tools, and what each message is answered. Of
 * no transport: vsandbox-mcp hears lines and asks a server, the server's POST /mcp hears bodies and asks itself.
 * The role of the key decides, where a tool's request arrives, whether it succeeds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct json_object;

enum { TOOL_ID_MAX = 255 };

/* What a tool asks of the REST API. */
struct tool_request {
	const char *method, *route; /* as in the table of routes */
	char id[TOOL_ID_MAX + 1];   /* what stands for the route's {…}; "" none */
	char limit[24];             /* ?limit=; "" none */
	struct json_object *body;   /* owned by the caller; NULL none */
};

enum tools_next {
	TOOLS_SILENT, /* a notification: no answer */
	TOOLS_ANSWER, /* *ret_answer, owned by the caller */
	TOOLS_ASK,    /* *ret is to be asked, and tools_result is the answer */
};
/* @message: any JSON value, or NULL for what was no JSON. */
enum tools_next tools_hear(struct json_object *message, struct tool_request *ret,
			   struct json_object **ret_answer);

/* The answer to @message, which was TOOLS_ASK: what the API said, for a model to read. Owned by the caller. */
struct json_object *tools_result(struct json_object *message, const char *text, bool failed);
