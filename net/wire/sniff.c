#include "net/wire/sniff.h"

#include <assert.h>
#include <string.h>

#include "net/wire/tls.h"

enum { PORT_MYSQL = 3306, PORT_POSTGRESQL = 5432, PORT_REDIS = 6379 };

static const char *const names[] = {
	[SNIFF_MORE] = "",
	[SNIFF_UNKNOWN] = "unknown",
	[SNIFF_TLS] = "tls",
	[SNIFF_HTTP1] = "http",
	[SNIFF_HTTP2] = "http2",
	[SNIFF_SSH] = "ssh",
	[SNIFF_POSTGRESQL] = "postgresql",
	[SNIFF_MYSQL] = "mysql",
	[SNIFF_REDIS] = "redis",
	[SNIFF_MONGODB] = "mongodb",
};
static_assert(sizeof(names) / sizeof(names[0]) == SNIFF_COUNT, "every protocol has a name");

const char *sniff_name(enum sniff_protocol protocol)
{
	return names[protocol];
}

bool sniff_database_port(uint16_t port)
{
	return port == PORT_MYSQL || port == PORT_POSTGRESQL || port == PORT_REDIS;
}

enum match { NO, PART, YES };

/* Whether @p begins with @text; PART: as far as it goes. */
static enum match begins(const uint8_t *p, size_t len, const char *text)
{
	size_t want = strlen(text), n = len < want ? len : want;

	if (memcmp(p, text, n) != 0)
		return NO;
	return n == want ? YES : PART;
}

static enum match is_http1(const uint8_t *p, size_t len)
{
	static const char *const methods[] = { "GET ",   "HEAD ",    "POST ",  "PUT ",    "DELETE ",
					       "PATCH ", "OPTIONS ", "TRACE ", "CONNECT " };
	enum match best = NO;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]) && best != YES; i++) {
		enum match m = begins(p, len, methods[i]);
		best = m > best ? m : best;
	}
	return best;
}

/* A start-up message, or a request for encryption or cancellation, of any version. */
static enum match is_postgresql(const uint8_t *p, size_t len)
{
	if (*p != 0 || (len > 1 && p[1] != 0))
		return NO;
	if (len < 8)
		return PART;
	uint32_t size = wire_be32(p), code = wire_be32(p + 4);
	if (size < 8 || size > 10000)
		return NO;
	return code >> 16 == 2 || code >> 16 == 3 || code >> 16 == 1234 ? YES : NO;
}

/*
 * "*N\r\n$", as every client library begins; empty lines before it are ignored by the
 * server. A command as a bare line is taken for Redis only where Redis usually listens.
 */
static enum match is_redis(const uint8_t *p, size_t len, uint16_t port)
{
	size_t i = 0;

	while (i < len && (p[i] == '\r' || p[i] == '\n'))
		i++;
	if (i == len)
		return PART;
	if (port == PORT_REDIS && (p[i] == '*' || p[i] > ' '))
		return YES;
	if (p[i] != '*')
		return NO;
	for (i++; i < len && p[i] >= '0' && p[i] <= '9'; i++)
		;
	if (i == len)
		return PART;
	return p[i] == '\r' ? YES : NO;
}

/* BSON: the value of the string @name in the first document's top level, and its first key. */
static void bson_strings(const uint8_t *p, size_t len, struct sniff *ret)
{
	bool first = true;

	if (len < 5)
		return;
	p += 4;
	len -= 4;
	while (len > 2 && *p) {
		uint8_t type = *p;
		const uint8_t *name = p + 1, *end = memchr(name, '\0', len - 1);
		size_t size;

		if (!end)
			return;
		size_t n = (size_t)(end + 1 - p);
		p += n;
		len -= n;
		if (first)
			memcpy(ret->detail, name,
			       strnlen((const char *)name, sizeof(ret->detail) - 1));
		first = false;
		switch (type) {
		case 0x02: /* string */
			if (len < 5 || wire_le32(p) == 0 || wire_le32(p) > len - 4 ||
			    p[4 + wire_le32(p) - 1])
				return;
			size = 4 + wire_le32(p);
			if (strcmp((const char *)name, "$db") == 0 &&
			    wire_le32(p) <= SNIFF_NAME_SIZE)
				memcpy(ret->name, p + 4, strlen((const char *)p + 4) + 1);
			break;
		case 0x03: /* document */
		case 0x04: /* array */
			size = len < 4 ? 0 : wire_le32(p);
			break;
		case 0x05: /* binary */
			size = len < 4 ? 0 : (size_t)wire_le32(p) + 5;
			break;
		case 0x07: /* object id */
			size = 12;
			break;
		case 0x08: /* boolean */
			size = 1;
			break;
		case 0x0a: /* null */
			continue;
		case 0x10: /* 32 bits */
			size = 4;
			break;
		case 0x01: /* double */
		case 0x09: /* date */
		case 0x11: /* timestamp */
		case 0x12: /* 64 bits */
			size = 8;
			break;
		default:
			return;
		}
		if (size == 0 || size > len)
			return;
		p += size;
		len -= size;
	}
}

/*
 * OP_MSG, OP_QUERY (the first hello of older drivers) or OP_COMPRESSED. Known for its name alone, for which nobody's
 * first word is held back: a driver's comes in one piece.
 */
static enum match is_mongodb(const uint8_t *p, size_t len, struct sniff *ret)
{
	enum { HEAD = 16, CODE_QUERY = 2004, CODE_COMPRESSED = 2012, CODE_MSG = 2013 };

	if (len < HEAD)
		return NO;
	uint32_t size = wire_le32(p), code = wire_le32(p + 12);
	if (size < HEAD + 5 || size > 48000000 || wire_le32(p + 8) != 0 ||
	    (code != CODE_MSG && code != CODE_QUERY && code != CODE_COMPRESSED))
		return NO;
	if (len < size && len < 4096)
		return PART;
	if (code == CODE_MSG && len > HEAD + 5 && p[HEAD + 4] == 0)
		bson_strings(p + HEAD + 5, len - HEAD - 5, ret);
	return YES;
}

static void tls(const uint8_t *p, size_t len, struct sniff *ret)
{
	struct tls_hello hello;

	switch (tls_hello_parse(p, len, &hello)) {
	case TLS_MORE:
		ret->protocol = len < SNIFF_MAX ? SNIFF_MORE : SNIFF_UNKNOWN;
		return;
	case TLS_MALFORMED:
		ret->protocol = SNIFF_UNKNOWN;
		return;
	case TLS_HELLO:
		break;
	}
	ret->protocol = SNIFF_TLS;
	ret->encrypted_hello = hello.encrypted_hello;
	memcpy(ret->name, hello.name, sizeof(hello.name));
	memcpy(ret->detail, hello.alpn, sizeof(hello.alpn));
}

static enum sniff_protocol server_first(const uint8_t *p, size_t len)
{
	enum match ssh = begins(p, len, "SSH-");

	if (ssh != NO)
		return ssh == YES ? SNIFF_SSH : SNIFF_MORE;
	/* A greeting: a short packet, the first in sequence, of version 10; or an error instead. */
	const bool fits[] = { true, len < 2 || p[1] <= 1, len < 3 || p[2] == 0,
			      len < 4 || p[3] == 0, len < 5 || p[4] == 10 || p[4] == 0xff };
	for (size_t i = 0; i < sizeof(fits); i++)
		if (!fits[i])
			return SNIFF_UNKNOWN;
	return len < sizeof(fits) ? SNIFF_MORE : SNIFF_MYSQL;
}

static void client_first(const uint8_t *p, size_t len, uint16_t port, struct sniff *ret)
{
	const struct {
		enum sniff_protocol protocol;
		enum match match;
	} found[] = {
		{ SNIFF_HTTP2, begins(p, len, "PRI * HTTP/2.0\r\n") },
		{ SNIFF_SSH, begins(p, len, "SSH-") },
		{ SNIFF_POSTGRESQL, is_postgresql(p, len) },
		{ SNIFF_HTTP1, is_http1(p, len) },
		{ SNIFF_REDIS, is_redis(p, len, port) },
		{ SNIFF_MONGODB, is_mongodb(p, len, ret) },
	};

	const enum sniff_protocol only = port == PORT_POSTGRESQL ? SNIFF_POSTGRESQL
					 : port == PORT_REDIS    ? SNIFF_REDIS
								 : SNIFF_UNKNOWN;

	ret->protocol = SNIFF_UNKNOWN;
	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		if (only != SNIFF_UNKNOWN && found[i].protocol != only)
			continue;
		if (found[i].match == YES) {
			ret->protocol = found[i].protocol;
			return;
		}
		if (found[i].match == PART)
			ret->protocol = SNIFF_MORE;
	}
}

void sniff_peers(const uint8_t *client, size_t client_len, const uint8_t *server, size_t server_len,
		 uint16_t port, struct sniff *ret)
{
	*ret = (struct sniff){ .protocol = SNIFF_MORE };
	if (server_len)
		ret->protocol = server_first(server, server_len);
	else if (client_len && *client == 0x16)
		tls(client, client_len, ret);
	else if (client_len && port != PORT_MYSQL) /* there the server speaks first */
		client_first(client, client_len, port, ret);
	if (ret->protocol == SNIFF_POSTGRESQL)
		ret->wire = &wire_pg;
	else if (ret->protocol == SNIFF_MYSQL)
		ret->wire = &wire_mysql;
	else if (ret->protocol == SNIFF_REDIS)
		ret->wire = &wire_redis;
}
