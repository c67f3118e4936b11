/* A queue of bytes on the heap: put at the end, taken from the front. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_bytes {
	uint8_t *data; /* owned */
	size_t start, len, size;
	bool failed; /* memory ran out: what was put since is lost, the connection is to be closed */
};

void wire_bytes_finish(struct wire_bytes *b);
void wire_bytes_put(struct wire_bytes *b, const void *bytes, size_t len);
void wire_bytes_take(struct wire_bytes *b, size_t len);
void wire_bytes_clear(struct wire_bytes *b);

static inline const uint8_t *wire_bytes_at(const struct wire_bytes *b)
{
	return b->start ? b->data + b->start : b->data;
}

/*
 * Moves bytes from *@bytes to the end of @b until it holds @want. Returns
 * whether it does; *@bytes and *@len move on.
 */
bool wire_bytes_fill(struct wire_bytes *b, size_t want, const uint8_t **bytes, size_t *len);

/* Numbers as the protocols write them. */
static inline uint32_t wire_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t wire_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint16_t wire_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint16_t wire_le16(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t wire_le24(const uint8_t *p)
{
	return (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}
