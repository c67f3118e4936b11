/*
 * A running session at rest, for a verb that needs its files to stay as they are: all of it is paused (control.h), and
 * goes on afterwards, unless a person had paused it. Meanwhile nobody else's command, and no vsandbox resume,
 * comes in between.
 *
 * Signals that end a program wait for the end of it; a question lets them through (term_answer). A verb that is
 * killed leaves the session paused.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "base/err.h"
#include "launcher/session.h"

enum { STANDSTILL_SIGNALS = 4 };

struct standstill {
	const struct session *session; /* borrowed */
	bool paused;                   /* a person had, before */
	int lock;                      /* session_work_lock; owned */
	sigset_t mask;
	struct sigaction actions[STANDSTILL_SIGNALS]; /* as they were */
};

/* 0; -EBUSY: another command is at work on it, or something in it does not come to a stop; -errno. */
int standstill_begin(const struct session *s, struct standstill *ret, struct err *err);
void standstill_end(struct standstill *st);

/* A session whose files stay as they are: it has ended and its lock is ours, or it stands still. */
struct at_rest {
	int lock; /* session_lock; owned; -1: it runs */
	struct standstill still;
};
int at_rest_begin(const struct session *s, struct at_rest *ret, struct err *err);
void at_rest_end(struct at_rest *r);
