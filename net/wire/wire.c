#include "net/wire/wire.h"

#include <stdlib.h>

struct wire_conn *wire_new(const struct wire_protocol *protocol, const struct wire_setup *setup)
{
	struct wire_conn *c = calloc(1, protocol->size);

	if (c) {
		c->protocol = protocol;
		c->setup = *setup;
	}
	return c;
}

void wire_free(struct wire_conn *c)
{
	if (!c)
		return;
	c->protocol->finish(c);
	for (unsigned s = 0; s < WIRE_SIDE_COUNT; s++)
		wire_bytes_finish(&c->out[s]);
	free(c);
}

size_t wire_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	if (c->closing || (c->asking && from == WIRE_CLIENT))
		return 0;
	if (c->opaque) {
		wire_bytes_put(&c->out[from == WIRE_CLIENT ? WIRE_SERVER : WIRE_CLIENT], bytes,
			       len);
		return len;
	}
	return c->protocol->feed(c, from, bytes, len);
}

void wire_answer(struct wire_conn *c, bool allowed, const char *why)
{
	if (!c->asking)
		return;
	c->asking = false;
	if (!c->closing)
		c->protocol->answer(c, allowed, why);
	c->question = (struct wire_question){ 0 };
}

void wire_close(struct wire_conn *c, const char *why)
{
	c->closing = true;
	if (!c->closed_why)
		c->closed_why = why;
}

void wire_ask(struct wire_conn *c, uint32_t flags, const char *text, size_t len)
{
	c->asking = true;
	c->question = (struct wire_question){ .flags = flags, .text = text, .len = len };
}

void wire_why(char *out, size_t size, const char *why)
{
	size_t n = 0;

	for (; why[n] && n + 1 < size; n++)
		out[n] = why[n] >= ' ' && why[n] <= '~' ? why[n] : '?';
	out[n] = '\0';
}

static size_t opaque_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes,
			  size_t len)
{
	c->opaque = true;
	return wire_feed(c, from, bytes, len);
}

static void opaque_answer(struct wire_conn *c, bool allowed, const char *why)
{
	(void)allowed;
	wire_close(c, why); /* it asks nothing */
}

static void opaque_finish(struct wire_conn *c)
{
	(void)c;
}

const struct wire_protocol wire_opaque = {
	.name = "opaque",
	.size = sizeof(struct wire_conn),
	.feed = opaque_feed,
	.answer = opaque_answer,
	.finish = opaque_finish,
};
