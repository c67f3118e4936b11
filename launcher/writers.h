/* Who wrote each path last, and under which name a file was before, as the event log has it. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct json_object;

struct writers {
	struct json_object *by_path; /* owned */
};

/* Reads the whole log of a session; one without a log knows nobody. 0, -errno. */
int writers_load(int session_dirfd, struct writers *ret, struct err *err);
void writers_finish(struct writers *w);

/* The program that last changed @path, valid until finish; "" not known. @ret_pid as inside, 0 not known. */
const char *writers_program(const struct writers *w, const char *path, int64_t *ret_pid);
/* The name that what is at @path now had when the session began; NULL: it was not renamed. */
const char *writers_renamed_from(const struct writers *w, const char *path);
