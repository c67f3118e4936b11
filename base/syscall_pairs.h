/* What rows of the table say of two arguments together: base/syscalls.h, host_sockets. */
#pragma once

#include <stdbool.h>

#include "base/syscalls.h"

enum {
	SYSCALL_PAIR_ANY = UINT16_MAX, /* as second: whatever it is */
	SYSCALL_PAIR_END = UINT16_MAX, /* as first: the list is over */
};

/* Values of arguments 1 and 2. */
struct arg_pair {
	uint16_t first, second;
};

/* Grouped by their first, to SYSCALL_PAIR_END. NULL for ARG_PAIRS_ANY. */
const struct arg_pair *syscall_pairs(enum arg_pairs which);

/* Does one of @pairs hold for these register values? The kernel looks at their low halves. */
bool syscall_pairs_hold(const struct arg_pair *pairs, const uint64_t args[static SYSCALL_ARGS]);
