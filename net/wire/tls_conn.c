/* A connection that begins with TLS: asked about once, by the name it asks for, then passed unseen. */
#include <assert.h>
#include <string.h>

#include "net/wire/tls.h"
#include "net/wire/wire.h"

enum { HELLO_HELD_MAX = 20000 };

struct tls_conn {
	struct wire_conn conn;
	struct wire_bytes held;
};

static void tls_ask(struct tls_conn *t)
{
	struct tls_hello hello;

	switch (tls_hello_parse(wire_bytes_at(&t->held), t->held.len, &hello)) {
	case TLS_MORE:
		if (t->held.len >= HELLO_HELD_MAX)
			wire_close(&t->conn, "TLS hello too long");
		return;
	case TLS_MALFORMED:
		wire_close(&t->conn, "malformed TLS hello");
		return;
	case TLS_HELLO:
		break;
	}
	static_assert(sizeof(hello.name) == sizeof(t->conn.database), "a name fits");
	memcpy(t->conn.database, hello.name, sizeof(hello.name));
	wire_ask(&t->conn, 0, "", 0);
	t->conn.question.type = ACTION_API_CALL;
}

static size_t tls_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	struct tls_conn *t = (struct tls_conn *)c;

	if (from == WIRE_SERVER) {
		wire_bytes_put(&c->out[WIRE_CLIENT], bytes, len);
		return len;
	}
	wire_bytes_put(&t->held, bytes, len);
	if (t->held.failed)
		wire_close(c, "out of memory");
	else
		tls_ask(t);
	return len;
}

static void tls_answer(struct wire_conn *c, bool allowed, const char *why)
{
	/* fatal, access_denied */
	static const uint8_t alert[] = { 0x15, 3, 3, 0, 2, 2, 49 };
	struct tls_conn *t = (struct tls_conn *)c;

	(void)why;
	if (!allowed) {
		wire_bytes_put(&c->out[WIRE_CLIENT], alert, sizeof(alert));
		wire_close(c, "TLS to this name refused");
		return;
	}
	wire_bytes_put(&c->out[WIRE_SERVER], wire_bytes_at(&t->held), t->held.len);
	wire_bytes_finish(&t->held);
	t->held = (struct wire_bytes){ 0 };
	c->opaque = true;
}

static void tls_finish(struct wire_conn *c)
{
	wire_bytes_finish(&((struct tls_conn *)c)->held);
}

const struct wire_protocol wire_tls = {
	.name = "https",
	.size = sizeof(struct tls_conn),
	.feed = tls_feed,
	.answer = tls_answer,
	.finish = tls_finish,
};
