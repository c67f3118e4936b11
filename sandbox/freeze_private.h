/* What freeze.c and freeze_scan.c share. Private to them. */
#pragma once

#include "sandbox/freeze.h"

enum { FREEZE_TIDS = 1 << 22 }; /* PID_MAX_LIMIT of 64-bit kernels; pages are used as touched */

/* What is known of a task. From STOPPED on: stopped by us, plus the signal it is to get when let go. */
enum task_state {
	TASK_UNKNOWN,
	TASK_SPARED,   /* its call is in our hands */
	TASK_SEIZED,   /* on its way to a stop */
	TASK_SIGNALED, /* could not be seized; SIGSTOP stops it, SIGCONT is to follow */
	TASK_LEFT,     /* could not be seized and is in a stop of somebody else's */
	TASK_STOPPED = 128,
};

/* From now on @tid is in that state. 0; -ERANGE, -ENOMEM: it is forgotten. */
int freeze_note(struct freeze *f, pid_t tid, unsigned state);

/*
 * freeze_scan.c: one look at everything inside, which seizes what is not seized yet. True while something is not
 * still; @fresh: something new was met. *@ret_error: /proc cannot be looked through.
 */
bool freeze_scan(struct freeze *f, bool *fresh, int *ret_error);
