#include "launcher/ocsf.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/action.h"
#include "launcher/eventfile.h"
#include "launcher/replay.h"

enum ocsf_class {
	CLASS_BASE = 0,
	CLASS_FILE = 1001,
	CLASS_PROCESS = 1007,
	CLASS_NETWORK = 4001,
	CLASS_LIFECYCLE = 6002,
	CLASS_API = 6003,
	CLASS_DATASTORE = 6005,
};

enum { ACTIVITY_OTHER = 99 };

static const char *class_name(enum ocsf_class class)
{
	switch (class) {
	case CLASS_BASE:
		return "Base Event";
	case CLASS_FILE:
		return "File System Activity";
	case CLASS_PROCESS:
		return "Process Activity";
	case CLASS_NETWORK:
		return "Network Activity";
	case CLASS_LIFECYCLE:
		return "Application Lifecycle";
	case CLASS_API:
		return "API Activity";
	case CLASS_DATASTORE:
		return "Datastore Activity";
	}
	return "Base Event";
}

static int category_of(enum ocsf_class class)
{
	return (int)class / 1000;
}

static enum ocsf_class class_of_type(enum action_type type)
{
	switch (type) {
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
		return CLASS_FILE;
	case ACTION_CODE_EXECUTION:
		return CLASS_PROCESS;
	case ACTION_NETWORK_REQUEST:
		return CLASS_NETWORK;
	case ACTION_API_CALL:
		return CLASS_API;
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
		return CLASS_DATASTORE;
	case ACTION_NONE:
	case ACTION_TYPE_COUNT:
		break;
	}
	return CLASS_BASE;
}

/* activity_id of the class, and its caption. */
static int activity_of(const struct action *a, const char **ret_name)
{
	static const struct {
		enum action_op op;
		int id;
		const char *name;
	} files[] = {
		{ OP_READ, 14, "Open" },           { OP_CREATE, 1, "Create" },
		{ OP_WRITE, 3, "Update" },         { OP_TRUNCATE, 3, "Update" },
		{ OP_DELETE, 4, "Delete" },        { OP_RENAME, 5, "Rename" },
		{ OP_LINK, 1, "Create" },          { OP_SYMLINK, 1, "Create" },
		{ OP_MKDIR, 1, "Create" },         { OP_MKNOD, 1, "Create" },
		{ OP_CHMOD, 7, "Set Security" },   { OP_CHOWN, 7, "Set Security" },
		{ OP_UTIME, 6, "Set Attributes" }, { OP_XATTR, 6, "Set Attributes" },
	};
	*ret_name = "Other";
	switch (class_of_type(a->type)) {
	case CLASS_FILE:
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			if (files[i].op != a->op)
				continue;
			*ret_name = files[i].name;
			return files[i].id;
		}
		return ACTIVITY_OTHER;
	case CLASS_PROCESS:
		*ret_name = "Launch";
		return 1;
	case CLASS_NETWORK:
		if (a->op == OP_SEND) {
			*ret_name = "Traffic";
			return 6;
		}
		if (a->op != OP_CONNECT)
			return ACTIVITY_OTHER;
		*ret_name = "Open";
		return 1;
	case CLASS_DATASTORE:
		*ret_name = a->type == ACTION_DATABASE_QUERY ? "Query" : "Write";
		return a->type == ACTION_DATABASE_QUERY ? 4 : 5;
	case CLASS_BASE:
	case CLASS_LIFECYCLE:
	case CLASS_API:
		break;
	}
	return ACTIVITY_OTHER;
}

static void put(struct json_object *o, const char *name, const char *text)
{
	if (text && *text)
		json_object_object_add(o, name, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *name, int64_t value)
{
	json_object_object_add(o, name, json_object_new_int64(value));
}

static struct json_object *put_object(struct json_object *o, const char *name)
{
	struct json_object *made = json_object_new_object();
	json_object_object_add(o, name, made);
	return made;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

static void put_file(struct json_object *o, const char *name, const char *path)
{
	struct json_object *file = put_object(o, name);
	put(file, "name", base_name(path));
	put(file, "path", path);
	put_number(file, "type_id", 0); /* the log does not say what kind of file */
}

/* The command line, joined as a reader wants it; argv itself is under "unmapped". */
static void put_command(struct json_object *process, const struct json_object *event)
{
	struct json_object *argv;
	char *text = NULL;
	size_t len = 0;
	if (!json_object_object_get_ex(event, "argv", &argv) ||
	    !json_object_is_type(argv, json_type_array))
		return;
	FILE *f = open_memstream(&text, &len);
	for (size_t i = 0; f && i < json_object_array_length(argv); i++)
		fprintf(f, "%s%s", i ? " " : "",
			json_object_get_string(json_object_array_get_idx(argv, i)));
	if (f && fclose(f) == 0)
		put(process, "cmd_line", text);
	free(text);
}

static void put_process(struct json_object *o, const char *name, const struct action *a,
			const char *path)
{
	struct json_object *process = put_object(o, name);
	put_number(process, "pid", a->pid);
	put(process, "name", base_name(path));
	if (*path)
		put_file(process, "file", path);
}

static void put_endpoint(struct json_object *o, const struct action *a)
{
	struct json_object *to = put_object(o, "dst_endpoint");
	size_t len = strcspn(a->resource, ":");
	const char *scheme = strstr(a->resource, "://");
	if (scheme) {
		put(to, "name", a->resource);
	} else if (a->resource[0] == '/') {
		put(to, "name", a->resource);
	} else {
		char host[300];
		snprintf(host, sizeof(host), "%.*s", (int)len, a->resource);
		put(to, "hostname", host);
	}
	put(to, "ip", a->address);
	if (a->port)
		put_number(to, "port", a->port);
	struct json_object *how = put_object(o, "connection_info");
	put_number(how, "direction_id", 2);
	put(how, "protocol_name", a->protocol ? a->protocol : "tcp");
}

static void put_class(struct json_object *o, const struct json_object *event,
		      const struct action *a)
{
	struct json_object *actor = put_object(o, "actor");
	put_process(actor, "process", a, a->program);
	switch (class_of_type(a->type)) {
	case CLASS_FILE:
		put_file(o, "file", a->resource);
		if (a->resource2)
			put_file(o, "file_result", a->resource2);
		break;
	case CLASS_PROCESS:
		put_process(o, "process", a, a->resource);
		put_command(json_object_object_get(o, "process"), event);
		break;
	case CLASS_NETWORK:
		put_endpoint(o, a);
		break;
	case CLASS_API:
		put(put_object(o, "api"), "operation", a->resource);
		put_endpoint(o, a);
		break;
	case CLASS_DATASTORE:
		put_endpoint(o, a);
		put(put_object(o, "database"), "name", a->resource);
		json_object_object_add(json_object_object_get(o, "database"), "type_id",
				       json_object_new_int(0));
		put(put_object(o, "query_info"), "query_string", a->statement);
		break;
	case CLASS_BASE:
	case CLASS_LIFECYCLE:
		break;
	}
}

/* From the score: what a person should look at first. */
static int severity_of_score(double score, enum verdict verdict, const char **ret_name)
{
	static const char *const names[] = { "Unknown", "Informational", "Low",
					     "Medium",  "High",          "Critical" };
	int id = score >= 0.9 ? 4 : score >= 0.7 ? 3 : score >= 0.4 ? 2 : 1;
	if (verdict > VERDICT_ALERT && id < 3)
		id = 3;
	if (verdict > VERDICT_ALERT && score >= 0.9)
		id = 5;
	*ret_name = names[id];
	return id;
}

static void put_decision(struct json_object *o, const struct json_object *event)
{
	enum verdict verdict = VERDICT_ALLOW;
	replay_verdict(event, &verdict);
	bool denied = verdict > VERDICT_ALERT;
	const char *severity;
	put_number(o, "severity_id",
		   severity_of_score(event_real(event, "score"), verdict, &severity));
	put(o, "severity", severity);
	put_number(o, "action_id", denied ? 2 : 1);
	put(o, "action", denied ? "Denied" : "Allowed");
	put_number(o, "disposition_id", denied ? 2 : verdict == VERDICT_ALERT ? 19 : 1);
	put(o, "disposition", denied ? "Blocked" : verdict == VERDICT_ALERT ? "Alert" : "Allowed");
	bool failed = denied || event_number(event, "result") < 0;
	put_number(o, "status_id", failed ? 2 : 1);
	put(o, "status", failed ? "Failure" : "Success");
	put(o, "status_code",
	    denied ? event_text(event, "errno") : event_text(event, "result_errno"));
	if (*event_text(event, "rule")) {
		struct json_object *rule = put_object(o, "firewall_rule");
		put(rule, "name", event_text(event, "rule"));
		put(rule, "desc", event_text(event, "policy_file"));
	}
}

static void put_metadata(struct json_object *o, const struct json_object *event, bool action)
{
	struct json_object *m = put_object(o, "metadata"), *product = put_object(m, "product");
	char uid[96];
	put(m, "version", "1.3.0");
	put(product, "name", "vsandbox");
	put(product, "vendor_name", "vsandbox");
	put(product, "version", VSANDBOX_VERSION);
	snprintf(uid, sizeof(uid), "%.40s/%lld", event_text(event, "session"),
		 (long long)event_number(event, "seq"));
	put(m, "uid", uid);
	put_number(m, "sequence", event_number(event, "seq"));
	put(m, "original_time", event_text(event, "time"));
	put(m, "log_name", "events.jsonl");
	put(m, "correlation_uid", event_text(event, "session"));
	if (action) {
		struct json_object *profiles = json_object_new_array();
		json_object_array_add(profiles, json_object_new_string("security_control"));
		json_object_object_add(m, "profiles", profiles);
	}
}

static int64_t milliseconds(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	long part = rest && *rest == '.' ? strtol(rest + 1, NULL, 10) / 1000000 : 0;
	return rest ? (int64_t)timegm(&tm) * 1000 + part : 0;
}

/* What has no member above, as it stands in the log; the hash lets a reader find the line. */
static void put_unmapped(struct json_object *o, const struct json_object *event)
{
	static const char *const kept[] = { "kind",    "op",     "syscall",  "reason",
					    "score",   "scores", "observed", "provenance",
					    "alias",   "argv",   "cwd",      "ancestry",
					    "ambient", "status", "text",     "hash" };
	struct json_object *rest = put_object(o, "unmapped"), *value;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (json_object_object_get_ex(event, kept[i], &value))
			json_object_object_add(rest, kept[i], json_object_get(value));
}

static void put_head(struct json_object *o, enum ocsf_class class, int activity, const char *name)
{
	put_number(o, "class_uid", class);
	put(o, "class_name", class_name(class));
	put_number(o, "category_uid", category_of(class));
	put_number(o, "activity_id", activity);
	put(o, "activity_name", name);
	put_number(o, "type_uid", (int64_t) class * 100 + activity);
}

struct json_object *ocsf_event(const struct json_object *event, const char *hostname)
{
	struct replay_room room;
	struct action a;
	const char *kind = event_text(event, "kind"), *activity = "Other";
	bool action = replay_action(event, &room, &a);
	struct json_object *o = json_object_new_object();
	if (!o)
		return NULL;
	if (action) {
		int id = activity_of(&a, &activity);
		put_head(o, class_of_type(a.type), id, activity);
		put_class(o, event, &a);
		put_decision(o, event);
	} else if (!strcmp(kind, "process_exit")) {
		put_head(o, CLASS_PROCESS, 2, "Terminate");
		struct action ended = { .resource = "", .pid = (pid_t)event_number(event, "pid") };
		put_process(put_object(o, "actor"), "process", &ended,
			    event_text(event, "program"));
		put_process(o, "process", &ended, event_text(event, "program"));
	} else if (!strcmp(kind, "session_start") || !strcmp(kind, "session_end")) {
		bool start = !strcmp(kind, "session_start");
		put_head(o, CLASS_LIFECYCLE, start ? 3 : 4, start ? "Start" : "Stop");
		put(put_object(o, "app"), "name", "vsandbox session");
		put(json_object_object_get(o, "app"), "uid", event_text(event, "session"));
		put(json_object_object_get(o, "app"), "vendor_name", "vsandbox");
	} else {
		put_head(o, CLASS_BASE, ACTIVITY_OTHER, "Other");
	}
	if (!action) {
		put_number(o, "severity_id", 1);
		put(o, "severity", "Informational");
	}
	put_number(o, "time", milliseconds(event_text(event, "time")));
	put(o, "message", event_text(event, "text"));
	put_metadata(o, event, action);
	struct json_object *device = put_object(o, "device");
	put(device, "hostname", hostname);
	put_number(device, "type_id", 0);
	put_unmapped(o, event);
	return o;
}
