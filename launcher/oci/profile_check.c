/*
 * Is a section that names our socket one of ours? Somebody else may have written it so that it looks like one: it
 * is held against the table rule by rule, and nothing in it may be what two readers would read differently.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

#include "base/syscalls.h"
#include "launcher/jsonfile.h"
#include "launcher/oci/profile.h"
#include "launcher/oci/table.h"

/* Has @o the members @known (NULL-terminated) and no others? Go takes names in any case for its own. */
static bool has_only(struct json_object *o, const char *const known[])
{
	json_object_object_foreach(o, name, value)
	{
		unsigned i = 0;
		(void)value;
		while (known[i] && strcmp(name, known[i]) != 0)
			i++;
		if (!known[i])
			return false;
	}
	return true;
}

static int check_form(struct json_object *rule, struct err *err)
{
	static const char *const of_rule[] = { "names", "action", "errnoRet", "args", NULL };
	static const char *const of_cond[] = { "index", "value", "valueTwo", "op", NULL };
	struct json_object *names, *args;
	bool plain = json_object_is_type(rule, json_type_object) && has_only(rule, of_rule) &&
		     json_object_object_get_ex(rule, "names", &names) &&
		     json_object_is_type(names, json_type_array);
	if (plain && json_object_object_get_ex(rule, "args", &args) &&
	    json_object_is_type(args, json_type_array))
		for (size_t i = 0; plain && i < json_object_array_length(args); i++) {
			struct json_object *cond = json_object_array_get_idx(args, i);
			plain = json_object_is_type(cond, json_type_object) &&
				has_only(cond, of_cond);
		}
	return plain ? 0 : err_set(err, EPERM, "a rule of its profile has another form than ours");
}

/* Does the table let all of that pass? */
static bool table_permits(const char *name, const struct oci_clause *c)
{
	struct oci_clause ours[OCI_CLAUSES_MAX];
	int nr = syscall_number(name);
	unsigned count = nr < 0 ? 0 : oci_table_clauses((uint32_t)nr, ours);
	for (unsigned i = 0; i < count; i++)
		if (oci_clause_permits(ours[i].action) && oci_clause_within(c, &ours[i]))
			return true;
	return false;
}

static int check_rule(struct json_object *rule, struct err *err)
{
	struct json_object *names;
	int r = check_form(rule, err);
	if (r < 0)
		return r;
	json_object_object_get_ex(rule, "names", &names);
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		struct oci_clause c;
		if (!name)
			return err_set(err, EPERM, "a rule of its profile has no name");
		r = oci_clause_read(rule, name, &c, err);
		if (r < 0)
			return r;
		if (oci_clause_permits(c.action) && !table_permits(name, &c))
			return err_set(err, EPERM, "its profile lets %.100s pass unasked", name);
	}
	return 0;
}

/* Others' numbers mean other calls, which the monitor does not know. */
static int check_archs(struct json_object *section, struct err *err)
{
	struct json_object *archs;
	if (!json_object_object_get_ex(section, "architectures", &archs) ||
	    json_object_is_type(archs, json_type_null))
		return 0;
	bool ours = json_object_is_type(archs, json_type_array);
	for (size_t i = 0; ours && i < json_object_array_length(archs); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(archs, i));
		ours = name && !strcmp(name, oci_arch);
	}
	return ours ? 0
		    : err_set(err, EPERM,
			      "its profile lets pass calls of other architectures than %s",
			      oci_arch);
}

int oci_profile_check(struct json_object *section, struct err *err)
{
	static const char *const of_section[] = { "defaultAction", "defaultErrnoRet",
						  "architectures", "flags",
						  "listenerPath",  "listenerMetadata",
						  "syscalls",      NULL };
	struct json_object *rules;
	const char *otherwise = jsonfile_text(section, "defaultAction");
	if (!has_only(section, of_section))
		return err_set(err, EPERM, "its profile has members that are none of ours");
	if (!otherwise || oci_clause_permits(otherwise) ||
	    !json_object_object_get_ex(section, "syscalls", &rules) ||
	    !json_object_is_type(rules, json_type_array))
		return err_set(err, EPERM, "its profile lets pass what it does not name");
	int r = check_archs(section, err);
	for (size_t i = 0; r == 0 && i < json_object_array_length(rules); i++)
		r = check_rule(json_object_array_get_idx(rules, i), err);
	return r;
}
