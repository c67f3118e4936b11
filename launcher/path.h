/* Paths as they are given on the command line. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "launcher/state.h"

/* Can @arg be no session id: does it begin with a dot, or hold a slash? */
bool path_is_given(const char *arg);

/* Absolute, without a trailing slash; "" names everything. The path need not exist any more. */
int path_absolute(const char *given, char path[static STATE_PATH_SIZE], struct err *err);
