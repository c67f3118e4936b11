/* What the server takes from itself before it hears anybody. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum confine_reach {
	CONFINE_STAYS,     /* it answers whoever connects */
	CONFINE_CALLS_OUT, /* it also connects: to a webhook */
};

/*
 * For good, and to be called before there are threads: no capability, no new privileges, no path but the files of the
 * store @url, a seccomp filter without execve, processes, ptrace, mounts or namespaces, and without sockets
 * of its own where the store is a file and nobody is called. The listening socket is open already. *ret_landlock: as
 * in base/confine.h.
 */
int confine_server(const char *url, enum confine_reach reach, bool *ret_landlock, struct err *err);
