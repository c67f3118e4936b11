/* Jobs of vsandbox-archive, as its answers are read here: progress on a terminal, entries, one result. */
#pragma once

#include "base/err.h"

struct json_object;

struct archive_job {
	const char *const *args; /* as siblings/archive.c lists them; NULL-terminated */
	int fds[3];              /* become 3, 4; -1 ends the list */
	const char *doing;       /* what progress is called; NULL: none is shown */
	int (*entry)(struct json_object *o, void *arg); /* for each "entry"; NULL none expected */
	void *arg;
};

/* @ret: what the program says it did; owned by the caller; NULL it did not say. 0, -errno. */
int archive_run(const struct archive_job *job, struct json_object **ret, struct err *err);
