/* A session that goes on with what another began: the same container under an agent that was started anew. */
#pragma once

#include "base/err.h"
#include "launcher/session.h"

/*
 * Waits for the end of session @before, which is coming, and takes its journal, so that a rollback of @s
 * reaches back behind the change. The numbers of @s, in whose log there is nothing yet, go on behind those of
 * @before. 0 also when nothing was changed. -EBUSY: it does not end.
 */
int succession_take(const struct session *s, const char *before, struct err *err);

/* The session that the one in @session_dirfd goes on with: a descriptor of its directory, the caller's. -ENOENT: none. */
int succession_before(int session_dirfd);
