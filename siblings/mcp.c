/*
 * vsandbox-mcp: the control plane as tools of the Model Context Protocol, over stdio: one JSON-RPC 2.0 message a line.
 *
 * The server is VAULTAK_API_URL, the key VSANDBOX_API_KEY; the key's role decides, at the server, which tools succeed.
 * What the server says comes back as text for a model to read, and is data: nothing in it is acted on here.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/c/client.h"

enum {
	LINE_MAX_BYTES = 1 << 20,
	PATH_SIZE = 2048,
	ID_TEXT_MAX = 255,
	PARSE_ERROR = -32700,
	INVALID_REQUEST = -32600,
	METHOD_NOT_FOUND = -32601,
	INVALID_PARAMS = -32602,
};

/* What a tool is told beside the path. */
enum argument { ARG_NONE, ARG_AGENT, ARG_ALERT };

struct tool {
	const char *name, *description, *method, *before, *after; /* path around the argument */
	enum argument argument;
	bool limit;       /* takes limit */
	const char *body; /* JSON; NULL: none */
};

/* THE table of tools. */
static const struct tool tools[] = {
	{ "get_agents", "List agents with their profiles, state and average risk.", "GET",
	  "/api/agents", "", ARG_NONE, true, NULL },
	{ "get_alerts", "List the alerts that nobody acknowledged yet, newest first.", "GET",
	  "/api/alerts", "", ARG_NONE, true, NULL },
	{ "get_risk_summary", "Totals, the distribution of risk and the last days.", "GET",
	  "/api/stats", "", ARG_NONE, false, NULL },
	{ "acknowledge_alert", "Mark an alert as seen.", "PATCH", "/api/alerts/", "/acknowledge",
	  ARG_ALERT, false, "{}" },
	{ "pause_agent", "Pause an agent: its checks are blocked and its sandboxes freeze.",
	  "PATCH", "/api/agents/", "", ARG_AGENT, false, "{\"paused\":true}" },
	{ "resume_agent", "Let a paused agent go on.", "PATCH", "/api/agents/", "", ARG_AGENT,
	  false, "{\"paused\":false}" },
};
enum { TOOL_COUNT = sizeof(tools) / sizeof(tools[0]) };

/* Newest first; a client that speaks none of them is offered the first. */
static const char *const versions[] = { "2025-06-18", "2025-03-26", "2024-11-05" };

static const char *text_member(struct json_object *o, const char *name)
{
	struct json_object *v = json_object_object_get(o, name);
	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

/* ---- messages ------------------------------------------------------------------------------ */

static void send_message(struct json_object *message)
{
	puts(json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(message);
}

/* id may be NULL: null, for what had none that could be read. Takes what. */
static void answer(struct json_object *id, const char *kind, struct json_object *what)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "jsonrpc", "2.0");
	put(o, "id", json_object_get(id));
	put(o, kind, what);
	send_message(o);
}

static void refuse(struct json_object *id, int code, const char *why)
{
	struct json_object *error = json_object_new_object();
	put(error, "code", json_object_new_int(code));
	put_text(error, "message", why);
	answer(id, "error", error);
}

/* ---- what the methods answer --------------------------------------------------------------- */

static struct json_object *initialized(struct json_object *params)
{
	struct json_object *o = json_object_new_object(), *server = json_object_new_object();
	struct json_object *capabilities = json_object_new_object();
	const char *asked = text_member(params, "protocolVersion"), *spoken = versions[0];
	for (size_t i = 0; asked && i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(versions[i], asked) == 0)
			spoken = versions[i];
	put_text(o, "protocolVersion", spoken);
	put(capabilities, "tools", json_object_new_object());
	put(o, "capabilities", capabilities);
	put_text(server, "name", "vsandbox");
	put_text(server, "version", VSANDBOX_VERSION);
	put(o, "serverInfo", server);
	return o;
}

static void describe(struct json_object *properties, const char *name, const char *type)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "type", type);
	put(properties, name, o);
}

static struct json_object *schema_of(const struct tool *t)
{
	struct json_object *o = json_object_new_object(), *properties = json_object_new_object();
	struct json_object *required = json_object_new_array();
	if (t->argument != ARG_NONE) {
		const char *name = t->argument == ARG_AGENT ? "agent_id" : "alert_id";
		describe(properties, name, t->argument == ARG_AGENT ? "string" : "integer");
		json_object_array_add(required, json_object_new_string(name));
	}
	if (t->limit)
		describe(properties, "limit", "integer");
	put_text(o, "type", "object");
	put(o, "properties", properties);
	put(o, "required", required);
	put(o, "additionalProperties", json_object_new_boolean(0));
	return o;
}

static struct json_object *listed(void)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	for (const struct tool *t = tools; t < tools + TOOL_COUNT; t++) {
		struct json_object *row = json_object_new_object();
		struct json_object *hints = json_object_new_object();
		put_text(row, "name", t->name);
		put_text(row, "description", t->description);
		put(row, "inputSchema", schema_of(t));
		put(hints, "readOnlyHint", json_object_new_boolean(!t->body));
		put(row, "annotations", hints);
		json_object_array_add(list, row);
	}
	put(o, "tools", list);
	return o;
}

/* ---- tools/call ---------------------------------------------------------------------------- */

/* Everything but letters, digits, - and _ is quoted, so that an id stays one segment of the path. */
static int quote_segment(const char *text, char *out, size_t size)
{
	size_t len = 0;
	if (!*text || strlen(text) > ID_TEXT_MAX)
		return -EINVAL;
	for (; *text; text++) {
		const char c = *text;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_';
		int n = snprintf(out + len, size - len, plain ? "%c" : "%%%02X", (unsigned char)c);
		if (n < 0 || (size_t)n >= size - len)
			return -EINVAL;
		len += (size_t)n;
	}
	return 0;
}

static int segment_of(const struct tool *t, struct json_object *args, char *out, size_t size)
{
	const char *agent = text_member(args, "agent_id");
	struct json_object *alert = json_object_object_get(args, "alert_id");
	switch (t->argument) {
	case ARG_NONE:
		*out = '\0';
		return 0;
	case ARG_AGENT:
		return agent ? quote_segment(agent, out, size) : -EINVAL;
	case ARG_ALERT:
		break;
	}
	if (!json_object_is_type(alert, json_type_int) || json_object_get_int64(alert) < 1)
		return -EINVAL;
	snprintf(out, size, "%" PRId64, json_object_get_int64(alert));
	return 0;
}

/* The path that the arguments ask for; -EINVAL: they are not what the schema says. */
static int path_of(const struct tool *t, struct json_object *args, char path[static PATH_SIZE])
{
	char segment[3 * ID_TEXT_MAX + 1], query[32] = "";
	struct json_object *schema = schema_of(t);
	struct json_object *known = json_object_object_get(schema, "properties");
	struct json_object *limit = json_object_object_get(args, "limit");
	int r = 0;
	json_object_object_foreach(args, name, value)
	{
		(void)value;
		if (!json_object_object_get_ex(known, name, NULL))
			r = -EINVAL;
	}
	json_object_put(schema);
	if (limit && (!json_object_is_type(limit, json_type_int) ||
		      json_object_get_int64(limit) < 1 || json_object_get_int64(limit) > 1000))
		r = -EINVAL;
	else if (limit)
		snprintf(query, sizeof(query), "?limit=%" PRId64, json_object_get_int64(limit));
	if (r == 0)
		r = segment_of(t, args, segment, sizeof(segment));
	if (r == 0)
		snprintf(path, PATH_SIZE, "%s%s%s%s", t->before, segment, t->after, query);
	return r;
}

static struct json_object *result_of(const char *text, bool failed)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *part = json_object_new_object();
	put_text(part, "type", "text");
	put_text(part, "text", text);
	json_object_array_add(list, part);
	put(o, "content", list);
	put(o, "isError", json_object_new_boolean(failed));
	return o;
}

static struct json_object *run_tool(struct vs_client *c, const struct tool *t, const char *path)
{
	struct vs_error err = { "" };
	struct json_object *said = NULL, *body = t->body ? json_tokener_parse(t->body) : NULL;
	int r = request(c, t->method, path, body, 0, &said, &err);
	struct json_object *result = result_of(
		r < 0 ? err.text : json_object_to_json_string_ext(said, JSON_C_TO_STRING_PLAIN),
		r < 0);
	json_object_put(said);
	json_object_put(body);
	return result;
}

static void call_tool(struct vs_client *c, struct json_object *id, struct json_object *params)
{
	char path[PATH_SIZE];
	const char *name = text_member(params, "name");
	struct json_object *args = json_object_object_get(params, "arguments");
	const struct tool *t = tools;
	while (name && t < tools + TOOL_COUNT && strcmp(t->name, name) != 0)
		t++;
	if (!name || t == tools + TOOL_COUNT) {
		refuse(id, INVALID_PARAMS, "no such tool");
		return;
	}
	args = args ? json_object_get(args) : json_object_new_object();
	if (!json_object_is_type(args, json_type_object) || path_of(t, args, path) < 0)
		refuse(id, INVALID_PARAMS,
		       "the arguments are not what the tool's inputSchema says");
	else
		answer(id, "result", run_tool(c, t, path));
	json_object_put(args);
}

/* ---- the conversation ---------------------------------------------------------------------- */

static void handle(struct vs_client *c, struct json_object *message)
{
	struct json_object *id = NULL, *params = json_object_object_get(message, "params");
	const char *version = text_member(message, "jsonrpc"),
		   *method = text_member(message, "method");
	bool asks = json_object_object_get_ex(message, "id", &id);
	bool id_fits =
		json_object_is_type(id, json_type_string) || json_object_is_type(id, json_type_int);
	if (!version || strcmp(version, "2.0") != 0 || !method || (asks && !id_fits))
		refuse(id_fits ? id : NULL, INVALID_REQUEST, "this is no JSON-RPC 2.0 request");
	else if (!asks)
		return; /* a notification is never answered */
	else if (params && !json_object_is_type(params, json_type_object))
		refuse(id, INVALID_PARAMS, "params is no object");
	else if (strcmp(method, "initialize") == 0)
		answer(id, "result", initialized(params));
	else if (strcmp(method, "ping") == 0)
		answer(id, "result", json_object_new_object());
	else if (strcmp(method, "tools/list") == 0)
		answer(id, "result", listed());
	else if (strcmp(method, "tools/call") == 0)
		call_tool(c, id, params);
	else
		refuse(id, METHOD_NOT_FOUND, "no such method");
}

static void handle_line(struct vs_client *c, const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *message = NULL;
	if (tokener) {
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		message = json_tokener_parse_ex(tokener, line, (int)len + 1);
	}
	if (!tokener || json_tokener_get_error(tokener) != json_tokener_success)
		refuse(NULL, PARSE_ERROR, "this is no JSON");
	else if (!json_object_is_type(message, json_type_object))
		refuse(NULL, INVALID_REQUEST, "a message is one object");
	else
		handle(c, message);
	json_object_put(message);
	if (tokener)
		json_tokener_free(tokener);
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_BYTES];
	struct vs_options options;
	struct vs_client *c;
	struct vs_error err;
	if (argc != 1) {
		fprintf(stderr,
			"%s: takes no arguments; it speaks JSON-RPC on its standard input\n",
			argv[0]);
		return 2;
	}
	vs_options_init(&options);
	if (vs_open(&options, &c, &err) < 0) {
		fprintf(stderr, "%s: %s\n", argv[0], err.text);
		return 2;
	}
	int status = 0;
	while (fgets(line, sizeof(line), stdin)) {
		size_t len = strlen(line);
		if (len == sizeof(line) - 1 && line[len - 1] != '\n') {
			fprintf(stderr, "%s: a message is longer than %d bytes\n", argv[0],
				LINE_MAX_BYTES - 2);
			status = 1; /* where the next one begins is not worth guessing */
			break;
		}
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = '\0';
		if (len)
			handle_line(c, line, len);
	}
	vs_close(c);
	return status;
}
