/*
 * What of a job outlives it: files below its directory that the pipeline names as artifacts or cache. They are
 * committed to the host like any change; all else of the session is dropped.
 */
#pragma once

#include "launcher/session.h"

struct json_object;

struct ci_harvest {
	const char *root; /* canonical directory of the job; nothing outside of it is taken */
	/* lists of patterns relative to it, as GitLab has them: * within a name, ** across names; borrowed */
	struct json_object *paths, *excludes;
};

/* Whether @path (relative, below the root) is named by @pattern, itself or by a directory above it. */
bool ci_harvest_match(const char *pattern, const char *path);

/*
 * Of an ended session. Nothing named .git is taken, no link that leads out of the root, nothing that the host has changed
 * meanwhile: what is left out is told on stderr. The number of changes made real, or -errno with nothing made.
 */
int ci_harvest(const struct session *s, const struct ci_harvest *h, struct err *err);
/* Drops what the session changed; its log is kept. */
int ci_drop(const struct session *s, struct err *err);
