/* What the text of a statement does, by words: for dialects without a parser, and where that gives up. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/action.h"

enum {
	STATEMENT_NAMES = 4,      /* prepared statements that one text names */
	STATEMENT_NAME_SIZE = 64, /* PostgreSQL's own limit, with the NUL */
};

struct wire_statement {
	uint32_t flags;
	/* names that it prepares (PREPARE) and runs (EXECUTE); more than fit: STATEMENT_UNKNOWN */
	unsigned prepares_count, executes_count;
	char prepares[STATEMENT_NAMES][STATEMENT_NAME_SIZE];
	char executes[STATEMENT_NAMES][STATEMENT_NAME_SIZE];
};

/* PostgreSQL's text without its parser: what is not surely known has STATEMENT_UNKNOWN. */
void statement_words(const char *text, size_t len, struct wire_statement *ret);

/*
 * MySQL's and MariaDB's: reads and session statements are those whose form is
 * known; all else has at least STATEMENT_UNKNOWN. @text is NUL-terminated at @len.
 */
uint32_t statement_mysql(const char *text, size_t len);

/* The database that the last USE of the text names, borrowed, or NULL. */
const char *statement_mysql_use(const char *text, size_t *ret_len);
