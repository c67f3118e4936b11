/* Ending a running session, with every process in it. */
#pragma once

#include "launcher/session.h"

/* Returns once it is over: 0, also when it did not run, or EXIT_USAGE after a message. */
int session_end(struct session *s);
