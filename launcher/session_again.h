/* A session that has ended, for one more run over what it has kept. */
#pragma once

#include "launcher/session.h"

/*
 * May it be entered again? 0, or -errno with the reason: it runs, holds nothing, was attached to, is one of an image,
 * or a commit of it was interrupted.
 */
int session_again_check(const struct session *s, struct err *err);

/* Takes its lock, which is the caller's and must not be inherited: from now on it runs. 0, -errno. */
int session_again_lock(struct session *s, int *ret_lock, struct err *err);

/* The new run has begun: how the one before ended is not this one's end. */
void session_again_begun(const struct session *s);
