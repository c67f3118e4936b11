/*
 * What two peers speak, from the port and the first bytes of either. Pure; called
 * again with more as long as the answer is SNIFF_MORE, which it is no longer than
 * for SNIFF_MAX bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/wire/wire.h"

enum { SNIFF_MAX = 16384, SNIFF_NAME_SIZE = 256 };

enum sniff_protocol {
	SNIFF_MORE, /* not enough to tell */
	SNIFF_UNKNOWN,
	SNIFF_TLS,
	SNIFF_HTTP1,
	SNIFF_HTTP2, /* with prior knowledge; its requests are not looked into */
	SNIFF_SSH,
	SNIFF_POSTGRESQL,
	SNIFF_MYSQL,
	SNIFF_REDIS,
	SNIFF_MONGODB,
	SNIFF_COUNT,
};

struct sniff {
	enum sniff_protocol protocol;
	const struct wire_protocol *wire; /* that can inspect it; NULL none */
	char name[SNIFF_NAME_SIZE];       /* TLS: server name; MongoDB: database; "" none */
	char detail[64];                  /* TLS: first ALPN protocol; MongoDB: command; "" none */
	bool encrypted_hello;             /* TLS: the real server name is hidden (ECH) */
};

void sniff_peers(const uint8_t *client, size_t client_len, const uint8_t *server, size_t server_len,
		 uint16_t port, struct sniff *ret);
const char *sniff_name(enum sniff_protocol protocol);
/* Whether a database that can be inspected usually listens there. */
bool sniff_database_port(uint16_t port);
