#include "base/hash.h"

void hash_begin(struct hash *h)
{
	sha256_init(&h->ctx);
}

void hash_add(struct hash *h, const void *bytes, size_t len)
{
	sha256_update(&h->ctx, len, bytes);
}

void hash_end(struct hash *h, uint8_t ret[static HASH_SIZE])
{
	sha256_digest(&h->ctx, HASH_SIZE, ret);
}

void hash_end_hex(struct hash *h, char ret[static HASH_HEX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[HASH_SIZE];
	hash_end(h, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[HASH_HEX - 1] = '\0';
}

void hash_hex(const void *bytes, size_t len, char ret[static HASH_HEX])
{
	struct hash h;
	hash_begin(&h);
	hash_add(&h, bytes, len);
	hash_end_hex(&h, ret);
}
