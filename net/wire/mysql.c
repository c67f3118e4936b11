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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/wire/mysql_reply.h"
#include "net/wire/statement.h"
#include "net/wire/wire.h"

enum {
	MYSQL_HEAD = 4, /* length, sequence */
	MYSQL_PACKET_MAX = 0xffffff,
	MYSQL_START_MAX = 65536,
	MYSQL_STATEMENTS_MAX = 4096,
	MYSQL_TEXT_MAX = 32768, /* kept of a prepared statement */
};

/* Capability bits, of the protocol's documentation. */
enum {
	CAN_MYSQL = 1 << 0, /* cleared by MariaDB, which then has capabilities of its own */
	CAN_CONNECT_WITH_DB = 1 << 3,
	CAN_COMPRESS = 1 << 5,
	CAN_LOCAL_FILES = 1 << 7,
	CAN_PROTOCOL_41 = 1 << 9,
	CAN_TLS = 1 << 11,
	CAN_SECURE_CONNECTION = 1 << 15,
	CAN_PLUGIN_AUTH_LENENC = 1 << 21,
	CAN_OPTIONAL_METADATA = 1 << 25,
	CAN_DEPRECATE_EOF = 1 << 24,
	CAN_ZSTD = 1 << 26,
	CAN_QUERY_ATTRIBUTES = 1 << 27,
	CAN_MULTI_FACTOR = 1 << 28,
	CAN_PROGRESS = 1 << 29, /* MariaDB's */
};

static const uint32_t hidden = CAN_COMPRESS | CAN_LOCAL_FILES | CAN_OPTIONAL_METADATA |
			       CAN_DEPRECATE_EOF | CAN_ZSTD | CAN_QUERY_ATTRIBUTES |
			       CAN_MULTI_FACTOR | CAN_PROGRESS;

enum mysql_command {
	COM_QUIT = 0x01,
	COM_INIT_DB = 0x02,
	COM_QUERY = 0x03,
	COM_FIELD_LIST = 0x04,
	COM_CREATE_DB = 0x05,
	COM_DROP_DB = 0x06,
	COM_REFRESH = 0x07,
	COM_SHUTDOWN = 0x08,
	COM_STATISTICS = 0x09,
	COM_PROCESS_INFO = 0x0a,
	COM_PROCESS_KILL = 0x0c,
	COM_DEBUG = 0x0d,
	COM_PING = 0x0e,
	COM_CHANGE_USER = 0x11,
	COM_STMT_PREPARE = 0x16,
	COM_STMT_EXECUTE = 0x17,
	COM_STMT_SEND_LONG_DATA = 0x18,
	COM_STMT_CLOSE = 0x19,
	COM_STMT_RESET = 0x1a,
	COM_SET_OPTION = 0x1b,
	COM_STMT_FETCH = 0x1c,
	COM_RESET_CONNECTION = 0x1f,
};

enum mysql_state { GREETING, LOGIN, AUTH_SERVER, AUTH_CLIENT, COMMAND, REPLY };

struct mysql_statement {
	struct mysql_statement *next;
	uint32_t id, flags;
	size_t len;
	char text[];
};

struct mysql {
	struct wire_conn conn;
	enum mysql_state state;
	struct wire_bytes held;  /* the client's packet, with its head */
	struct wire_bytes reply; /* the beginning of the server's */
	uint64_t skip;           /* of a packet too long to be inspected */
	bool too_long;           /* … which refuses the command when it has all come */
	struct mysql_reply answer;
	uint32_t packet_left; /* of the server's packet, that passes */
	bool continued;       /* the server's next packet goes on where this one ends */
	char next_database[WIRE_NAME_SIZE];
	bool changes_database;
	struct mysql_statement *statements; /* owned */
	unsigned count;
	struct mysql_statement *preparing; /* owned; NULL none */
};

static struct wire_bytes *to(struct mysql *my, enum wire_side side)
{
	return &my->conn.out[side];
}

static void put_le24(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
}

static void put_le32(uint8_t *p, uint32_t v)
{
	put_le24(p, v);
	p[3] = (uint8_t)(v >> 24);
}

/* ER_TABLEACCESS_DENIED_ERROR, as for a user without the right. */
static void put_error(struct mysql *my, uint8_t sequence, const char *why)
{
	uint8_t head[MYSQL_HEAD + 3] = { [3] = sequence, [4] = 0xff, 0x76, 0x04 };
	char clean[WIRE_WHY_SIZE];

	wire_why(clean, sizeof(clean), why);
	put_le24(head, (uint32_t)(3 + 6 + strlen(clean)));
	wire_bytes_put(to(my, WIRE_CLIENT), head, sizeof(head));
	wire_bytes_put(to(my, WIRE_CLIENT), "#42000", 6);
	wire_bytes_put(to(my, WIRE_CLIENT), clean, strlen(clean));
}

static void refuse(struct mysql *my, const char *why)
{
	uint8_t sequence = wire_bytes_at(&my->held)[3];

	wire_bytes_clear(&my->held);
	put_error(my, (uint8_t)(sequence + 1), why);
}

static void pass_held(struct mysql *my)
{
	wire_bytes_put(to(my, WIRE_SERVER), wire_bytes_at(&my->held), my->held.len);
	wire_bytes_clear(&my->held);
}

/* Logging in */

/* What would take statements out of sight is not offered. False: not the protocol. */
static bool greeting_hide(struct mysql *my, uint8_t *p, size_t len)
{
	uint8_t *version_end = len ? memchr(p + 1, '\0', len - 1) : NULL;
	uint32_t hide = hidden | (my->conn.setup.tls == WIRE_TLS_REFUSE ? CAN_TLS : 0);

	if (!version_end || *p != 10 || p + len - version_end < 1 + 4 + 8 + 1 + 7 + 1 + 10)
		return false;
	uint8_t *low = version_end + 1 + 4 + 8 + 1, *high = low + 5;
	uint32_t can = (uint32_t)wire_le16(low) | (uint32_t)wire_le16(high) << 16;
	if (!(can & CAN_PROTOCOL_41))
		return false;
	if (!(can & CAN_MYSQL))
		memset(high + 2 + 1 + 6, 0, 4);
	can &= ~hide;
	low[0] = (uint8_t)can;
	low[1] = (uint8_t)(can >> 8);
	high[0] = (uint8_t)(can >> 16);
	high[1] = (uint8_t)(can >> 24);
	return true;
}

/* The database named in the client's answer; false: malformed. */
static bool login_database(struct mysql *my, uint32_t can, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *user_end = memchr(p, '\0', (size_t)(end - p));

	if (!user_end)
		return false;
	p = user_end + 1;
	if (can & (CAN_PLUGIN_AUTH_LENENC | CAN_SECURE_CONNECTION)) {
		if (p >= end || *p > 250 || end - p < 1 + *p)
			return false; /* no authentication data is that long */
		p += 1 + *p;
	} else {
		const uint8_t *auth_end = memchr(p, '\0', (size_t)(end - p));
		if (!auth_end)
			return false;
		p = auth_end + 1;
	}
	if (!(can & CAN_CONNECT_WITH_DB) || p == end)
		return true;
	const uint8_t *name_end = memchr(p, '\0', (size_t)(end - p));
	if (!name_end || name_end - p >= WIRE_NAME_SIZE)
		return false;
	memcpy(my->conn.database, p, (size_t)(name_end - p) + 1);
	return true;
}

static void login(struct mysql *my)
{
	uint8_t *p = my->held.data + my->held.start + MYSQL_HEAD;
	size_t len = my->held.len - MYSQL_HEAD;
	uint32_t can;

	if (len < 32) {
		wire_close(&my->conn, "the client's protocol is too old to be inspected");
		return;
	}
	can = wire_le32(p);
	if (can & CAN_TLS && my->conn.setup.tls == WIRE_TLS_WHOLE && len == 32) {
		pass_held(my);
		my->conn.opaque = true;
		return;
	}
	if (!(can & CAN_PROTOCOL_41) || can & CAN_TLS) {
		wire_close(&my->conn, "the client uses what the server does not offer");
		return;
	}
	/* Clients set some of these whatever was offered. */
	put_le32(p, can & ~hidden);
	memset(p + 32 - 4, 0, 4);
	if (!login_database(my, can, p + 32, p + len)) {
		wire_close(&my->conn, "malformed login");
		return;
	}
	pass_held(my);
	my->state = AUTH_SERVER;
}

/* Commands */

static struct mysql_statement **find(struct mysql *my, uint32_t id)
{
	struct mysql_statement **at = &my->statements;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void forget(struct mysql *my, uint32_t id)
{
	struct mysql_statement **at = find(my, id), *gone = *at;

	if (gone) {
		*at = gone->next;
		my->count--;
		free(gone);
	}
}

static void forget_all(struct mysql *my)
{
	while (my->statements)
		forget(my, my->statements->id);
}

static void expect(struct mysql *my, enum mysql_shape shape)
{
	pass_held(my);
	if (shape == MYSQL_NONE)
		return;
	mysql_reply_begin(&my->answer, shape);
	my->state = REPLY;
}

/* USE: the name counts when the server has agreed. */
static void note_database(struct mysql *my, const char *name, size_t len)
{
	my->changes_database = true;
	memset(my->next_database, 0, sizeof(my->next_database));
	if (len < sizeof(my->next_database))
		memcpy(my->next_database, name, len);
}

static void note_use(struct mysql *my, const char *text)
{
	size_t len;
	const char *name = statement_mysql_use(text, &len);

	if (name)
		note_database(my, name, len);
}

static void prepare(struct mysql *my, const char *text, size_t len)
{
	size_t kept = len < MYSQL_TEXT_MAX ? len : MYSQL_TEXT_MAX;

	if (my->count == MYSQL_STATEMENTS_MAX) {
		refuse(my, "vsandbox: more prepared statements than are kept");
		return;
	}
	my->preparing = malloc(sizeof(*my->preparing) + kept + 1);
	if (!my->preparing) {
		wire_close(&my->conn, "out of memory");
		return;
	}
	*my->preparing = (struct mysql_statement){ .len = kept };
	memcpy(my->preparing->text, text, kept);
	my->preparing->text[kept] = '\0';
	my->preparing->flags =
		statement_mysql(text, len) | (kept < len ? (uint32_t)STATEMENT_CUT : 0);
	expect(my, MYSQL_PREPARED);
}

static void execute(struct mysql *my, const uint8_t *p, size_t len)
{
	const struct mysql_statement *s = len >= 4 ? *find(my, wire_le32(p)) : NULL;

	if (s)
		wire_ask(&my->conn, s->flags, s->text, s->len);
	else /* MariaDB's "the last one", or none */
		wire_ask(&my->conn, STATEMENT_UNKNOWN, "EXECUTE", 7);
}

struct command_row {
	uint8_t command;
	enum mysql_shape shape;
	uint32_t flags; /* asked about as this; 0: goes on without */
	const char *text;
};

/* clang-format off */
static const struct command_row commands[] = {
	{ COM_QUIT,                MYSQL_NONE,   0, NULL },
	{ COM_FIELD_LIST,          MYSQL_FIELDS, 0, NULL },
	{ COM_CREATE_DB,           MYSQL_ONE,    STATEMENT_DEFINE, "CREATE DATABASE" },
	{ COM_DROP_DB,             MYSQL_ONE,    STATEMENT_DESTROY, "DROP DATABASE" },
	{ COM_REFRESH,             MYSQL_ONE,    STATEMENT_ADMIN, "FLUSH" },
	{ COM_SHUTDOWN,            MYSQL_ONE,    STATEMENT_ADMIN, "SHUTDOWN" },
	{ COM_STATISTICS,          MYSQL_ONE,    0, NULL },
	{ COM_PROCESS_INFO,        MYSQL_RESULT, STATEMENT_READ, "SHOW PROCESSLIST" },
	{ COM_PROCESS_KILL,        MYSQL_ONE,    STATEMENT_ADMIN, "KILL" },
	{ COM_DEBUG,               MYSQL_ONE,    STATEMENT_ADMIN, "DEBUG" },
	{ COM_PING,                MYSQL_ONE,    0, NULL },
	{ COM_STMT_SEND_LONG_DATA, MYSQL_NONE,   0, NULL },
	{ COM_STMT_RESET,          MYSQL_ONE,    0, NULL },
	{ COM_STMT_FETCH,          MYSQL_ROWS,   0, NULL },
	{ COM_SET_OPTION,          MYSQL_ONE,    0, NULL },
};
/* clang-format on */

static const struct command_row *row_of(uint8_t command)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].command == command)
			return &commands[i];
	return NULL;
}

static void other_command(struct mysql *my, uint8_t type)
{
	const struct command_row *row = row_of(type);

	if (!row) { /* replication, another user, what newer versions bring */
		refuse(my, "vsandbox: a command that cannot be inspected");
		return;
	}
	if (row->flags) {
		wire_ask(&my->conn, row->flags, row->text, strlen(row->text));
		return;
	}
	expect(my, row->shape);
}

static void command(struct mysql *my)
{
	wire_bytes_put(&my->held, "", 1); /* texts end here */
	my->held.len--;
	const uint8_t *p = wire_bytes_at(&my->held) + MYSQL_HEAD;
	size_t len = my->held.len - MYSQL_HEAD - 1;
	const char *text = (const char *)p + 1;

	if (my->held.failed)
		return;
	if (wire_bytes_at(&my->held)[3] != 0) {
		wire_close(&my->conn, "malformed command");
		return;
	}
	switch (*p) {
	case COM_QUERY:
		wire_ask(&my->conn, statement_mysql(text, len), text, len);
		return;
	case COM_STMT_PREPARE:
		prepare(my, text, len);
		return;
	case COM_STMT_EXECUTE:
		execute(my, p + 1, len);
		return;
	case COM_STMT_CLOSE:
		if (len >= 4)
			forget(my, wire_le32(p + 1));
		expect(my, MYSQL_NONE);
		return;
	case COM_INIT_DB:
		note_database(my, text, len);
		expect(my, MYSQL_ONE);
		return;
	case COM_RESET_CONNECTION:
		forget_all(my);
		expect(my, MYSQL_ONE);
		return;
	default:
		other_command(my, *p);
		return;
	}
}

static void mysql_answer(struct wire_conn *c, bool allowed, const char *why)
{
	struct mysql *my = (struct mysql *)c;
	const uint8_t *p = wire_bytes_at(&my->held) + MYSQL_HEAD;
	const struct command_row *row = row_of(*p);

	if (!allowed) {
		refuse(my, why);
		return;
	}
	if (*p == COM_QUERY)
		note_use(my, (const char *)p + 1);
	expect(my, row ? row->shape : MYSQL_RESULT);
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
		login(my);
		return;
	case AUTH_CLIENT:
		pass_held(my);
		my->state = AUTH_SERVER;
		return;
	case COMMAND:
		command(my);
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
		refuse(my, "vsandbox: statement too long to be inspected");
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

static void answer_over(struct mysql *my)
{
	my->state = COMMAND;
	if (my->changes_database && my->answer.ok)
		memcpy(my->conn.database, my->next_database, sizeof(my->conn.database));
	my->changes_database = false;
	if (my->preparing && my->answer.ok) {
		my->preparing->id = my->answer.statement;
		forget(my, my->preparing->id);
		my->preparing->next = my->statements;
		my->statements = my->preparing;
		my->count++;
	} else {
		free(my->preparing);
	}
	my->preparing = NULL;
}

/* The beginning of a packet of the server's; @p has all of it while it logs in. */
static void server_packet(struct mysql *my, uint8_t *p, size_t len, uint32_t size)
{
	enum mysql_progress progress;

	switch (my->state) {
	case GREETING:
		if (size && *p == 0xff)
			return;
		if (!greeting_hide(my, p, len)) {
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
			answer_over(my);
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

		wire_bytes_put(to(my, WIRE_CLIENT), *bytes, n);
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
	wire_bytes_put(to(my, WIRE_CLIENT), wire_bytes_at(&my->reply), my->reply.len);
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

	forget_all(my);
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
