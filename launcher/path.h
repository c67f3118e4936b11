/* Paths as they are given on the command line. */
#pragma once

#include "base/err.h"
#include "launcher/options.h"
#include "launcher/session.h"
#include "launcher/state.h"

/*
 * Of a verb's arguments [SESSION] [PATH…] the first that is a path, or their number. All are paths behind `--`, and
 * when the first can be no session id: it begins with a dot or holds a slash.
 */
int path_first(const struct options *o);

/* session_find as such a verb calls it: with the first argument, or for the latest when that is a path. */
int path_session(const struct options *o, const char *verb, struct session *ret, struct err *err);

/* Absolute, without a trailing slash; "" names everything. The path need not exist any more. */
int path_absolute(const char *given, char path[static STATE_PATH_SIZE], struct err *err);
