/* The lines of a log, and how each says its hash. Private to base/eventlog*.c. */
#pragma once

#include <stddef.h>

#include "base/event.h"

#define EVENTLOG_FILE "events.jsonl"

/*
 * A line (without its newline) ends in ,"hash":"<64 digits>"}: the digits, and where that member begins. NULL
 * when it does not.
 */
const char *eventlog_line_hash(const char *line, size_t len, char ret[static HASH_HEX]);
