/* The rules that people set for all agents. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/db.h"

struct json_object;

enum { RULES_MAX = 1000 }; /* of all agents; what a rule costs, each action pays */

/*
 * @body: members as in the API (checked already); makes the row and appends it to @list. Every
 * write of this file raises the policies' version, by which evaluators know that theirs is old. -EEXIST: there are RULES_MAX.
 */
int64_t rule_create(struct db *db, struct json_object *body, struct json_object *list,
		    struct err *err);
/* Changes the members that @body has. 0: there is none of that id. */
int64_t rule_update(struct db *db, const char *id, struct json_object *body,
		    struct json_object *list, struct err *err);
int64_t rule_delete(struct db *db, const char *id, struct err *err);
/* By priority, highest first. */
int64_t rule_list(struct db *db, bool only_enabled, int64_t limit, struct json_object *list,
		  struct err *err);
/* The version, or -errno. */
int64_t rule_version(struct db *db, struct err *err);
