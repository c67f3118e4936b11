/* What two snapshots differ in, or one snapshot and the host as it is now. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Prints it on stdout, deletions first. @b NULL: the host. 0, -errno. */
int snapshot_diff(int snapshots_fd, const char *a, const char *b, bool json, struct err *err);
