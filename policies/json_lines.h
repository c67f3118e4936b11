/*
 * Where each value of a JSON text stands. json-c parses values but does not tell
 * their lines; this walks the structure only, blanks // and block comments, and
 * refuses what json-c would let pass: duplicate keys, depth, trailing text.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "policies/arena.h"

enum {
	JSON_LINES_DEPTH_MAX = 12,
	JSON_LINES_MEMBERS_MAX = 256, /* in one object: keeps the search for duplicates short */
};

struct json_line {
	const struct json_line *parent; /* NULL: the root */
	const char *key;                /* of an object's member; NULL: an array's element */
	unsigned index;                 /* in its parent */
	unsigned line;                  /* of the key where there is one, else of the value */
	struct json_line *first, *next; /* children in order */
};

/*
 * Blanks the comments of @text in place and returns its root, allocated from
 * @arena. @file is for messages. -EINVAL with FILE:LINE, -ENOMEM.
 */
int json_lines_scan(char *text, size_t len, const char *file, struct arena *arena,
		    const struct json_line **ret, struct err *err);

/* The JSON pointer of @at, "" for the root; cut to fit. */
void json_lines_pointer(const struct json_line *at, char *out, size_t size);
