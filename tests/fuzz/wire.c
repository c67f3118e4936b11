/*
 * Any bytes from either side, in any pieces: the machines stay inside their memory, ask one question
 * at a time, and end or go on. The first byte chooses the protocol; then pieces: a byte with the
 * side and the answers to come, a byte of length, the bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/wire/sniff.h"
#include "net/wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t feed(struct wire_conn *c, enum wire_side side, struct wire_bytes *pending, bool allow)
{
	size_t n = wire_feed(c, side, pending->len ? wire_bytes_at(pending) : NULL, pending->len);

	if (n > pending->len)
		abort();
	if (n)
		wire_bytes_take(pending, n);
	if (!c->asking)
		return n;
	for (size_t i = 0; i < c->question.len; i++) /* readable as long as it is asked */
		n += c->question.text[i] == 'q';
	wire_answer(c, allow, "no");
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct wire_protocol *const protocols[] = { &wire_pg, &wire_mysql, &wire_redis,
								 &wire_http, &wire_tls };
	const struct wire_setup setup = { .nonce = 1 };
	struct wire_bytes pending[WIRE_SIDE_COUNT] = { 0 };
	struct sniff s;

	if (size < 1)
		return 0;
	sniff_peers(data, size, NULL, 0, *data, &s);
	sniff_peers(NULL, 0, data, size, *data, &s);
	struct wire_conn *c = wire_new(protocols[*data % 5], &setup);
	for (data++, size--; c && size > 2 && !c->closing;) {
		enum wire_side side = *data & 1 ? WIRE_SERVER : WIRE_CLIENT;
		bool allow = *data & 2;
		size_t n = data[1] < size - 2 ? data[1] : size - 2;

		wire_bytes_put(&pending[side], data + 2, n);
		data += 2 + n;
		size -= 2 + n;
		for (unsigned i = 0; i < 64 && feed(c, side, &pending[side], allow); i++)
			;
		feed(c, WIRE_CLIENT, &pending[WIRE_CLIENT], allow);
	}
	for (unsigned side = 0; side < WIRE_SIDE_COUNT; side++)
		wire_bytes_finish(&pending[side]);
	wire_free(c);
	return 0;
}
