/* What rows of the table say of two arguments together: base/syscalls.h, host_sockets. */
#pragma once

#include <stdbool.h>

#include "base/syscalls.h"

enum {
	SYSCALL_PAIR_ANY = UINT16_MAX, /* as second: whatever it is */
	SYSCALL_PAIR_END = UINT16_MAX, /* as first: the list is over */
};

/* setsockopt(2): no other device, route or peer comes of these, and no message leaves by them. */
extern const struct arg_pair syscall_pairs_setsockopt[];

/* Does one of @pairs hold for these register values? The kernel looks at their low halves. */
bool syscall_pairs_hold(const struct arg_pair *pairs, const uint64_t args[static SYSCALL_ARGS]);
