#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>

#include "base/syscalls.h"
#include "launcher/jsonfile.h"
#include "launcher/oci/profile.h"
#include "launcher/oci/table.h"

static bool names_call(struct json_object *rule, const char *name)
{
	struct json_object *names;
	if (!json_object_object_get_ex(rule, "names", &names) ||
	    !json_object_is_type(names, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *one = json_object_get_string(json_object_array_get_idx(names, i));
		if (one && !strcmp(one, name))
			return true;
	}
	return false;
}

/* The conditions of a rule; NULL: it has none. */
static struct json_object *args_of(struct json_object *rule)
{
	struct json_object *args;
	return json_object_object_get_ex(rule, "args", &args) &&
			       json_object_is_type(args, json_type_array) &&
			       json_object_array_length(args)
		       ? args
		       : NULL;
}

/* Could the call pass unseen by this rule? */
static bool lets_pass(struct json_object *rule, const char *name)
{
	const char *action = jsonfile_text(rule, "action");
	return names_call(rule, name) && (!action || oci_clause_permits(action)) && !args_of(rule);
}

int oci_profile_check(struct json_object *section, struct err *err)
{
	struct json_object *rules;
	const char *otherwise = jsonfile_text(section, "defaultAction");
	if (!otherwise || oci_clause_permits(otherwise) ||
	    !json_object_object_get_ex(section, "syscalls", &rules) ||
	    !json_object_is_type(rules, json_type_array))
		return err_set(err, EPERM, "its profile lets pass what it does not name");
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		struct oci_clause list[OCI_CLAUSES_MAX];
		bool unseen = false;
		unsigned count = oci_table_clauses(nr, list);
		for (unsigned i = 0; i < count; i++)
			unseen |= list[i].count == 0 && oci_clause_permits(list[i].action);
		for (size_t i = 0; !unseen && count && i < json_object_array_length(rules); i++)
			if (lets_pass(json_object_array_get_idx(rules, i), syscall_find(nr)->name))
				return err_set(err, EPERM, "its profile lets %s pass unasked",
					       syscall_find(nr)->name);
	}
	return 0;
}
