/*
 * The shape of a database statement: enough to tell reading from writing from
 * destroying. No parser of any dialect; it knows words, strings, comments and
 * parentheses, and reads any bytes safely.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sql_kind {              /* larger is graver; a text of several statements has the gravest */
		SQL_NONE,    /* empty */
		SQL_SESSION, /* BEGIN, SET, SHOW … */
		SQL_READ,
		SQL_UNKNOWN,
		SQL_WRITE,
		SQL_DEFINE,
		SQL_DELETE,
		SQL_DESTROY,
		SQL_KIND_COUNT,
};

struct sql_shape {
	enum sql_kind kind;
	float danger;    /* 0..1 */
	const char *why; /* static text, NULL where danger is 0 */
	size_t len;
};

/* Under the reading that makes it gravest. */
void sql_inspect(const char *statement, struct sql_shape *ret);

/* The same for statements that differ in literals, spacing and case only. */
uint64_t sql_fingerprint(const char *statement);

enum sql_token_kind { SQL_TOKEN_END, SQL_TOKEN_WORD, SQL_TOKEN_LITERAL, SQL_TOKEN_PUNCT };

struct sql_token {
	enum sql_token_kind kind;
	const char *text; /* borrowed; of a quoted identifier, without the quotes */
	size_t len;
	bool quoted; /* an identifier in quotes: never a keyword */
};

/*
 * The same bytes are different statements to different servers; who cannot know
 * which one listens must look at every reading and believe the gravest.
 */
enum sql_dialect {
	SQL_STANDARD,   /* a backslash in a string is a backslash */
	SQL_MYSQL,      /* it escapes; # begins a comment, -- only before a blank */
	SQL_MYSQL_ANSI, /* the same under ANSI_QUOTES: "" holds an identifier */
	SQL_DIALECT_COUNT,
};

/* The next token at *@cursor, which moves past it; comments and space are skipped. */
struct sql_token sql_next(const char **cursor, enum sql_dialect dialect);
