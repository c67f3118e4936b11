/* diff -p: the changes as a patch, made by the sibling program and shown here. */
#pragma once

#include "launcher/session.h"

/*
 * Prints it on stdout; escaped, and coloured where it may be, on a terminal. @below: only this path and what
 * is below it; NULL all. Paths are relative to @below if it is a directory, else to the session's
 * workspace if all changes lie in it, else to /. 0, -errno.
 */
int diff_patch(const struct session *s, const char *below, struct err *err);
