#include "net/wire/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE_FIRST = 4096, SIZE_KEPT = 256 * 1024 };

void wire_bytes_finish(struct wire_bytes *b)
{
	free(b->data);
	*b = (struct wire_bytes){ 0 };
}

void wire_bytes_clear(struct wire_bytes *b)
{
	if (b->size > SIZE_KEPT) { /* one long statement does not fix the memory for good */
		free(b->data);
		b->data = NULL;
		b->size = 0;
	}
	b->start = b->len = 0;
}

static bool make_room(struct wire_bytes *b, size_t len)
{
	size_t size = b->size ? b->size : SIZE_FIRST;

	if (b->size - b->start - b->len >= len && b->data)
		return true;
	if (b->start) {
		memmove(b->data, b->data + b->start, b->len);
		b->start = 0;
	}
	while (size - b->len < len)
		size *= 2;
	if (size == b->size)
		return true;
	uint8_t *grown = realloc(b->data, size);
	if (!grown)
		return false;
	b->data = grown;
	b->size = size;
	return true;
}

void wire_bytes_put(struct wire_bytes *b, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (b->failed || !make_room(b, len)) {
		b->failed = true;
		return;
	}
	memcpy(b->data + b->start + b->len, bytes, len);
	b->len += len;
}

void wire_bytes_take(struct wire_bytes *b, size_t len)
{
	b->start += len;
	b->len -= len;
	if (b->len == 0)
		wire_bytes_clear(b);
}

bool wire_bytes_fill(struct wire_bytes *b, size_t want, const uint8_t **bytes, size_t *len)
{
	if (b->len < want && *len) {
		size_t n = want - b->len < *len ? want - b->len : *len;

		wire_bytes_put(b, *bytes, n);
		*bytes += n;
		*len -= n;
	}
	return b->len >= want;
}
