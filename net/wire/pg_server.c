/* What PostgreSQL's server says: answers are counted, errors of refused messages replaced. */
#include "net/wire/pg_private.h"

#include <string.h>
#include <strings.h>

/* The error of what went in a refused message's place: ours instead. False: another's. */
static bool replace_error(struct pg *pg)
{
	const char *m = (const char *)wire_bytes_at(&pg->reply);

	if (!pg->refusals || pg->refusal[0].group != pg->ready ||
	    !memmem(m, pg->reply.len, PG_REFUSED_QUERY, sizeof(PG_REFUSED_QUERY) - 1))
		return false;
	pg_put_error(pg, "ERROR", "42501", pg->refusal[0].why);
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
	uint64_t n = pg_outstanding(pg);
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

	if (pg_outstanding(pg) > 1 || pg->open)
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
		pg->failed = !pg_outstanding(pg) && pg->open;
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
	if (pg->due && !pg_outstanding(pg) && type && strchr("123TnCsI", type))
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
			wire_bytes_put(pg_out(pg, WIRE_CLIENT), wire_bytes_at(&pg->reply),
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
	wire_bytes_put(pg_out(pg, WIRE_CLIENT), head, pg->reply.len);
	pg->server_pass = size - 4;
	wire_bytes_clear(&pg->reply);
}

/* One byte answers the request for TLS. */
static void server_tls(struct pg *pg, const uint8_t **bytes, size_t *len)
{
	uint8_t said = **bytes;

	wire_bytes_put(pg_out(pg, WIRE_CLIENT), &said, 1);
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

void pg_feed_server(struct pg *pg, const uint8_t **bytes, size_t *len)
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

		wire_bytes_put(pg_out(pg, WIRE_CLIENT), *bytes, n);
		pg->server_pass -= n;
		*bytes += n;
		*len -= n;
		return;
	}
	if (wire_bytes_fill(&pg->reply, PG_HEAD, bytes, len))
		server_message(pg, bytes, len);
}
