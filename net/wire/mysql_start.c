/* Logging in to a MySQL server: the server's greeting and the client's answer. */
#include <string.h>

#include "net/wire/mysql_private.h"

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

static void put_le32(uint8_t *p, uint32_t v)
{
	mysql_put_le24(p, v);
	p[3] = (uint8_t)(v >> 24);
}

bool mysql_greeting(struct mysql *my, uint8_t *p, size_t len)
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

void mysql_login(struct mysql *my)
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
		mysql_pass(my);
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
	mysql_pass(my);
	my->state = AUTH_SERVER;
}
