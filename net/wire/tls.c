#include "net/wire/tls.h"

#include <string.h>

#include "net/wire/bytes.h"

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_HEAD = 5,
	RECORD_MAX = 16384,
	HELLO_MAX = 16384, /* browsers send some 2,000 bytes */
	CLIENT_HELLO = 1,
	EXTENSION_NAME = 0,
	EXTENSION_ALPN = 16,
	EXTENSION_ECH = 0xfe0d,
	EXTENSION_ESNI = 0xffce,
};

/* Bytes still to be read; a read past the end makes it bad for good. */
struct cursor {
	const uint8_t *p;
	size_t len;
	bool bad;
};

static struct cursor take(struct cursor *c, size_t n)
{
	struct cursor part = { .p = c->p, .len = n };

	if (c->bad || n > c->len) {
		c->bad = true;
		return (struct cursor){ .p = c->p, .bad = true };
	}
	c->p += n;
	c->len -= n;
	return part;
}

static size_t number(struct cursor *c, unsigned bytes)
{
	struct cursor n = take(c, bytes);
	size_t v = 0;

	for (unsigned i = 0; !n.bad && i < bytes; i++)
		v = v << 8 | n.p[i];
	return v;
}

/* A vector whose length is a number of @bytes bytes. */
static struct cursor vector(struct cursor *c, unsigned bytes)
{
	return take(c, number(c, bytes));
}

static bool host_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool server_name(struct cursor e, struct tls_hello *ret)
{
	struct cursor list = vector(&e, 2);
	size_t type = number(&list, 1);
	struct cursor name = vector(&list, 2);

	if (list.bad || name.bad || e.len || list.len || type != 0 || name.len == 0 ||
	    name.len >= TLS_NAME_SIZE || *ret->name)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.p[i];

		ret->name[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		if (!host_byte((uint8_t)ret->name[i]))
			return false;
	}
	return true;
}

static bool protocols(struct cursor e, struct tls_hello *ret)
{
	struct cursor list = vector(&e, 2);
	struct cursor first = vector(&list, 1);

	if (first.bad || e.len)
		return false;
	for (size_t i = 0; i < first.len && i + 1 < TLS_ALPN_SIZE; i++)
		ret->alpn[i] = first.p[i] > ' ' && first.p[i] <= '~' ? (char)first.p[i] : '?';
	return true;
}

static bool extensions(struct cursor all, struct tls_hello *ret)
{
	while (all.len && !all.bad) {
		size_t type = number(&all, 2);
		struct cursor e = vector(&all, 2);

		if (all.bad || (type == EXTENSION_NAME && !server_name(e, ret)) ||
		    (type == EXTENSION_ALPN && !protocols(e, ret)))
			return false;
		ret->encrypted_hello |= type == EXTENSION_ECH || type == EXTENSION_ESNI;
	}
	return !all.bad;
}

static bool hello(struct cursor c, struct tls_hello *ret)
{
	take(&c, 2 + 32);
	vector(&c, 1); /* session */
	vector(&c, 2); /* cipher suites */
	vector(&c, 1); /* compression */
	if (c.bad)
		return false;
	if (!c.len)
		return true; /* no extensions: an old client */
	struct cursor all = vector(&c, 2);
	return !c.bad && !c.len && extensions(all, ret);
}

enum tls_result tls_hello_parse(const uint8_t *bytes, size_t len, struct tls_hello *ret)
{
	uint8_t message[HELLO_MAX];
	size_t have = 0, want = 4;

	*ret = (struct tls_hello){ 0 };
	while (have < want) {
		if (len < RECORD_HEAD)
			return len && *bytes != RECORD_HANDSHAKE ? TLS_MALFORMED : TLS_MORE;
		size_t size = wire_be16(bytes + 3), n;
		if (*bytes != RECORD_HANDSHAKE || bytes[1] != 3 || size == 0 || size > RECORD_MAX)
			return TLS_MALFORMED;
		n = size < len - RECORD_HEAD ? size : len - RECORD_HEAD;
		if (n > sizeof(message) - have)
			n = sizeof(message) - have;
		memcpy(message + have, bytes + RECORD_HEAD, n);
		have += n;
		if (have >= 4) {
			want = 4 +
			       ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
			if (*message != CLIENT_HELLO || want > sizeof(message))
				return TLS_MALFORMED;
		}
		if (have >= want)
			break;
		if (len - RECORD_HEAD < size)
			return TLS_MORE;
		bytes += RECORD_HEAD + size;
		len -= RECORD_HEAD + size;
	}
	return hello((struct cursor){ .p = message + 4, .len = want - 4 }, ret) ? TLS_HELLO
										: TLS_MALFORMED;
}
