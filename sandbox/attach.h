/*
 * Our filter put into a process that runs already, its threads and its descendants, with a
 * listener of ours for each process. From the return on no thread of them makes a policy-relevant call
 * unasked.
 */
#pragma once

#include "sandbox/filter.h"
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct attached {
	pid_t pid;
	int listener_fd; /* owned */
};

struct attachment {
	struct attached *processes; /* owned; the first is the one that was named */
	unsigned count;
	unsigned threads;
	uint64_t stopped_ns; /* how long they stood still, from the first to the last */
};

/*
 * Attaches to @pid and all that descends from it, but for @skip (0-terminated). All or nothing: on an error
 * everything goes on as it was, unfiltered. One exception, which the kernel leaves no way around: what fails
 * between two processes (one is killed, memory runs out) leaves a filter in the first. Then the error is
 * -EUCLEAN and @ret holds the listeners, which must be answered with "continue" for as long as they last.
 */
int attach_tree(pid_t pid, const pid_t *skip, const struct filter *filter, struct attachment *ret,
		struct err *err);
