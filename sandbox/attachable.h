/*
 * Whether a running process can be put under supervision: one table of checks, read by attach,
 * before and while the process stands still, and by `doctor --pid`, which only looks.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "sandbox/proc.h"

struct attachable {
	pid_t pid;
	int dirfd; /* /proc/PID; owned */
	enum attachable_when { ATTACHABLE_RUNS, ATTACHABLE_STOPPED } when;
	char status[PROC_STATUS_SIZE];
};

/* 0, -ESRCH. To be finished. */
int attachable_open(pid_t pid, struct attachable *ret, struct err *err);
void attachable_finish(struct attachable *a);

struct attachable_check {
	const char *name;    /* NULL ends the table */
	const char *purpose; /* what would go wrong */
	/* 0 with a remark in @say, or -errno with the reason. */
	int (*run)(const struct attachable *a, struct err *say);
};
extern const struct attachable_check attachable_checks[];

/*
 * All of them for one process; the first that fails. ATTACHABLE_STOPPED: by us, thread by thread, which
 * says some things by itself.
 */
int attachable_check_all(pid_t pid, enum attachable_when when, struct err *err);

/* Has it filters of its own? They must be suspended while ours is put in. */
int attachable_filters(const struct attachable *a);
