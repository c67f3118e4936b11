/* How a connection to PostgreSQL begins: requests for TLS and GSS, cancel requests, the start-up message. */
#include "net/wire/pg_private.h"

#include <string.h>
#include <strings.h>

enum { PG_START_MAX = 10000 }; /* the server's own limit for a start-up message */

enum {
	CODE_V3 = 3,
	CODE_CANCEL = 80877102,
	CODE_TLS = 80877103,
	CODE_GSS = 80877104,
};

static bool truth(const char *value)
{
	return strcasecmp(value, "false") != 0 && strcasecmp(value, "off") != 0 &&
	       strcasecmp(value, "no") != 0 && strcmp(value, "0") != 0;
}

static bool copy_name(char *out, const char *value)
{
	size_t len = strlen(value);

	if (len >= WIRE_NAME_SIZE)
		return false;
	memcpy(out, value, len + 1);
	return true;
}

/* The parameters, "name\0value\0" …, "\0": a NUL stands before @end. */
static void start_up(struct pg *pg, const char *p, const char *end)
{
	char user[WIRE_NAME_SIZE] = "";

	while (p < end && *p) {
		const char *value = p + strlen(p) + 1;

		if (value >= end) {
			pg_die(pg, "08P01", "malformed start-up message");
			return;
		}
		char *into = strcmp(p, "database") == 0 ? pg->conn.database
			     : strcmp(p, "user") == 0   ? user
							: NULL;
		if (into && (*into || !copy_name(into, value))) {
			pg_die(pg, "08P01", "start-up parameter given twice, or too long");
			return;
		}
		if (strcmp(p, "replication") == 0 && truth(value)) {
			pg_die(pg, "0A000", "vsandbox: replication cannot be inspected");
			return;
		}
		p = value + strlen(value) + 1;
	}
	if (p != end - 1 || !*user) {
		pg_die(pg, "08P01", "malformed start-up message");
		return;
	}
	if (!*pg->conn.database)
		memcpy(pg->conn.database, user, sizeof(user));
	wire_bytes_put(pg_out(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	pg->state = CLIENT_AUTH;
}

static void start_message(struct pg *pg)
{
	const uint8_t *m = wire_bytes_at(&pg->held);
	uint32_t code = wire_be32(m + 4);

	if (code == CODE_TLS && pg->conn.setup.tls == WIRE_TLS_WHOLE && pg->held.len == 8) {
		wire_bytes_put(pg_out(pg, WIRE_SERVER), m, pg->held.len);
		pg->state = CLIENT_TLS_ASKED;
	} else if ((code == CODE_TLS || code == CODE_GSS) && pg->held.len == 8) {
		wire_bytes_put(pg_out(pg, WIRE_CLIENT), "N", 1);
	} else if (code == CODE_CANCEL) {
		/* Names a session by its secret key; all it can do is end that one's statement. */
		wire_bytes_put(pg_out(pg, WIRE_SERVER), m, pg->held.len);
		wire_close(&pg->conn, NULL);
	} else if (code >> 16 != CODE_V3) {
		pg_die(pg, "0A000", "vsandbox: only version 3 of the protocol can be inspected");
	} else if (pg->held.len == 8 || m[pg->held.len - 1] != '\0') {
		pg_die(pg, "08P01", "malformed start-up message");
	} else {
		start_up(pg, (const char *)m + 8, (const char *)m + pg->held.len);
	}
}

void pg_feed_start(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	if (!wire_bytes_fill(&pg->held, 8, bytes, len))
		return;
	uint32_t size = wire_be32(wire_bytes_at(&pg->held));

	if (size < 8 || size > PG_START_MAX) {
		wire_close(&pg->conn, "not PostgreSQL's protocol");
		return;
	}
	if (!wire_bytes_fill(&pg->held, size, bytes, len))
		return;
	start_message(pg);
	wire_bytes_clear(&pg->held);
}
