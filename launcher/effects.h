/*
 * What left the machine and cannot be undone: each destination that was let through, how often,
 * how many bytes went there and came back.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/event.h"

struct json_object;

enum {
	EFFECTS_MAX = 256,   /* destinations; further ones are counted together */
	EFFECTS_LISTED = 20, /* shown to a person */
};

struct effect {
	char *resource; /* owned */
	uint64_t count, failed, handed_over, bytes_out, bytes_in;
};

struct effects {
	struct effect items[EFFECTS_MAX + 1]; /* the last: all others */
	unsigned count;
};

/* Takes in an event of the log; most say nothing of the outside. */
void effects_note(struct effects *e, const struct event *event);
/* A JSON list, the destinations in the order in which they were first reached. */
void effects_json(FILE *f, const struct effects *e);
/* A line for each destination of such a list, to @f, each after @prefix. */
void effects_print(FILE *f, const char *prefix, struct json_object *list);
/* The same of @e, to @fd. */
void effects_list(const struct effects *e, int fd);
void effects_finish(struct effects *e);
