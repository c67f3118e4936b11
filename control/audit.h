/* The log of administrative acts: who did what with which key. Nothing removes a line. */
#pragma once

#include <stdint.h>

#include "control/db.h"

struct json_object;
struct key;

/* Writes a line: @what is a word such as "key.create", @detail what it was done to. As db_query. */
int64_t audit_note(struct db *db, const struct key *key, const char *what, const char *detail,
		   struct err *err);
/* Newest first; @before: id to go on from, 0 the newest. */
int64_t audit_rows(struct db *db, int64_t before, int64_t limit, struct json_object *list,
		   struct err *err);
