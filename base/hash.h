/* SHA-256 (FIPS 180-4), by the processor's own instructions where it has them: nettle, which looks. */
#pragma once

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

enum { HASH_SIZE = SHA256_DIGEST_SIZE, HASH_HEX = 2 * HASH_SIZE + 1 /* with its NUL */ };

struct hash {
	struct sha256_ctx ctx;
};

void hash_begin(struct hash *h);
void hash_add(struct hash *h, const void *bytes, size_t len);
void hash_end(struct hash *h, uint8_t ret[static HASH_SIZE]);
/* The same in lower-case hexadecimal digits. */
void hash_end_hex(struct hash *h, char ret[static HASH_HEX]);
/* All of it at once. */
void hash_hex(const void *bytes, size_t len, char ret[static HASH_HEX]);
