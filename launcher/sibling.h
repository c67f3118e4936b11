/*
 * Starts the programs that come with vsandbox: found beside the binary (build tree) or in
 * libexec, executed without a shell, with an empty environment and only the descriptors they are given.
 */
#pragma once

#include <limits.h>

#include "base/err.h"

enum { SIBLING_FDS_MAX = 4, SIBLING_LINE_MAX = 8 << 20 };

/* Where vsandbox-NAME lies, to be named to somebody else. 0, -errno with the places looked at. */
int sibling_path(const char *name, char ret[static PATH_MAX], struct err *err);

/*
 * Runs vsandbox-NAME with @args (argv[1] on; NULL-terminated) and @fds as 3, 4, … (-1 ends the list),
 * hands each line of its output to @line (writable, without its newline), and waits. Its stdin is
 * /dev/null, its stderr ours. 0; what @line returned, when that was not 0; -ECHILD when the program
 * failed and @line had not heard why; -errno.
 */
int sibling_run(const char *name, const char *const *args, const int *fds,
		int (*line)(char *text, void *arg), void *arg, struct err *err);

/*
 * Starts it in a session of its own and does not wait: it outlives us, belongs to no terminal, and its
 * output goes nowhere. @fds as above. 0, -errno.
 */
int sibling_spawn(const char *name, const char *const *args, const int *fds, struct err *err);

/* Becomes it: same terminal, output and environment, for a verb that is the program. Returns -errno only. */
int sibling_become(const char *name, const char *const *args, struct err *err);
