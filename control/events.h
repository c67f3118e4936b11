/*
 * GET /api/events: what happens, as it happens.
 *
 * Theory of operation. One thread reads what is new in the store, ten times a second (once while nobody
 * listens, and after a minute of that not at all), and puts it into a ring; every stream is a place in that ring, so a hundred listeners cost the
 * store as much as one. A stream that has nothing to say holds no thread. Who was away for longer than the ring
 * reaches, or reads too slowly, is told so by an event "gap" and has to read the lists again: nothing is left
 * out in silence. A stream ends after a minute, so that whoever resumes it has to show a key that still works.
 */
#pragma once

#include <stdbool.h>

#include "control/store.h"

struct events;

/* Starts the thread that reads. */
struct events *events_new(struct store *store);
/* Ends all streams, so that the daemon can stop. */
void events_stop(struct events *e);
void events_free(struct events *e);

/* Answers @connection (an MHD_Connection) with the stream. False: there are too many, or no memory. */
bool events_answer(struct events *e, void *connection);
