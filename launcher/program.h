/* The program a run names, as a policy that forbids spawning must know it. */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"
#include "policies/policy.h"

/*
 * Lets @command, found as execvp(3) would find it in @dirs (PATH; NULL the usual) below @root (the host
 * directory that is `/` inside; "" the host's own), and the interpreters its #! lines name
 * (through env as well) be executed under @p. A command that is not found is no error here:
 * the run will say so. 0, -errno.
 */
int program_allow(struct policy *p, const char *command, const char *root, const char *dirs,
		  struct err *err);

/* The canonical path of @command, found as execvp(3) would; false when there is none. */
bool program_find(const char *command, char path[static PATH_MAX]);
