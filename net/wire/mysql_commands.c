/* Commands of MySQL's protocol, and the prepared statements that they name. */
#include <stdlib.h>
#include <string.h>

#include "net/wire/mysql_private.h"
#include "net/wire/statement.h"

enum {
	MYSQL_STATEMENTS_MAX = 4096,
	MYSQL_TEXT_MAX = 32768, /* kept of a prepared statement */
};

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

void mysql_forget_all(struct mysql *my)
{
	while (my->statements)
		forget(my, my->statements->id);
}

static void expect(struct mysql *my, enum mysql_shape shape)
{
	mysql_pass(my);
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
		mysql_refuse(my, "vsandbox: more prepared statements than are kept");
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
		mysql_refuse(my, "vsandbox: a command that cannot be inspected");
		return;
	}
	if (row->flags) {
		wire_ask(&my->conn, row->flags, row->text, strlen(row->text));
		return;
	}
	expect(my, row->shape);
}

void mysql_command(struct mysql *my)
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
		mysql_forget_all(my);
		expect(my, MYSQL_ONE);
		return;
	default:
		other_command(my, *p);
		return;
	}
}

void mysql_answer(struct wire_conn *c, bool allowed, const char *why)
{
	struct mysql *my = (struct mysql *)c;
	const uint8_t *p = wire_bytes_at(&my->held) + MYSQL_HEAD;
	const struct command_row *row = row_of(*p);

	if (!allowed) {
		mysql_refuse(my, why);
		return;
	}
	if (*p == COM_QUERY)
		note_use(my, (const char *)p + 1);
	expect(my, row ? row->shape : MYSQL_RESULT);
}

void mysql_answered(struct mysql *my)
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
