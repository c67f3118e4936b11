/* What left the sandbox, which no rollback brings back. */
#pragma once

#include <stdint.h>
#include <stdio.h>

enum external_format { EXTERNAL_TEXT, EXTERNAL_JSON };

/*
 * Prints the allowed network, API and database-write actions of a session's log from event @since on (0:
 * none are looked for), and of those that it goes on with (succession.h): lines under a heading, or a JSON
 * array of the events.
 */
void external_print(int session_dirfd, uint64_t since, FILE *f, enum external_format format);
