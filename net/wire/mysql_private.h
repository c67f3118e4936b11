/* What the parts of MySQL's protocol share: mysql.c, mysql_start.c, mysql_commands.c. */
#pragma once

#include "net/wire/mysql_reply.h"
#include "net/wire/wire.h"

enum {
	MYSQL_HEAD = 4, /* length, sequence */
	MYSQL_PACKET_MAX = 0xffffff,
	MYSQL_START_MAX = 65536,
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

void mysql_put_le24(uint8_t *p, uint32_t v);
/* The packet that is held goes on to the server, or is answered with an error that says @why. */
void mysql_pass(struct mysql *my);
void mysql_refuse(struct mysql *my, const char *why);

/* mysql_start.c */
/* The server's first packet: what would take statements out of sight is not offered. False: not the protocol. */
bool mysql_greeting(struct mysql *my, uint8_t *p, size_t len);
/* The client's answer, which is held. */
void mysql_login(struct mysql *my);

/* mysql_commands.c */
/* The command that is held: goes on, is refused, or asked about. */
void mysql_command(struct mysql *my);
/* wire_protocol.answer */
void mysql_answer(struct wire_conn *c, bool allowed, const char *why);
/* The server's answer to a command has ended. */
void mysql_answered(struct mysql *my);
void mysql_forget_all(struct mysql *my);
