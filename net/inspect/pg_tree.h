/* What a PostgreSQL statement does, by the server's own grammar (libpg_query). */
#pragma once

#include <stddef.h>

#include "net/wire/statement.h"

enum {
	PG_TREE_TEXT_MAX = 32 * 1024,      /* a longer text is told by its words, as unknown: what a
					      statement nested to the end costs grows by the square */
	PG_TREE_STACK = 256 * 1024 * 1024, /* what the caller's thread needs for the deepest text */
};

/* A wire_classify of net/wire/wire.h. What does not parse has STATEMENT_UNKNOWN. */
void pg_tree_classify(void *ctx, const char *text, size_t len, struct wire_statement *ret);
