#include "control/tools.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "control/json.h"

enum {
	LIST_MAX = 1000,
	TEXT_MAX = 1000,
	ARGUMENTS = 4,
	PARSE_ERROR = -32700,
	INVALID_REQUEST = -32600,
	METHOD_NOT_FOUND = -32601,
	INVALID_PARAMS = -32602,
};

enum place { IN_ROUTE, IN_QUERY, IN_BODY };

struct argument {
	const char *name; /* NULL ends the list */
	enum place place;
	bool required, number;    /* number: a positive integer, else a text */
	int64_t most;             /* of a number; 0: any */
	const char *const *words; /* of a text; NULL: any. NULL-terminated */
};

struct tool {
	const char *name, *description, *method, *route;
	const char *body; /* JSON that arguments are added to; NULL: none is sent */
	struct argument arguments[ARGUMENTS + 1];
};

#define LIMIT \
	{ \
		"limit", IN_QUERY, .number = true, .most = LIST_MAX \
	}
#define AGENT \
	{ \
		"agent_id", IN_ROUTE, .required = true \
	}
static const char *const decisions[] = { "allow", "deny", NULL };
static const char *const scopes[] = { "once", "session", NULL };

/* THE table of tools. */
static const struct tool tools[] = {
	{ "get_agents",
	  "List agents with their profiles, state and average risk.",
	  "GET",
	  "/api/agents",
	  NULL,
	  { LIMIT } },
	{ "get_alerts",
	  "List the alerts that nobody acknowledged yet, newest first.",
	  "GET",
	  "/api/alerts",
	  NULL,
	  { LIMIT } },
	{ "get_risk_summary",
	  "Totals, the distribution of risk and the last days.",
	  "GET",
	  "/api/stats",
	  NULL,
	  { { NULL } } },
	{ "acknowledge_alert",
	  "Mark an alert as seen.",
	  "PATCH",
	  "/api/alerts/{alert_id}/acknowledge",
	  "{}",
	  { { "alert_id", IN_ROUTE, .required = true, .number = true } } },
	{ "pause_agent",
	  "Pause an agent: its checks are blocked and its sandboxes freeze.",
	  "PATCH",
	  "/api/agents/{agent_id}",
	  "{\"paused\":true}",
	  { AGENT } },
	{ "resume_agent",
	  "Let a paused agent go on.",
	  "PATCH",
	  "/api/agents/{agent_id}",
	  "{\"paused\":false}",
	  { AGENT } },
	{ "get_approvals",
	  "List the actions that wait for a person, oldest first.",
	  "GET",
	  "/api/approvals",
	  NULL,
	  { LIMIT } },
	{ "decide_approval",
	  "Allow or deny an action that waits, once or for the rest of its session.",
	  "POST",
	  "/api/approvals/{approval_id}",
	  "{}",
	  { { "approval_id", IN_ROUTE, .required = true, .number = true },
	    { "decision", IN_BODY, .required = true, .words = decisions },
	    { "scope", IN_BODY, .words = scopes },
	    { "reason", IN_BODY } } },
	{ "rollback_agent",
	  "Reverse the last actions of the agent's running sandbox.",
	  "POST",
	  "/api/rollback",
	  "{}",
	  { { "agent_id", IN_BODY, .required = true },
	    { "n_actions", IN_BODY, .number = true, .most = 1000000 },
	    { "reason", IN_BODY } } },
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

/* @id may be NULL: null, for what had none that could be read. Takes @what. */
static struct json_object *answer(struct json_object *id, const char *kind,
				  struct json_object *what)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "jsonrpc", json_object_new_string("2.0"));
	json_put(o, "id", json_object_get(id));
	json_object_object_add(o, kind, what);
	return o;
}

static struct json_object *refusal(struct json_object *id, int code, const char *why)
{
	struct json_object *error = json_object_new_object();
	json_put(error, "code", json_object_new_int(code));
	json_put(error, "message", json_object_new_string(why));
	return answer(id, "error", error);
}

static struct json_object *initialized(struct json_object *params)
{
	struct json_object *o = json_object_new_object(), *server = json_object_new_object();
	struct json_object *capabilities = json_object_new_object();
	const char *asked = text_member(params, "protocolVersion"), *spoken = versions[0];
	for (size_t i = 0; asked && i < sizeof(versions) / sizeof(versions[0]); i++)
		if (strcmp(versions[i], asked) == 0)
			spoken = versions[i];
	json_put(o, "protocolVersion", json_object_new_string(spoken));
	json_put(capabilities, "tools", json_object_new_object());
	json_put(o, "capabilities", capabilities);
	json_put(server, "name", json_object_new_string("vsandbox"));
	json_put(server, "version", json_object_new_string(VSANDBOX_VERSION));
	json_put(o, "serverInfo", server);
	return o;
}

static struct json_object *schema_of_argument(const struct argument *a)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "type", json_object_new_string(a->number ? "integer" : "string"));
	if (a->words) {
		struct json_object *words = json_object_new_array();
		for (const char *const *w = a->words; *w; w++)
			json_object_array_add(words, json_object_new_string(*w));
		json_put(o, "enum", words);
	}
	return o;
}

static struct json_object *schema_of(const struct tool *t)
{
	struct json_object *o = json_object_new_object(), *properties = json_object_new_object();
	struct json_object *required = json_object_new_array();
	for (const struct argument *a = t->arguments; a->name; a++) {
		json_put(properties, a->name, schema_of_argument(a));
		if (a->required)
			json_object_array_add(required, json_object_new_string(a->name));
	}
	json_put(o, "type", json_object_new_string("object"));
	json_put(o, "properties", properties);
	json_put(o, "required", required);
	json_put(o, "additionalProperties", json_object_new_boolean(0));
	return o;
}

static struct json_object *listed(void)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	for (const struct tool *t = tools; t < tools + TOOL_COUNT; t++) {
		struct json_object *row = json_object_new_object();
		struct json_object *hints = json_object_new_object();
		json_put(row, "name", json_object_new_string(t->name));
		json_put(row, "description", json_object_new_string(t->description));
		json_put(row, "inputSchema", schema_of(t));
		json_put(hints, "readOnlyHint", json_object_new_boolean(!t->body));
		json_put(row, "annotations", hints);
		json_object_array_add(list, row);
	}
	json_put(o, "tools", list);
	return o;
}

/* ---- tools/call ---------------------------------------------------------------------------- */

static bool fits_words(const char *const *words, const char *text)
{
	for (; words && *words; words++)
		if (strcmp(*words, text) == 0)
			return true;
	return !words;
}

static bool fits(const struct argument *a, struct json_object *v)
{
	size_t longest = a->place == IN_ROUTE ? TOOL_ID_MAX : TEXT_MAX;
	if (a->number) {
		int64_t n = json_object_get_int64(v);
		return json_object_is_type(v, json_type_int) && n >= 1 &&
		       (!a->most || n <= a->most);
	}
	if (!json_object_is_type(v, json_type_string))
		return false;
	const char *text = json_object_get_string(v);
	size_t len = (size_t)json_object_get_string_len(v);
	return len > 0 && len <= longest && strlen(text) == len && fits_words(a->words, text);
}

static void take(const struct argument *a, struct json_object *v, struct tool_request *r)
{
	switch (a->place) {
	case IN_ROUTE:
		snprintf(r->id, sizeof(r->id), "%s", json_object_get_string(v));
		break;
	case IN_QUERY:
		snprintf(r->limit, sizeof(r->limit), "%" PRId64, json_object_get_int64(v));
		break;
	case IN_BODY:
		json_object_object_add(r->body, a->name, json_object_get(v));
		break;
	}
}

static bool is_argument(const struct tool *t, const char *name)
{
	for (const struct argument *a = t->arguments; a->name; a++)
		if (strcmp(a->name, name) == 0)
			return true;
	return false;
}

/* False: the arguments are not what the schema says, and @r owns nothing. */
static bool request_of(const struct tool *t, struct json_object *args, struct tool_request *r)
{
	if (args && !json_object_is_type(args, json_type_object))
		return false;
	if (args) {
		json_object_object_foreach(args, name, value)
		{
			(void)value;
			if (!is_argument(t, name))
				return false;
		}
	}
	*r = (struct tool_request){ .method = t->method, .route = t->route };
	r->body = t->body ? json_tokener_parse(t->body) : NULL;
	bool good = true;
	for (const struct argument *a = t->arguments; good && a->name; a++) {
		struct json_object *v = NULL;
		bool given = json_object_object_get_ex(args, a->name, &v);
		good = given ? fits(a, v) : !a->required;
		if (given && good)
			take(a, v, r);
	}
	if (!good) {
		json_object_put(r->body);
		r->body = NULL;
	}
	return good;
}

static enum tools_next call_tool(struct json_object *id, struct json_object *params,
				 struct tool_request *ret, struct json_object **ret_answer)
{
	const char *name = text_member(params, "name");
	const struct tool *t = tools;
	while (name && t < tools + TOOL_COUNT && strcmp(t->name, name) != 0)
		t++;
	if (!name || t == tools + TOOL_COUNT)
		*ret_answer = refusal(id, INVALID_PARAMS, "no such tool");
	else if (request_of(t, json_object_object_get(params, "arguments"), ret))
		return TOOLS_ASK;
	else
		*ret_answer = refusal(id, INVALID_PARAMS,
				      "the arguments are not what the tool's inputSchema says");
	return TOOLS_ANSWER;
}

struct json_object *tools_result(struct json_object *message, const char *text, bool failed)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *part = json_object_new_object();
	json_put(part, "type", json_object_new_string("text"));
	json_put(part, "text", json_object_new_string(text));
	json_object_array_add(list, part);
	json_put(o, "content", list);
	json_put(o, "isError", json_object_new_boolean(failed));
	return answer(json_object_object_get(message, "id"), "result", o);
}

/* ---- the conversation ---------------------------------------------------------------------- */

enum tools_next tools_hear(struct json_object *message, struct tool_request *ret,
			   struct json_object **ret_answer)
{
	struct json_object *id = NULL, *params = json_object_object_get(message, "params");
	if (!message) {
		*ret_answer = refusal(NULL, PARSE_ERROR, "this is no JSON");
		return TOOLS_ANSWER;
	}
	if (!json_object_is_type(message, json_type_object)) {
		*ret_answer = refusal(NULL, INVALID_REQUEST, "a message is one object");
		return TOOLS_ANSWER;
	}
	const char *version = text_member(message, "jsonrpc"),
		   *method = text_member(message, "method");
	bool asks = json_object_object_get_ex(message, "id", &id);
	bool id_fits =
		json_object_is_type(id, json_type_string) || json_object_is_type(id, json_type_int);
	if (!version || strcmp(version, "2.0") != 0 || !method || (asks && !id_fits))
		*ret_answer = refusal(id_fits ? id : NULL, INVALID_REQUEST,
				      "this is no JSON-RPC 2.0 request");
	else if (!asks)
		return TOOLS_SILENT; /* a notification is never answered */
	else if (params && !json_object_is_type(params, json_type_object))
		*ret_answer = refusal(id, INVALID_PARAMS, "params is no object");
	else if (strcmp(method, "initialize") == 0)
		*ret_answer = answer(id, "result", initialized(params));
	else if (strcmp(method, "ping") == 0)
		*ret_answer = answer(id, "result", json_object_new_object());
	else if (strcmp(method, "tools/list") == 0)
		*ret_answer = answer(id, "result", listed());
	else if (strcmp(method, "tools/call") == 0)
		return call_tool(id, params, ret, ret_answer);
	else
		*ret_answer = refusal(id, METHOD_NOT_FOUND, "no such method");
	return TOOLS_ANSWER;
}
