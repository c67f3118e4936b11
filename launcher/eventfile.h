/*
 * Reads a session's events.jsonl line by line. Lines are bounded; a damaged one
 * is told by its number and does not stop the reading.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct json_object;

struct eventfile {
	int fd;     /* owned */
	char *data; /* owned */
	size_t start, end;
	uint64_t line; /* number of the line last returned */
	bool skipping; /* inside a line that is too long */
};

struct eventfile_line {
	struct json_object *json; /* owned by the caller */
	const char *text;         /* the line, NUL-terminated; valid until the next call */
};

/* -ENOENT when the session has no log. */
int eventfile_open(int session_dirfd, struct eventfile *ret, struct err *err);
/* A log by its own name, wherever it was copied to. */
int eventfile_open_path(const char *path, struct eventfile *ret, struct err *err);
/*
 * 1: a line. 0: no further complete line for now. -EBADMSG: the line is damaged, @err
 * says which; call again for the next. Other -errno: cannot be read.
 */
int eventfile_next(struct eventfile *f, struct eventfile_line *ret, struct err *err);
/* Bytes of the log behind the last line returned. 0: it cannot be told. */
uint64_t eventfile_left(const struct eventfile *f);
void eventfile_close(struct eventfile *f);

/* Members of a line: "" or 0 when missing or of another type. */
const char *event_text(const struct json_object *event, const char *name);
int64_t event_number(const struct json_object *event, const char *name);
double event_real(const struct json_object *event, const char *name);
/* The member @name of @from, if it has one, becomes @to's as well, as @as. */
void event_copy(struct json_object *to, const char *as, const struct json_object *from,
		const char *name);
/* What it is about: an action's type and resource; of anything else its kind and text. */
const char *event_what(const struct json_object *event);
const char *event_subject(const struct json_object *event);
