/*
 * PostgreSQL's protocol, version 3, as far as deciding needs it.
 *
 * Theory of operation
 *
 *   CLIENT_START    length, code: TLS and GSS requests are answered 'N', a start-up
 *                   message is read and goes on, a cancel request passes
 *   CLIENT_AUTH     only 'p' (passwords, SASL) passes, until the server's first
 *                   ReadyForQuery
 *   CLIENT_READY    commands
 *
 * What executes is asked about when it executes: Query by its text, Bind by the
 * text its statement was parsed from, FunctionCall as such. Parse, Describe,
 * Execute and Sync pass: they execute nothing that was not asked about.
 *
 * A refused message never reaches the server. One that must fail goes in its
 * place, and the server's error is replaced by ours. So the transaction fails, the
 * rest up to Sync is skipped, and ReadyForQuery comes in step, all as of the
 * server's own errors.
 *
 * Which statement a name stands for is what the server has acknowledged
 * (ParseComplete, CloseComplete), and until it has, what was and what may be. The
 * groups of messages, each ended by one ReadyForQuery, are counted on both sides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/wire/pg_names.h"
#include "net/wire/statement.h"
#include "net/wire/wire.h"

enum {
	PG_START_MAX = 10000, /* the server's own limit for a start-up message */
	PG_HEAD = 5,          /* type, length */
	PG_GROUPS_MAX = 1024, /* answered by nobody yet */
	PG_ERROR_MAX = 65536,
	PG_BIND_HEAD_MAX = 2 * STATEMENT_NAME_SIZE,
};

enum {
	CODE_V3 = 3,
	CODE_CANCEL = 80877102,
	CODE_TLS = 80877103,
	CODE_GSS = 80877104,
};

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

/* A statement that always fails to parse; and the name of a statement that nobody has. */
static const char refused_query[] = "vsandbox_refused";
static const char refused_describe[] = "vsandbox_refused_%016llx";

static struct wire_bytes *to(struct pg *pg, enum wire_side side)
{
	return &pg->conn.out[side];
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* One message of @type with @len bytes of body. */
static void put_message(struct wire_bytes *out, char type, const void *body, size_t len)
{
	uint8_t head[PG_HEAD] = { (uint8_t)type };

	put_be32(head + 1, (uint32_t)len + 4);
	wire_bytes_put(out, head, sizeof(head));
	wire_bytes_put(out, body, len);
}

static void put_error(struct pg *pg, const char *severity, const char *code, const char *why)
{
	char body[WIRE_WHY_SIZE + 64];
	char clean[WIRE_WHY_SIZE];

	wire_why(clean, sizeof(clean), why);
	int n = snprintf(body, sizeof(body), "S%s%cV%s%cC%s%cM%s%c", severity, 0, severity, 0, code,
			 0, clean, 0);
	put_message(to(pg, WIRE_CLIENT), 'E', body, (size_t)n + 1);
}

/* Ends the connection as the server would, with a last word to the client. */
static void die(struct pg *pg, const char *code, const char *why)
{
	put_error(pg, "FATAL", code, why);
	wire_close(&pg->conn, why);
}

/* Start-up */

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
			die(pg, "08P01", "malformed start-up message");
			return;
		}
		char *into = strcmp(p, "database") == 0 ? pg->conn.database
			     : strcmp(p, "user") == 0   ? user
							: NULL;
		if (into && (*into || !copy_name(into, value))) {
			die(pg, "08P01", "start-up parameter given twice, or too long");
			return;
		}
		if (strcmp(p, "replication") == 0 && truth(value)) {
			die(pg, "0A000", "vsandbox: replication cannot be inspected");
			return;
		}
		p = value + strlen(value) + 1;
	}
	if (p != end - 1 || !*user) {
		die(pg, "08P01", "malformed start-up message");
		return;
	}
	if (!*pg->conn.database)
		memcpy(pg->conn.database, user, sizeof(user));
	wire_bytes_put(to(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	pg->state = CLIENT_AUTH;
}

static void start_message(struct pg *pg)
{
	const uint8_t *m = wire_bytes_at(&pg->held);
	uint32_t code = wire_be32(m + 4);

	if (code == CODE_TLS && pg->conn.setup.tls == WIRE_TLS_WHOLE && pg->held.len == 8) {
		wire_bytes_put(to(pg, WIRE_SERVER), m, pg->held.len);
		pg->state = CLIENT_TLS_ASKED;
	} else if ((code == CODE_TLS || code == CODE_GSS) && pg->held.len == 8) {
		wire_bytes_put(to(pg, WIRE_CLIENT), "N", 1);
	} else if (code == CODE_CANCEL) {
		/* Names a session by its secret key; all it can do is end that one's statement. */
		wire_bytes_put(to(pg, WIRE_SERVER), m, pg->held.len);
		wire_close(&pg->conn, NULL);
	} else if (code >> 16 != CODE_V3) {
		die(pg, "0A000", "vsandbox: only version 3 of the protocol can be inspected");
	} else if (pg->held.len == 8 || m[pg->held.len - 1] != '\0') {
		die(pg, "08P01", "malformed start-up message");
	} else {
		start_up(pg, (const char *)m + 8, (const char *)m + pg->held.len);
	}
}

static void feed_start(struct pg *pg, const uint8_t **bytes, size_t *len)
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

/* Groups */

static void group_end(struct pg *pg, char type)
{
	pg->kind[pg->sent % PG_GROUPS_MAX] = (uint8_t)type;
	pg->sent++;
	pg->open = pg->bound = pg->refused = pg->failed = pg->flushed = false;
	pg->due = 0;
}

/* A message of a group that goes on, and that the server answers with one of its own. */
static void group_add(struct pg *pg)
{
	pg->open = true;
	pg->flushed = false;
	pg->due++;
}

static uint64_t outstanding(const struct pg *pg)
{
	return pg->sent - pg->ready;
}

/* The messages the client may send now have to wait until the server has caught up. */
static bool stalled(const struct pg *pg)
{
	return outstanding(pg) >= PG_GROUPS_MAX - 1 ||
	       pg->refusals == sizeof(pg->refusal) / sizeof(pg->refusal[0]);
}

/* Refusals */

static void refuse(struct pg *pg, char type, const char *why)
{
	char body[64] = "S";

	pg->refusal[pg->refusals].group = pg->sent;
	wire_why(pg->refusal[pg->refusals].why, WIRE_WHY_SIZE, why);
	pg->refusals++;
	if (type == 'Q' || type == 'F') {
		put_message(to(pg, WIRE_SERVER), 'Q', refused_query, sizeof(refused_query));
		group_end(pg, 'Q');
		return;
	}
	int n = snprintf(body + 1, sizeof(body) - 1, refused_describe,
			 (unsigned long long)pg->conn.setup.nonce);
	put_message(to(pg, WIRE_SERVER), 'D', body, (size_t)n + 2);
	group_add(pg);
	pg->refused = true;
}

/* Drops the message that begins in held, of @size bytes in all, and refuses it. */
static void refuse_message(struct pg *pg, uint64_t size, const char *why)
{
	char type = (char)*wire_bytes_at(&pg->held);

	pg->skip = size - pg->held.len;
	wire_bytes_clear(&pg->held);
	refuse(pg, type, why);
}

/* Questions */

static void classify(struct pg *pg, const char *text, size_t len, struct wire_statement *st)
{
	if (pg->conn.setup.classify)
		pg->conn.setup.classify(pg->conn.setup.classify_ctx, text, len, st);
	else
		statement_words(text, len, st);
	/* A backslash may end a string elsewhere than the parser, who knows no settings, believes. */
	if (!memchr(text, '\\', len))
		return;
	bool ascii = true;
	for (size_t i = 0; i < len && ascii; i++)
		ascii = (unsigned char)text[i] < 0x80;
	if (!pg->plain_strings || pg->bound || (!ascii && !pg->safe_encoding))
		st->flags |= STATEMENT_UNKNOWN;
}

static uint32_t resolve(const struct pg *pg, const struct wire_statement *st)
{
	uint32_t flags = st->flags;

	for (unsigned i = 0; i < st->executes_count; i++)
		flags |= pg_names_flags(&pg->names, st->executes[i]);
	return flags;
}

static void note_prepares(struct pg *pg, const char *text, size_t len,
			  const struct wire_statement *st)
{
	for (unsigned i = 0; i < st->prepares_count; i++)
		if (!pg_names_prepare(&pg->names, st->prepares[i], text, len, st->flags)) {
			wire_close(&pg->conn, "more prepared statements than are kept");
			return;
		}
}

static void ask_query(struct pg *pg)
{
	const char *text = (const char *)wire_bytes_at(&pg->held) + PG_HEAD;
	size_t len = pg->held.len - PG_HEAD - 1;

	classify(pg, text, len, &pg->asked);
	wire_ask(&pg->conn, resolve(pg, &pg->asked), text, len);
}

/* The text of each statement that @name may stand for. */
static void ask_bind(struct pg *pg, const char *name)
{
	uint32_t flags = pg_names_flags(&pg->names, name);

	wire_bytes_clear(&pg->text);
	if (!pg_names_text(&pg->names, name, &pg->text)) {
		/* PREPAREd where it was not seen: within a function, a DO. */
		wire_bytes_put(&pg->text, "EXECUTE ", 8);
		wire_bytes_put(&pg->text, name, strlen(name));
	}
	wire_bytes_put(&pg->text, "", 1);
	if (pg->text.failed) {
		wire_close(&pg->conn, "out of memory");
		return;
	}
	wire_ask(&pg->conn, flags, (const char *)wire_bytes_at(&pg->text), pg->text.len - 1);
}

static void parse(struct pg *pg)
{
	const char *name = (const char *)wire_bytes_at(&pg->held) + PG_HEAD;
	const char *end = (const char *)wire_bytes_at(&pg->held) + pg->held.len;
	const char *text = name + strnlen(name, (size_t)(end - name)) + 1;
	struct wire_statement st;

	if (text >= end || !memchr(text, '\0', (size_t)(end - text))) {
		die(pg, "08P01", "malformed Parse message");
		return;
	}
	size_t len = strlen(text);
	classify(pg, text, len, &st);
	st.flags = resolve(pg, &st);
	if (strlen(name) >= STATEMENT_NAME_SIZE) {
		refuse_message(pg, pg->held.len, "vsandbox: statement name too long");
		return;
	}
	if (!pg_names_parse(&pg->names, name, text, len, st.flags, pg->sent)) {
		refuse_message(pg, pg->held.len,
			       "vsandbox: more prepared statements than are kept");
		return;
	}
	note_prepares(pg, text, len, &st);
	wire_bytes_put(to(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	wire_bytes_clear(&pg->held);
	group_add(pg);
}

static void close_message(struct pg *pg)
{
	const char *body = (const char *)wire_bytes_at(&pg->held) + PG_HEAD;
	size_t len = pg->held.len - PG_HEAD;

	if (len < 2 || !memchr(body + 1, '\0', len - 1)) {
		die(pg, "08P01", "malformed Close message");
		return;
	}
	if (!pg_names_close(&pg->names, *body == 'S' ? body + 1 : NULL, pg->sent)) {
		wire_close(&pg->conn, "more open Close messages than are kept");
		return;
	}
	wire_bytes_put(to(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	wire_bytes_clear(&pg->held);
	group_add(pg);
}

/* Lets the message in held go on, and what is still to come of its @size bytes. */
static void go_on(struct pg *pg, uint64_t size)
{
	wire_bytes_put(to(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	pg->pass = size - pg->held.len;
	wire_bytes_clear(&pg->held);
}

static uint64_t held_size(const struct pg *pg)
{
	return (uint64_t)wire_be32(wire_bytes_at(&pg->held) + 1) + 1;
}

static void pg_answer(struct wire_conn *c, bool allowed, const char *why)
{
	struct pg *pg = (struct pg *)c;
	uint64_t size = held_size(pg);
	char type = (char)*wire_bytes_at(&pg->held);

	if (!allowed) {
		refuse_message(pg, size, why);
		return;
	}
	if (type == 'Q')
		note_prepares(pg, (const char *)wire_bytes_at(&pg->held) + PG_HEAD,
			      pg->held.len - PG_HEAD - 1, &pg->asked);
	pg->copy_ended = false;
	go_on(pg, size);
	if (type == 'B') {
		group_add(pg);
		pg->bound = true;
	} else {
		group_end(pg, type);
	}
}

/* Commands */

/* Messages that are decided on as a whole. */
static void whole_message(struct pg *pg, uint64_t size, const uint8_t **bytes, size_t *len)
{
	char type = (char)*wire_bytes_at(&pg->held);

	if (size > WIRE_HELD_MAX) {
		refuse_message(pg, size, "vsandbox: statement too long to be inspected");
		return;
	}
	if (!wire_bytes_fill(&pg->held, (size_t)size, bytes, len))
		return;
	const uint8_t *body = wire_bytes_at(&pg->held) + PG_HEAD;
	/* Whether its strings are what they seem may hang on statements still under way. */
	if (outstanding(pg) && memchr(body, '\\', pg->held.len - PG_HEAD))
		return;
	if (type == 'C') {
		close_message(pg);
		return;
	}
	if (type == 'P') {
		parse(pg);
		return;
	}
	if (type == 'F') { /* by the number of the function: large objects, and who knows what */
		wire_ask(&pg->conn, STATEMENT_UNKNOWN, "FunctionCall", 12);
		return;
	}
	if (pg->held.len == PG_HEAD ||
	    strnlen((const char *)body, pg->held.len - PG_HEAD) != pg->held.len - PG_HEAD - 1) {
		die(pg, "08P01", "malformed Query message");
		return;
	}
	ask_query(pg);
}

/* Bind: the two names it begins with are enough; its values may be long. */
static void bind_message(struct pg *pg, uint64_t size, const uint8_t **bytes, size_t *len)
{
	uint64_t most = size < PG_HEAD + PG_BIND_HEAD_MAX ? size : PG_HEAD + PG_BIND_HEAD_MAX;

	if (!wire_bytes_fill(&pg->held, (size_t)most, bytes, len))
		return;
	const char *portal = (const char *)wire_bytes_at(&pg->held) + PG_HEAD;
	const char *end = portal + (most - PG_HEAD);
	const char *name = portal + strnlen(portal, (size_t)(end - portal)) + 1;
	if (name >= end || !memchr(name, '\0', (size_t)(end - name))) {
		refuse_message(pg, size, "vsandbox: statement name too long");
		return;
	}
	if (strlen(name) >= STATEMENT_NAME_SIZE) {
		refuse_message(pg, size, "vsandbox: statement name too long");
		return;
	}
	ask_bind(pg, name);
}

static void sync_message(struct pg *pg, uint64_t size)
{
	bool counts = !pg->copy_in; /* while it reads COPY data the server ignores them */

	go_on(pg, size);
	if (counts)
		group_end(pg, 'S');
}

/*
 * A Query that ends a group without Sync: the server runs it when all before went
 * well, and skips it when not. So it waits until that is known. False: not yet, or
 * the message was skipped.
 */
static bool group_settled(struct pg *pg, uint64_t size)
{
	if (pg->failed) {
		pg->skip = size - pg->held.len;
		wire_bytes_clear(&pg->held);
		return false;
	}
	if (!outstanding(pg) && !pg->due)
		return true;
	if (!pg->flushed)
		put_message(to(pg, WIRE_SERVER), 'H', NULL, 0);
	pg->flushed = true;
	return false;
}

static void command(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	char type = (char)*wire_bytes_at(&pg->held);
	uint64_t size = held_size(pg);

	if (size < PG_HEAD) {
		die(pg, "08P01", "malformed message");
		return;
	}
	if (pg->refused && type != 'S' && type != 'X' && strchr("PBDECHdcf", type)) {
		pg->skip = size - pg->held.len;
		wire_bytes_clear(&pg->held);
		return;
	}
	if (strchr("QFPBCS", type) && stalled(pg))
		return;
	switch (type) {
	case 'Q':
	case 'F':
		if (!pg->open || group_settled(pg, size))
			whole_message(pg, size, bytes, len);
		return;
	case 'P':
	case 'C':
		whole_message(pg, size, bytes, len);
		return;
	case 'B':
		bind_message(pg, size, bytes, len);
		return;
	case 'S':
		sync_message(pg, size);
		return;
	case 'E':
		pg->copy_ended = false;
		group_add(pg);
		go_on(pg, size);
		return;
	case 'D':
		group_add(pg);
		go_on(pg, size);
		return;
	case 'c':
	case 'f':
		pg->copy_in = false;
		pg->copy_ended = true;
		go_on(pg, size);
		return;
	case 'd':
	case 'H':
	case 'X':
		go_on(pg, size);
		return;
	default:
		die(pg, "08P01", "unknown message type");
		return;
	}
}

static void feed_ready(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	size_t n;

	if (pg->pass || pg->skip) {
		uint64_t *left = pg->pass ? &pg->pass : &pg->skip;

		n = *left < *len ? (size_t)*left : *len;
		if (pg->pass)
			wire_bytes_put(to(pg, WIRE_SERVER), *bytes, n);
		*left -= n;
		*bytes += n;
		*len -= n;
		return;
	}
	if (wire_bytes_fill(&pg->held, PG_HEAD, bytes, len))
		command(pg, bytes, len);
}

/* Passwords and SASL; the server says how many. */
static void feed_auth(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	if (pg->pass) {
		feed_ready(pg, bytes, len);
		return;
	}
	if (pg->held.len == 0 && *len && **bytes != 'p' && **bytes != 'X')
		return; /* waits for the server to be ready */
	if (wire_bytes_fill(&pg->held, PG_HEAD, bytes, len)) {
		uint64_t size = held_size(pg);

		if (size < PG_HEAD || size > PG_ERROR_MAX) {
			die(pg, "08P01", "malformed message");
			return;
		}
		go_on(pg, size);
	}
}

static void feed_client(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	switch (pg->state) {
	case CLIENT_START:
		feed_start(pg, bytes, len);
		return;
	case CLIENT_TLS_ASKED:
		return; /* the server answers first */
	case CLIENT_AUTH:
		feed_auth(pg, bytes, len);
		return;
	case CLIENT_READY:
		feed_ready(pg, bytes, len);
		return;
	}
}

/* The server */

/* The error of what went in a refused message's place: ours instead. False: another's. */
static bool replace_error(struct pg *pg)
{
	const char *m = (const char *)wire_bytes_at(&pg->reply);

	if (!pg->refusals || pg->refusal[0].group != pg->ready ||
	    !memmem(m, pg->reply.len, refused_query, sizeof(refused_query) - 1))
		return false;
	put_error(pg, "ERROR", "42501", pg->refusal[0].why);
	return true;
}

static void server_ready(struct pg *pg)
{
	unsigned kept = 0;

	if (pg->state == CLIENT_AUTH) {
		pg->state = CLIENT_READY;
		return;
	}
	if (pg->ready == pg->sent) {
		wire_close(&pg->conn, "the server answers what was not asked");
		return;
	}
	pg->ready++;
	pg->copy_in = false;
	pg_names_ready(&pg->names, pg->ready);
	for (unsigned i = 0; i < pg->refusals; i++)
		if (pg->refusal[i].group >= pg->ready)
			pg->refusal[kept++] = pg->refusal[i];
	pg->refusals = kept;
}

/*
 * The server reads COPY data now and ignores each Sync meanwhile: a group that a
 * Sync had ended is open again. What was sent behind it cannot be counted.
 */
static void server_copies(struct pg *pg)
{
	uint64_t n = outstanding(pg);
	char kind = n ? (char)pg->kind[pg->ready % PG_GROUPS_MAX] : 'E';

	if (n > 1 || (n == 1 && pg->open)) {
		wire_close(&pg->conn, "statements sent behind a COPY");
		return;
	}
	if (kind == 'S') {
		pg->sent--;
		pg->open = true;
	}
	pg->copy_in = !pg->copy_ended;
}

static void server_setting(struct pg *pg)
{
	static const char *const unsafe[] = { "SJIS",  "BIG5",           "GBK",     "UHC",
					      "JOHAB", "SHIFT_JIS_2004", "GB18030", NULL };
	const char *name = (const char *)wire_bytes_at(&pg->reply) + PG_HEAD;
	const char *end = (const char *)wire_bytes_at(&pg->reply) + pg->reply.len;
	const char *value = name + strnlen(name, (size_t)(end - name)) + 1;

	if (value >= end || !memchr(value, '\0', (size_t)(end - value))) {
		wire_close(&pg->conn, "malformed ParameterStatus");
		return;
	}
	if (strcmp(name, "standard_conforming_strings") == 0)
		pg->plain_strings = strcmp(value, "on") == 0;
	if (strcmp(name, "client_encoding") == 0) {
		pg->safe_encoding = true;
		for (unsigned i = 0; unsafe[i]; i++)
			if (strcasecmp(value, unsafe[i]) == 0)
				pg->safe_encoding = false;
	}
}

/* What is pipelined behind may have named statements again, which are kept. */
static void server_tag(struct pg *pg)
{
	static const char *const all[] = { "DEALLOCATE ALL", "DISCARD ALL", NULL };
	const char *tag = (const char *)wire_bytes_at(&pg->reply) + PG_HEAD;
	size_t len = pg->reply.len - PG_HEAD;

	if (outstanding(pg) > 1 || pg->open)
		return;
	for (unsigned i = 0; all[i]; i++)
		if (len == strlen(all[i]) + 1 && memcmp(tag, all[i], len) == 0)
			pg_names_forget(&pg->names);
}

/* A message of the server that is looked into. False: it is not to go on. */
static bool server_whole(struct pg *pg, char type)
{
	switch (type) {
	case 'Z':
		server_ready(pg);
		return !pg->conn.closing;
	case 'E':
		pg->copy_in = false;
		pg->failed = !outstanding(pg) && pg->open;
		return !replace_error(pg);
	case 'S':
		server_setting(pg);
		return true;
	default:
		server_tag(pg);
		return true;
	}
}

static bool looked_into(const struct pg *pg, char type, uint32_t size)
{
	switch (type) {
	case 'Z':
	case 'S':
	case 'E':
		return true;
	case 'C':
		return size <= 4 + sizeof("DEALLOCATE ALL") && pg->state == CLIENT_READY;
	default:
		return false;
	}
}

/* The one message that ends the server's answer to a Parse, Bind, Close, Describe or Execute. */
static void count_answer(struct pg *pg, char type)
{
	if (pg->due && !outstanding(pg) && type && strchr("123TnCsI", type))
		pg->due--;
}

static void server_message(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	const uint8_t *head = wire_bytes_at(&pg->reply);
	char type = (char)*head;
	uint32_t size = wire_be32(head + 1);

	if (size < 4) {
		wire_close(&pg->conn, "malformed message of the server");
		return;
	}
	if (looked_into(pg, type, size)) {
		if (size > PG_ERROR_MAX) {
			wire_close(&pg->conn, "message of the server too long");
			return;
		}
		if (!wire_bytes_fill(&pg->reply, (size_t)size + 1, bytes, len))
			return;
		count_answer(pg, type);
		if (server_whole(pg, type))
			wire_bytes_put(to(pg, WIRE_CLIENT), wire_bytes_at(&pg->reply),
				       pg->reply.len);
		wire_bytes_clear(&pg->reply);
		return;
	}
	count_answer(pg, type);
	if (type == '1' && !pg_names_parsed(&pg->names)) {
		wire_close(&pg->conn, "ParseComplete for no Parse");
		return;
	}
	if (type == '3' && !pg_names_closed(&pg->names)) {
		wire_close(&pg->conn, "CloseComplete for no Close");
		return;
	}
	if (type == 'G')
		server_copies(pg);
	if (type == 'W') { /* COPY in both directions is the replication protocol's */
		wire_close(&pg->conn, "the server speaks the replication protocol");
		return;
	}
	wire_bytes_put(to(pg, WIRE_CLIENT), head, pg->reply.len);
	pg->server_pass = size - 4;
	wire_bytes_clear(&pg->reply);
}

/* One byte answers the request for TLS. */
static void server_tls(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	uint8_t said = **bytes;

	wire_bytes_put(to(pg, WIRE_CLIENT), &said, 1);
	(*bytes)++;
	(*len)--;
	if (said == 'S') {
		pg->conn.opaque = true;
		if (*len) /* in clear behind the 'S': an attack known as buffer stuffing */
			wire_close(&pg->conn, "bytes in clear behind the start of TLS");
	} else if (said == 'N') {
		pg->state = CLIENT_START;
	} else {
		wire_close(&pg->conn, "malformed answer to the request for TLS");
	}
}

static void feed_server(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	if (pg->state == CLIENT_TLS_ASKED) {
		server_tls(pg, bytes, len);
		return;
	}
	if (pg->state == CLIENT_START) {
		wire_close(&pg->conn, "the server speaks first: not PostgreSQL's protocol");
		return;
	}
	if (pg->server_pass) {
		size_t n = pg->server_pass < *len ? (size_t)pg->server_pass : *len;

		wire_bytes_put(to(pg, WIRE_CLIENT), *bytes, n);
		pg->server_pass -= n;
		*bytes += n;
		*len -= n;
		return;
	}
	if (wire_bytes_fill(&pg->reply, PG_HEAD, bytes, len))
		server_message(pg, bytes, len);
}

static size_t pg_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	struct pg *pg = (struct pg *)c;
	size_t before, given = len;

	/* What waits for the server is tried again, without new bytes too. */
	do {
		before = len + pg->held.len + (pg->conn.opaque ? 1 : 0);
		if (from == WIRE_SERVER && len)
			feed_server(pg, &bytes, &len);
		else if (from == WIRE_CLIENT && (len || pg->held.len))
			feed_client(pg, &bytes, &len);
	} while (len && !c->closing && !c->opaque && !(c->asking && from == WIRE_CLIENT) &&
		 before != len + pg->held.len);
	if (pg->held.failed || pg->reply.failed || pg->text.failed)
		wire_close(c, "out of memory");
	return given - len;
}

static void pg_finish(struct wire_conn *c)
{
	struct pg *pg = (struct pg *)c;

	wire_bytes_finish(&pg->held);
	wire_bytes_finish(&pg->reply);
	wire_bytes_finish(&pg->text);
	pg_names_finish(&pg->names);
}

const struct wire_protocol wire_pg = {
	.name = "postgresql",
	.size = sizeof(struct pg),
	.feed = pg_feed,
	.answer = pg_answer,
	.finish = pg_finish,
};
