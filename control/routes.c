/* THE table of routes. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "control/call.h"
#include "control/json.h"
#include "scoring/mask.h"

static const char *const types[] = {
	"file_read",      "file_write",     "file_delete",     "api_call", "database_query",
	"database_write", "code_execution", "network_request", NULL,
};
static const char *const action_words[] = {
	"file_read",
	"file_write",
	"file_delete",
	"api_call",
	"database_query",
	"database_write",
	"code_execution",
	"network_request",
	"delete",
	"execute",
	"database_read",
	"permission_change",
	"process_spawn",
	"env_access",
	"session_start",
	"session_end",
	"resource_spike",
	"cpu_spike",
	"memory_spike",
	"alert",
	"rollback",
	"custom",
	NULL,
};
static const char *const effects[] = { "block", "pause", "allow", NULL };
static const char *const modes[] = { "alert", "pause",    "rollback", "ALERT",
				     "PAUSE", "ROLLBACK", NULL };
static const char *const levels[] = { "low", "medium", "high", "critical", NULL };
static const char *const roles[] = { "agent", "viewer", "approver", "admin", NULL };

static const struct field check_fields[] = {
	{ "agent_id", FIELD_TEXT, true, .longest = AGENT_HANDLE_MAX },
	{ "action_type", FIELD_TEXT, true, .words = action_words },
	{ "resource", FIELD_TEXT },
	{ "payload", FIELD_ANY },
	{ NULL },
};
static const struct field action_fields[] = {
	{ "agent_id", FIELD_TEXT, true, .longest = AGENT_HANDLE_MAX },
	{ "action_type", FIELD_TEXT, true, .words = action_words },
	{ "resource", FIELD_TEXT, .mask = MASK_SECRETS },
	{ "agent_name", FIELD_TEXT, .longest = AGENT_HANDLE_MAX },
	{ "session_id", FIELD_TEXT, .longest = 255 },
	/* it is in an index: PostgreSQL's take no more than 2,704 bytes */
	{ "action_id", FIELD_ID, .longest = 255 },
	{ "payload", FIELD_ANY, .mask = MASK_ALL },
	{ "snapshot", FIELD_ANY, .mask = MASK_ALL },
	{ "risk_score", FIELD_NUMBER, .min = 0, .max = 1 },
	{ "flagged", FIELD_BOOL },
	{ "flag_reason", FIELD_TEXT, .mask = MASK_ALL },
	{ "decision", FIELD_TEXT, .longest = 32 },
	{ "timestamp", FIELD_ANY },
	{ "metadata", FIELD_ANY, .mask = MASK_ALL },
	{ "source", FIELD_TEXT, .longest = 64 },
	{ NULL },
};
static const struct field profile_fields[] = {
	{ "allowed_action_types", FIELD_TEXTS, .words = types },
	{ "allowed_resources", FIELD_TEXTS },
	{ "blocked_resources", FIELD_TEXTS },
	{ "max_actions_per_minute", FIELD_INT, .min = 1, .max = 1e9 },
	{ "max_risk_score", FIELD_NUMBER, .min = 0, .max = 1 },
	{ NULL },
};
static const struct field agent_create_fields[] = {
	{ "name", FIELD_TEXT, true, .longest = AGENT_HANDLE_MAX },
	{ "agent_id", FIELD_TEXT, .longest = AGENT_HANDLE_MAX },
	{ NULL },
};
static const struct field agent_patch_fields[] = {
	{ "paused", FIELD_BOOL },
	{ "terminated", FIELD_BOOL },
	{ "kill_switch_mode", FIELD_TEXT, .words = modes },
	{ "name", FIELD_TEXT, .longest = AGENT_HANDLE_MAX },
	{ NULL },
};
#define RULE_FIELDS(required) \
	{ "name", FIELD_TEXT, required, .longest = 255 }, \
		{ "effect", FIELD_TEXT, required, .words = effects }, \
		{ "action_type", FIELD_TEXT, .words = types }, { "resource_pattern", FIELD_TEXT }, \
		{ "max_risk_score", FIELD_NUMBER, .min = 0, .max = 1 }, \
		{ "priority", FIELD_INT, .min = -1e6, .max = 1e6 }, \
		{ "time_start", FIELD_TEXT, .longest = 5 }, \
		{ "time_end", FIELD_TEXT, .longest = 5 }, \
	{ \
		"days_allowed", FIELD_TEXTS \
	}
static const struct field policy_create_fields[] = { RULE_FIELDS(true), { NULL } };
static const struct field policy_patch_fields[] = { RULE_FIELDS(false),
						    { "enabled", FIELD_BOOL },
						    { NULL } };
static const struct field alert_fields[] = {
	{ "agent_id", FIELD_TEXT, true, .longest = AGENT_HANDLE_MAX },
	{ "message", FIELD_TEXT, true, .mask = MASK_ALL },
	{ "severity", FIELD_TEXT, .words = levels },
	{ "source", FIELD_TEXT, .longest = 64 },
	{ "timestamp", FIELD_ANY },
	{ NULL },
};
static const char *const session_states[] = { "starting", "running", "paused",
					      "ended",    "crashed", NULL };
static const char *const approval_states[] = { "pending", "allowed", "denied", "expired", NULL };
static const char *const answers[] = { "allow", "deny", NULL };
static const char *const scopes[] = { "once", "session", "always", NULL };
static const char *const commands[] = { "pause", "resume", "kill", "commit", "discard", NULL };

static const struct field session_fields[] = {
	{ "id", FIELD_TEXT, true, .longest = 64 },
	{ "agent_id", FIELD_TEXT, true, .longest = AGENT_HANDLE_MAX },
	{ "host", FIELD_TEXT, true, .longest = 255 },
	{ "state", FIELD_TEXT, true, .words = session_states },
	{ "policy", FIELD_TEXT, .longest = 255 },
	{ "mode", FIELD_TEXT, .longest = 16 },
	{ "command", FIELD_TEXTS, .mask = MASK_SECRETS },
	{ "started_at", FIELD_TEXT, .longest = 40 },
	{ "ended_at", FIELD_TEXT, .longest = 40 },
	{ "exit_code", FIELD_INT },
	{ "info", FIELD_OBJECT, .mask = MASK_SECRETS },
	{ "changes", FIELD_ANY },
	{ NULL },
};
static const struct field done_fields[] = {
	{ "ok", FIELD_BOOL, true },
	{ "result", FIELD_ANY, .mask = MASK_SECRETS },
	{ NULL },
};
static const struct field approval_fields[] = {
	{ "request_id", FIELD_TEXT, true, .longest = 64 },
	{ "state", FIELD_TEXT, true, .words = approval_states },
	{ "request", FIELD_OBJECT, true, .mask = MASK_SECRETS },
	{ NULL },
};
static const struct field decide_fields[] = {
	{ "decision", FIELD_TEXT, true, .words = answers },
	{ "scope", FIELD_TEXT, .words = scopes },
	{ "reason", FIELD_TEXT, .longest = 1000 },
	{ NULL },
};
static const struct field control_fields[] = {
	{ "command", FIELD_TEXT, true, .words = commands },
	{ "reason", FIELD_TEXT, .longest = 1000 },
	{ NULL },
};
static const struct field rollback_fields[] = {
	{ "agent_id", FIELD_TEXT, true, .longest = AGENT_HANDLE_MAX },
	{ "n_actions", FIELD_INT, .min = 1, .max = 1e6 },
	{ "reason", FIELD_TEXT, .longest = 1000 },
	{ "initiated_by", FIELD_TEXT, .longest = 255 },
	{ NULL },
};
static const struct field key_fields[] = {
	{ "name", FIELD_TEXT, true, .longest = 127 },
	{ "role", FIELD_TEXT, true, .words = roles },
	{ NULL },
};

static const struct field login_fields[] = {
	{ "key", FIELD_TEXT, true, .longest = 255 },
	{ NULL },
};
static const struct field mcp_fields[] = {
	{ "jsonrpc", FIELD_ANY },
	{ "id", FIELD_ANY },
	{ "method", FIELD_ANY },
	{ "params", FIELD_ANY },
	{ NULL },
};
static const struct field no_fields[] = { { NULL } };

enum {
	POSTERS = ROLE_AGENT | ROLE_ADMIN,
	READERS = ROLE_VIEWER | ROLE_APPROVER | ROLE_ADMIN,
	JUDGES = ROLE_APPROVER | ROLE_ADMIN,
	ANYBODY = READERS | ROLE_AGENT,
};

const struct route routes[] = {
	{ "POST", "/api/check", POSTERS, api_check, check_fields,
	  .summary = "What would be decided on this action", .reads = true },
	{ "POST", "/api/actions", POSTERS, api_actions_post, action_fields, true,
	  "Logs an action, or an array of them" },
	{ "GET", "/api/actions", READERS, api_actions_list, .summary = "Actions, newest first" },
	{ "GET", "/api/risk/score", READERS | ROLE_AGENT, api_risk_score,
	  .summary = "The score of an action of a new agent" },
	{ "GET", "/api/agents", READERS, api_agents_list, .summary = "Agents with their profiles" },
	{ "POST", "/api/agents", ROLE_ADMIN, api_agents_create, agent_create_fields,
	  .summary = "Registers an agent" },
	{ "PATCH", "/api/agents/{agent_id}/profile", ROLE_ADMIN, api_agents_profile, profile_fields,
	  .summary = "Changes what an agent may do; the agent is created when it is not known" },
	{ "PATCH", "/api/agents/{agent_id}", JUDGES, api_agents_patch, agent_patch_fields,
	  .summary = "Pauses or resumes an agent, sets its mode" },
	{ "DELETE", "/api/agents/{agent_id}", ROLE_ADMIN, api_agents_delete,
	  .summary = "Forgets an agent" },
	{ "POST", "/api/policies", ROLE_ADMIN, api_policies_create, policy_create_fields,
	  .summary = "Makes a rule for all agents" },
	{ "POST", "/api/policies/test", READERS, api_policies_trial, policy_create_fields,
	  .summary = "What a rule would have done to the last 1000 actions; makes none",
	  .reads = true },
	{ "GET", "/api/policies", READERS, api_policies_list,
	  .summary = "Rules, highest priority first" },
	{ "PATCH", "/api/policies/{policy_id}", ROLE_ADMIN, api_policies_patch, policy_patch_fields,
	  .summary = "Changes a rule, or with ?enabled= switches it" },
	{ "DELETE", "/api/policies/{policy_id}", ROLE_ADMIN, api_policies_delete,
	  .summary = "Removes a rule" },
	{ "GET", "/api/alerts", READERS, api_alerts_list, .summary = "Alerts, newest first" },
	{ "POST", "/api/alerts", POSTERS, api_alerts_create, alert_fields,
	  .summary = "Opens an alert" },
	{ "PATCH", "/api/alerts/{alert_id}/acknowledge", JUDGES, api_alerts_acknowledge,
	  .summary = "Marks an alert as seen" },
	{ "POST", "/api/rollback", JUDGES, api_rollback, rollback_fields,
	  .summary = "Reverses the last actions of the agent's running sandbox" },
	{ "GET", "/api/rollback/history", READERS, api_rollback_history,
	  .summary = "Rollbacks, newest first" },
	{ "GET", "/api/stats", READERS, api_stats, .summary = "Totals and the last 30 days" },
	{ "GET", "/api/usage", READERS, api_usage,
	  .summary = "The last 30 days by type and decision" },
	{ "GET", "/api/sessions", READERS, api_sessions_list,
	  .summary = "Sandboxes, newest first" },
	{ "POST", "/api/sessions", POSTERS, api_sessions_report, session_fields,
	  .summary = "A sandbox reports itself; answers its agent's profile" },
	{ "GET", "/api/sessions/{session_id}", READERS, api_sessions_get,
	  .summary = "One sandbox" },
	{ "GET", "/api/sessions/{session_id}/changes", READERS, api_sessions_changes,
	  .summary = "What it changed, as it last reported" },
	{ "GET", "/api/sessions/{session_id}/diff", READERS, api_sessions_diff,
	  .summary = "The patch of ?path=, asked of the sandbox's host" },
	{ "POST", "/api/sessions/{session_id}/control", JUDGES, api_sessions_control,
	  control_fields,
	  .summary = "pause, resume, kill, commit or discard; answers what came of it" },
	{ "GET", "/api/sessions/{session_id}/commands", POSTERS, api_sessions_commands,
	  .summary = "For gateways: what people want, waiting up to ?wait= seconds; with "
		     "?orders=VERSION also "
		     "profile and rules, when they are others than those" },
	{ "POST", "/api/sessions/{session_id}/commands/{command_id}", POSTERS, api_sessions_done,
	  done_fields, .summary = "For gateways: what came of a command" },
	{ "POST", "/api/sessions/{session_id}/approvals", POSTERS, api_approvals_report,
	  approval_fields, .summary = "For gateways: a question, or what became of it" },
	{ "GET", "/api/approvals", READERS, api_approvals_list,
	  .summary = "What waits for a person, oldest first" },
	{ "POST", "/api/approvals/{approval_id}", JUDGES, api_approvals_decide, decide_fields,
	  .summary = "Allows or denies what waits" },
	{ "GET", "/api/keys", ROLE_ADMIN, api_keys_list, .summary = "Keys, without their text" },
	{ "POST", "/api/keys", ROLE_ADMIN, api_keys_create, key_fields, .summary = "Makes a key" },
	{ "DELETE", "/api/keys/{key_id}", ROLE_ADMIN, api_keys_delete, .summary = "Revokes a key" },
	{ "GET", "/api/audit", ROLE_ADMIN, api_audit,
	  .summary = "Administrative acts, newest first" },
	{ "GET", "/api/export", READERS, api_export,
	  .summary = "Lines of JSON, oldest first, after ?cursor=: ?what=alerts or actions, "
		     "?format=jsonl or ocsf" },
	{ "POST", "/api/login", 0, api_login, login_fields,
	  .summary = "Exchanges a key for a browser's cookie" },
	{ "POST", "/api/logout", ANYBODY, api_logout, no_fields, .summary = "Ends that login" },
	{ "GET", "/api/me", ANYBODY, api_me, .summary = "Who asks, and the token for writing" },
	{ "GET", "/api/events", READERS, api_events,
	  .summary = "Server-sent events: actions, alerts, approvals, sessions; Last-Event-ID "
		     "resumes" },
	{ "GET", "/", 0, api_page, .summary = "The dashboard" },
	{ "GET", "/dashboard/{file}", 0, api_page_file, .summary = "A file of the dashboard" },
	{ "GET", "/health", 0, api_health, .summary = "Whether the server and its store work" },
	{ "GET", "/metrics", READERS, api_metrics,
	  .summary = "Counters, as Prometheus reads them" },
	{ "POST", "/mcp", ANYBODY, api_mcp, mcp_fields,
	  .summary = "Tools for models: JSON-RPC of the Model Context Protocol" },
	{ "GET", "/openapi.json", 0, api_openapi, .summary = "This table" },
	{ NULL },
};

static struct json_object *parameters(const char *path)
{
	struct json_object *list = json_object_new_array();
	for (const char *p = path; (p = strchr(p, '{')); p++) {
		struct json_object *o = json_object_new_object(),
				   *schema = json_object_new_object();
		json_put(o, "name", json_object_new_string_len(p + 1, (int)strcspn(p + 1, "}")));
		json_put(o, "in", json_object_new_string("path"));
		json_put(o, "required", json_object_new_boolean(1));
		json_put(schema, "type", json_object_new_string("string"));
		json_put(o, "schema", schema);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *operation(const struct route *r)
{
	struct json_object *o = json_object_new_object(), *responses = json_object_new_object();
	struct json_object *ok = json_object_new_object(), *security = json_object_new_array();
	json_put(o, "summary", json_object_new_string(r->summary));
	json_put(o, "parameters", parameters(r->path));
	json_put(ok, "description", json_object_new_string("the answer"));
	json_put(responses, "200", ok);
	json_put(o, "responses", responses);
	if (r->roles) {
		struct json_object *key = json_object_new_object();
		json_put(key, "key", json_object_new_array());
		json_object_array_add(security, key);
	}
	json_put(o, "security", security);
	if (r->fields) {
		struct json_object *body = json_object_new_object(),
				   *content = json_object_new_object();
		struct json_object *media = json_object_new_object();
		json_put(media, "schema", fields_schema(r->fields));
		json_put(content, "application/json", media);
		json_put(body, "content", content);
		json_put(o, "requestBody", body);
	}
	return o;
}

struct json_object *routes_openapi(void)
{
	struct json_object *o = json_object_new_object(), *info = json_object_new_object();
	struct json_object *paths = json_object_new_object(),
			   *components = json_object_new_object();
	struct json_object *schemes = json_object_new_object(), *key = json_object_new_object();
	json_put(o, "openapi", json_object_new_string("3.1.0"));
	json_put(info, "title", json_object_new_string("vsandbox"));
	json_put(info, "version", json_object_new_string(VSANDBOX_VERSION));
	json_put(o, "info", info);
	for (const struct route *r = routes; r->method; r++) {
		struct json_object *path = json_object_object_get(paths, r->path);
		char method[16];
		size_t i = 0;
		for (; r->method[i] && i + 1 < sizeof(method); i++)
			method[i] = (char)(r->method[i] | 0x20);
		method[i] = '\0';
		if (!path) {
			path = json_object_new_object();
			json_put(paths, r->path, path);
		}
		json_object_object_add(path, method, operation(r));
	}
	json_put(o, "paths", paths);
	json_put(key, "type", json_object_new_string("apiKey"));
	json_put(key, "in", json_object_new_string("header"));
	json_put(key, "name", json_object_new_string("x-api-key"));
	json_put(schemes, "key", key);
	json_put(components, "securitySchemes", schemes);
	json_put(o, "components", components);
	return o;
}
