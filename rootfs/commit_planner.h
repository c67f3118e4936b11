/* A plan in the making: what its two halves share. Private to rootfs/commit_plan.c and commit_check.c. */
#pragma once

#include <sys/stat.h>

#include "rootfs/commit_private.h"
#include "rootfs/origin.h"
#include "rootfs/upper.h"

/* One change of the walk, kept until all are known. */
struct seen {
	char *path; /* owned */
	enum change_kind kind;
	char letter;
	unsigned layer; /* place in the overlay */
	struct stat upper, lower;
	bool wanted;
	bool same; /* nothing differs, but it is one of several names of a file; see commit_plan.c */
};

struct planner {
	const struct commit_request *req;
	struct commit_plan *plan;
	struct origin_table origins;
	struct seen *seen; /* owned */
	size_t count, room;
	struct err *err;
	const char *home;
	bool failed; /* out of memory in a report */
};

/* Adds one to the plan's list. */
void commit_problem(struct planner *p, enum commit_problem_kind kind, const char *path,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* What speaks against one change that is wanted. */
void commit_check_change(struct planner *p, const struct seen *s);
/* What speaks against the choice as a whole: repositories and directories that cannot be parted. */
void commit_check_whole(struct planner *p);
