#include "control/finding.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "control/json.h"

enum {
	CLASS_FINDING = 2004,
	CATEGORY_FINDINGS = 2,
	ACTIVITY_CREATE = 1,
	STATUS_NEW = 1,
	STATUS_RESOLVED = 4,
};

static void put_text(struct json_object *o, const char *name, const char *text)
{
	json_put(o, name, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *name, int64_t value)
{
	json_put(o, name, json_object_new_int64(value));
}

static void put_severity(struct json_object *o, const char *level)
{
	static const struct {
		const char *level, *name;
		int id;
	} rows[] = {
		{ "low", "Low", 2 },
		{ "medium", "Medium", 3 },
		{ "high", "High", 4 },
		{ "critical", "Critical", 5 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(rows[i].level, level) != 0)
			continue;
		put_number(o, "severity_id", rows[i].id);
		put_text(o, "severity", rows[i].name);
		return;
	}
	put_number(o, "severity_id", 0);
	put_text(o, "severity", "Unknown");
}

static void put_metadata(struct json_object *o, struct json_object *alert)
{
	struct json_object *m = json_object_new_object(), *product = json_object_new_object();
	put_text(product, "name", "vsandbox");
	put_text(product, "vendor_name", "vsandbox");
	put_text(product, "version", VSANDBOX_VERSION);
	json_put(m, "product", product);
	put_text(m, "version", "1.3.0");
	put_text(m, "uid", json_member(alert, "id"));
	put_text(m, "original_time", json_member(alert, "created_at"));
	json_put(o, "metadata", m);
}

struct json_object *finding_of_alert(struct json_object *alert)
{
	struct json_object *o = json_object_new_object(), *info = json_object_new_object();
	struct json_object *rest = json_object_new_object();
	bool seen = json_object_get_boolean(json_object_object_get(alert, "acknowledged"));
	int64_t at_us = 0;
	put_number(o, "class_uid", CLASS_FINDING);
	put_text(o, "class_name", "Detection Finding");
	put_number(o, "category_uid", CATEGORY_FINDINGS);
	put_text(o, "category_name", "Findings");
	put_number(o, "activity_id", ACTIVITY_CREATE);
	put_text(o, "activity_name", "Create");
	put_number(o, "type_uid", CLASS_FINDING * 100 + ACTIVITY_CREATE);
	put_severity(o, json_member(alert, "level"));
	put_number(o, "status_id", seen ? STATUS_RESOLVED : STATUS_NEW);
	put_text(o, "status", seen ? "Resolved" : "New");
	if (json_time_parse(json_member(alert, "created_at"), &at_us) == 0)
		put_number(o, "time", at_us / 1000);
	put_text(o, "message", json_member(alert, "message"));
	put_text(info, "uid", json_member(alert, "id"));
	put_text(info, "title", json_member(alert, "message"));
	json_put(o, "finding_info", info);
	put_metadata(o, alert);
	put_text(rest, "agent_id", json_member(alert, "agent_id"));
	json_put(rest, "action_id", json_object_get(json_object_object_get(alert, "action_id")));
	json_put(rest, "source", json_object_get(json_object_object_get(alert, "source")));
	json_put(o, "unmapped", rest);
	return o;
}
