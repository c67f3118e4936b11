/* Sessions as things that take up room: how much, and how one is taken away for good. */
#pragma once

#include <stdint.h>

#include "launcher/session.h"

struct session_store {
	uint64_t bytes;   /* disk space of the session's directory, overlay included */
	uint64_t changes; /* that were neither committed nor discarded */
	int64_t at;       /* when it ended, else started; seconds since the epoch, 0 unknown */
};

/* Looks at an opened or listed session. Best effort: what cannot be read counts as nothing. */
void session_store_look(const struct session *s, struct session_store *ret);

/* Disk space of a directory and all below it, in bytes; links are not followed. */
uint64_t store_bytes(int dirfd);

/*
 * Removes the session's directory. -EBUSY: somebody has it running or is at work on it; the lock
 * is held meanwhile, so that nobody begins to.
 */
int session_store_remove(int state_fd, const char *id, struct err *err);
