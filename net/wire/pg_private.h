/* What the parts of PostgreSQL's protocol share: pg.c the client's side, pg_start.c its start-up, pg_server.c the server's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/wire/pg_names.h"
#include "net/wire/statement.h"
#include "net/wire/wire.h"

enum {
	PG_HEAD = 5,          /* type, length */
	PG_GROUPS_MAX = 1024, /* answered by nobody yet */
	PG_ERROR_MAX = 65536, /* of a message that is held whole */
};

/* A statement that always fails to parse: it goes in the place of one that was refused. */
#define PG_REFUSED_QUERY "vsandbox_refused"

enum client_state { CLIENT_START, CLIENT_TLS_ASKED, CLIENT_AUTH, CLIENT_READY };

struct pg {
	struct wire_conn conn;
	enum client_state state;
	struct wire_bytes held;  /* of the client's message that is being read */
	struct wire_bytes reply; /* of the server's message, where it is looked into */
	uint64_t pass, skip;     /* bytes of the client's message still to pass, to drop */
	uint64_t server_pass;
	struct wire_bytes text;      /* what is asked about, where it is not in held */
	struct wire_statement asked; /* of a Query that is asked about */

	/* Groups: a Query, a FunctionCall, or messages up to a Sync. */
	uint64_t sent, ready;        /* ended by the client; answered by ReadyForQuery */
	uint8_t kind[PG_GROUPS_MAX]; /* message that ended the group, by its number */
	bool open;                   /* messages since the last end */
	uint32_t due;                /* … not answered yet */
	bool flushed;                /* … and the server was asked to */
	bool failed;                 /* it has refused one: it skips the rest, up to Sync */
	bool bound;                  /* … and one of them was a Bind */
	bool refused;                /* … and one was refused: the rest is dropped, up to Sync */
	bool copy_in, copy_ended;

	/* Refusals whose error has not come back, by group. */
	struct {
		uint64_t group;
		char why[WIRE_WHY_SIZE];
	} refusal[8];
	unsigned refusals;
	struct pg_names names;
	bool plain_strings; /* standard_conforming_strings is on */
	bool safe_encoding; /* no byte of a character is an ASCII one */
};

/* What goes to @side. */
struct wire_bytes *pg_out(struct pg *pg, enum wire_side side);
/* ErrorResponse to the client. */
void pg_put_error(struct pg *pg, const char *severity, const char *code, const char *why);
/* Ends the connection as the server would, with a last word to the client. */
void pg_die(struct pg *pg, const char *code, const char *why);
/* Groups that the client has ended and the server not answered. */
uint64_t pg_outstanding(const struct pg *pg);

/* Bytes of the client before its start-up message is through; of the server. What is taken is advanced over. */
void pg_feed_start(struct pg *pg, const uint8_t **bytes, size_t *len);
void pg_feed_server(struct pg *pg, const uint8_t **bytes, size_t *len);
