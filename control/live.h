/*
 * Calls that wait: for a command, for its result, for the next event. A waiting call holds no
 * thread: its connection is set aside, and looked at again when something was written or its time is up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/store.h"

struct live;

/* Starts the thread that wakes. */
struct live *live_new(struct store *store);
/* Resumes all, so that the daemon can stop. */
void live_stop(struct live *l);
void live_free(struct live *l);

/* Something that a call may wait for was written by this process (of other servers, what is fed is seen within a quarter second). */
void live_wrote(struct live *l);
/* Sets @connection (an MHD_Connection) aside until the next write or @until_us, whichever is first. */
void live_wait(struct live *l, void *connection, int64_t until_us);
