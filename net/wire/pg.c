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
#include "net/wire/pg_private.h"

#include <stdio.h>
#include <string.h>

enum { PG_BIND_HEAD_MAX = 2 * STATEMENT_NAME_SIZE };

/* The name of a statement that nobody has. */
static const char refused_describe[] = PG_REFUSED_QUERY "_%016llx";

struct wire_bytes *pg_out(struct pg *pg, enum wire_side side)
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

void pg_put_error(struct pg *pg, const char *severity, const char *code, const char *why)
{
	char body[WIRE_WHY_SIZE + 64];
	char clean[WIRE_WHY_SIZE];

	wire_why(clean, sizeof(clean), why);
	int n = snprintf(body, sizeof(body), "S%s%cV%s%cC%s%cM%s%c", severity, 0, severity, 0, code,
			 0, clean, 0);
	put_message(pg_out(pg, WIRE_CLIENT), 'E', body, (size_t)n + 1);
}

void pg_die(struct pg *pg, const char *code, const char *why)
{
	pg_put_error(pg, "FATAL", code, why);
	wire_close(&pg->conn, why);
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

uint64_t pg_outstanding(const struct pg *pg)
{
	return pg->sent - pg->ready;
}

/* The messages the client may send now have to wait until the server has caught up. */
static bool stalled(const struct pg *pg)
{
	return pg_outstanding(pg) >= PG_GROUPS_MAX - 1 ||
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
		put_message(pg_out(pg, WIRE_SERVER), 'Q', PG_REFUSED_QUERY,
			    sizeof(PG_REFUSED_QUERY));
		group_end(pg, 'Q');
		return;
	}
	int n = snprintf(body + 1, sizeof(body) - 1, refused_describe,
			 (unsigned long long)pg->conn.setup.nonce);
	put_message(pg_out(pg, WIRE_SERVER), 'D', body, (size_t)n + 2);
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
		pg_die(pg, "08P01", "malformed Parse message");
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
	wire_bytes_put(pg_out(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	wire_bytes_clear(&pg->held);
	group_add(pg);
}

static void close_message(struct pg *pg)
{
	const char *body = (const char *)wire_bytes_at(&pg->held) + PG_HEAD;
	size_t len = pg->held.len - PG_HEAD;

	if (len < 2 || !memchr(body + 1, '\0', len - 1)) {
		pg_die(pg, "08P01", "malformed Close message");
		return;
	}
	if (!pg_names_close(&pg->names, *body == 'S' ? body + 1 : NULL, pg->sent)) {
		wire_close(&pg->conn, "more open Close messages than are kept");
		return;
	}
	wire_bytes_put(pg_out(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
	wire_bytes_clear(&pg->held);
	group_add(pg);
}

/* Lets the message in held go on, and what is still to come of its @size bytes. */
static void go_on(struct pg *pg, uint64_t size)
{
	wire_bytes_put(pg_out(pg, WIRE_SERVER), wire_bytes_at(&pg->held), pg->held.len);
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
	if (pg_outstanding(pg) && memchr(body, '\\', pg->held.len - PG_HEAD))
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
		pg_die(pg, "08P01", "malformed Query message");
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
	if (!pg_outstanding(pg) && !pg->due)
		return true;
	if (!pg->flushed)
		put_message(pg_out(pg, WIRE_SERVER), 'H', NULL, 0);
	pg->flushed = true;
	return false;
}

static void command(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	char type = (char)*wire_bytes_at(&pg->held);
	uint64_t size = held_size(pg);

	if (size < PG_HEAD) {
		pg_die(pg, "08P01", "malformed message");
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
		pg_die(pg, "08P01", "unknown message type");
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
			wire_bytes_put(pg_out(pg, WIRE_SERVER), *bytes, n);
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
			pg_die(pg, "08P01", "malformed message");
			return;
		}
		go_on(pg, size);
	}
}

static void feed_client(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	switch (pg->state) {
	case CLIENT_START:
		pg_feed_start(pg, bytes, len);
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

static size_t pg_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	struct pg *pg = (struct pg *)c;
	size_t before, given = len;

	/* What waits for the server is tried again, without new bytes too. */
	do {
		before = len + pg->held.len + (pg->conn.opaque ? 1 : 0);
		if (from == WIRE_SERVER && len)
			pg_feed_server(pg, &bytes, &len);
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
