/*
 * MySQL's and MariaDB's protocol, as far as deciding needs it.
 *
 * Theory of operation
 *
 *   GREETING   the server's first packet: the capabilities that would take the
 *              statements out of sight (TLS, compression, LOAD DATA LOCAL, other
 *              layouts of commands and results) are taken out of it
 *   LOGIN      the client's answer; what it chose must be among what was offered
 *   AUTH       one packet of each side in turn, until the server's OK
 *   COMMAND    the client may send a command
 *   REPLY      the server answers; what the client sends meanwhile waits
 *
 * One command is under way at a time, so a refused one, which never reaches the
 * server, is answered with an ERR packet of ours at once, and in step.
 */
#include <stdlib.h>
#include <string.h>

#include "net/wire/mysql_private.h"

/* What goes to @side. */
static struct wire_bytes *out_to(struct mysql *my, enum wire_side side)
{
	return &my->conn.out[side];
}

void mysql_put_le24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
}

/* ER_TABLEACCESS_DENIED_ERROR, as for a user without the right. */
static void put_error(struct mysql *my, uint8_t sequence, const char *why)
{
	uint8_t head[MYSQL_HEAD + 3] = { [3] = sequence, [4] = 0xff, 0x76, 0x04 };
	char clean[WIRE_WHY_SIZE];

	wire_why(clean, sizeof(clean), why);
	mysql_put_le24(head, (uint32_t)(3 + 6 + strlen(clean)));
	wire_bytes_put(out_to(my, WIRE_CLIENT), head, sizeof(head));
	wire_bytes_put(out_to(my, WIRE_CLIENT), "#42000", 6);
	wire_bytes_put(out_to(my, WIRE_CLIENT), clean, strlen(clean));
}

void mysql_refuse(struct mysql *my, const char *why)
{
	uint8_t sequence = wire_bytes_at(&my->held)[3];

	wire_bytes_clear(&my->held);
	put_error(my, (uint8_t)(sequence + 1), why);
}

void mysql_pass(struct mysql *my)
{
	wire_bytes_put(out_to(my, WIRE_SERVER), wire_bytes_at(&my->held), my->held.len);
	wire_bytes_clear(&my->held);
}

/* The client's packets */

static void client_skip(struct mysql *my, const uint8_t **bytes, size_t *len)
{
	size_t n = my->skip < *len ? (size_t)my->skip : *len;

	*bytes += n;
	*len -= n;
	my->skip -= n;
}

static bool client_may_speak(const struct mysql *my)
{
	return my->state == LOGIN || my->state == AUTH_CLIENT || my->state == COMMAND;
}

static void client_packet(struct mysql *my)
{
	switch (my->state) {
	case LOGIN:
		mysql_login(my);
		return;
	case AUTH_CLIENT:
		mysql_pass(my);
		my->state = AUTH_SERVER;
		return;
	case COMMAND:
		mysql_command(my);
		return;
	case GREETING:
	case AUTH_SERVER:
	case REPLY:
		return;
	}
}

static void feed_client(struct mysql *my, const uint8_t **bytes, size_t *len)
{
	if (my->skip) {
		client_skip(my, bytes, len);
		return;
	}
	if (!client_may_speak(my) || !wire_bytes_fill(&my->held, MYSQL_HEAD, bytes, len))
		return;
	uint32_t size = wire_le24(wire_bytes_at(&my->held));
	if (my->state != COMMAND && size > MYSQL_START_MAX) {
		wire_close(&my->conn, "malformed login");
		return;
	}
	if (size == MYSQL_PACKET_MAX || my->too_long) { /* and more that belongs to it */
		my->skip = size;
		my->too_long = size == MYSQL_PACKET_MAX;
		if (my->too_long) {
			wire_bytes_clear(&my->held);
			return;
		}
		mysql_refuse(my, "vsandbox: statement too long to be inspected");
		return;
	}
	if (!wire_bytes_fill(&my->held, MYSQL_HEAD + size, bytes, len))
		return;
	if (size == 0 && my->state == COMMAND) {
		wire_close(&my->conn, "malformed command");
		return;
	}
	client_packet(my);
}

/* The server */

/* The beginning of a packet of the server's; @p has all of it while it logs in. */
static void server_packet(struct mysql *my, uint8_t *p, size_t len, uint32_t size)
{
	enum mysql_progress progress;

	switch (my->state) {
	case GREETING:
		if (size && *p == 0xff)
			return;
		if (!mysql_greeting(my, p, len)) {
			wire_close(&my->conn, "not MySQL's protocol");
			return;
		}
		my->state = LOGIN;
		return;
	case AUTH_SERVER:
	case AUTH_CLIENT:
		/* After "fast authentication succeeded" the server goes on by itself. */
		my->state = len && *p == 0                    ? COMMAND
			    : len > 1 && *p == 1 && p[1] == 3 ? AUTH_SERVER
							      : AUTH_CLIENT;
		return;
	case REPLY:
		progress = mysql_reply_packet(&my->answer, p, len, size);
		if (progress == MYSQL_MALFORMED) {
			wire_close(&my->conn, "malformed answer of the server");
			return;
		}
		if (progress == MYSQL_OVER)
			mysql_answered(my);
		return;
	case COMMAND: /* a last word before it hangs up */
		if (len && *p == 0xff)
			return;
		wire_close(&my->conn, "the server answers what was not asked");
		return;
	case LOGIN:
		wire_close(&my->conn, "the server speaks out of turn");
		return;
	}
}

static void feed_server(struct mysql *my, const uint8_t **bytes, size_t *len)
{
	if (my->packet_left) {
		size_t n = my->packet_left < *len ? my->packet_left : *len;

		wire_bytes_put(out_to(my, WIRE_CLIENT), *bytes, n);
		*bytes += n;
		*len -= n;
		my->packet_left -= (uint32_t)n;
		return;
	}
	if (!wire_bytes_fill(&my->reply, MYSQL_HEAD, bytes, len))
		return;
	uint32_t size = wire_le24(wire_bytes_at(&my->reply));
	uint32_t shown = size;
	if (my->state == REPLY || my->continued)
		shown = size < MYSQL_REPLY_SHOWN ? size : MYSQL_REPLY_SHOWN;
	if (shown > MYSQL_START_MAX) {
		wire_close(&my->conn, "malformed packet of the server");
		return;
	}
	if (!wire_bytes_fill(&my->reply, MYSQL_HEAD + shown, bytes, len))
		return;
	if (!my->continued)
		server_packet(my, my->reply.data + my->reply.start + MYSQL_HEAD, shown, size);
	my->continued = size == MYSQL_PACKET_MAX;
	if (my->conn.closing)
		return;
	wire_bytes_put(out_to(my, WIRE_CLIENT), wire_bytes_at(&my->reply), my->reply.len);
	wire_bytes_clear(&my->reply);
	my->packet_left = size - shown;
}

static size_t mysql_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	struct mysql *my = (struct mysql *)c;
	size_t given = len;

	for (;;) {
		size_t before = len;

		if (len == 0 || c->closing || c->opaque || (c->asking && from == WIRE_CLIENT))
			break;
		if (from == WIRE_SERVER)
			feed_server(my, &bytes, &len);
		else
			feed_client(my, &bytes, &len);
		if (my->held.failed || my->reply.failed)
			wire_close(c, "out of memory");
		if (before == len)
			break;
	}
	return given - len;
}

static void mysql_finish(struct wire_conn *c)
{
	struct mysql *my = (struct mysql *)c;

	mysql_forget_all(my);
	free(my->preparing);
	wire_bytes_finish(&my->held);
	wire_bytes_finish(&my->reply);
}

const struct wire_protocol wire_mysql = {
	.name = "mysql",
	.size = sizeof(struct mysql),
	.feed = mysql_feed,
	.answer = mysql_answer,
	.finish = mysql_finish,
};
