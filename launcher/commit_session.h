/* Committing a session, for the verb and for the end of a run. */
#pragma once

#include <stdbool.h>

#include "launcher/session.h"
#include "rootfs/commit.h"

struct commit_wish {
	enum commit_layers
		layers; /* COMMIT_KEEPS: the session runs, and stands still (standstill.h) */
	const char *const *paths, *const *excludes; /* NULL-terminated; NULL all, none */
	const char *workspace;                      /* NULL: what session.json says */
	bool dry_run, interactive, yes, yes_executable, keep_setuid, json;
	bool unattended; /* ask nobody, even on a terminal */
};

/*
 * Looks, tells, asks where a person is there to answer, and commits. The caller holds the session's lock. The exit
 * code: 0, EXIT_CONFLICT, or EXIT_USAGE when nothing was done; 0 too when the person said no.
 */
int commit_session(const struct session *s, const struct commit_wish *wish);
/* Goes on with an interrupted commit. */
int commit_session_resume(const struct session *s);
/* Brings the host back as it was before the last commit. */
int commit_session_undo(const struct session *s, bool dry_run, bool yes, bool json);
