/*
 * What the prepared statements of a PostgreSQL session stand for. A Parse or
 * Close counts from the moment the server has acknowledged it; until then both
 * what was and what may be are believed, and the graver decides.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/wire/bytes.h"

enum {
	PG_NAMES_MAX = 4096,               /* statements and open messages each */
	PG_NAMES_BYTES = 16 * 1024 * 1024, /* of text, together */
	PG_NAMES_TEXT_MAX = 32768,         /* of one statement; the rest is cut */
	PG_NAMES_BUCKETS = 64,
};

struct pg_name;
struct pg_op;

struct pg_names {
	struct pg_name *buckets[PG_NAMES_BUCKETS]; /* owned */
	struct pg_op *first, **last;               /* owned; what the server has not answered */
	unsigned count, ops;
	size_t bytes;
	uint64_t born;
};

void pg_names_finish(struct pg_names *n);

/* A Parse in message group @group. False: more than are kept; it must not go on. */
bool pg_names_parse(struct pg_names *n, const char *name, const char *text, size_t len,
		    uint32_t flags, uint64_t group);
/* PREPARE in SQL, which no message of its own acknowledges. */
bool pg_names_prepare(struct pg_names *n, const char *name, const char *text, size_t len,
		      uint32_t flags);
/* A Close; @name NULL: of a portal. */
bool pg_names_close(struct pg_names *n, const char *name, uint64_t group);

/* ParseComplete, CloseComplete. False: nothing that it could be the answer to. */
bool pg_names_parsed(struct pg_names *n);
bool pg_names_closed(struct pg_names *n);
/* Groups before @group are answered: what they did not acknowledge has not happened. */
void pg_names_ready(struct pg_names *n, uint64_t group);
/* DEALLOCATE ALL, DISCARD ALL. */
void pg_names_forget(struct pg_names *n);

/* Of all that @name may stand for; STATEMENT_UNKNOWN when nothing is known. */
uint32_t pg_names_flags(const struct pg_names *n, const char *name);
/* Appends the texts it may stand for, separated by ";\n". False: none. */
bool pg_names_text(const struct pg_names *n, const char *name, struct wire_bytes *out);
