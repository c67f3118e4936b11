/* SHA-256 (FIPS 180-4), by the processor's own instructions where it has them: nettle, which looks. */
#pragma once

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_SIZE = SHA256_DIGEST_SIZE, DIGEST_HEX = 2 * DIGEST_SIZE + 1 /* with its NUL */ };

struct digest {
	struct sha256_ctx ctx;
};

void digest_begin(struct digest *d);
void digest_add(struct digest *d, const void *bytes, size_t len);
void digest_end(struct digest *d, uint8_t ret[static DIGEST_SIZE]);
/* The same in lower-case hexadecimal digits. */
void digest_end_hex(struct digest *d, char ret[static DIGEST_HEX]);
/* All of it at once. */
void digest_hex(const void *bytes, size_t len, char ret[static DIGEST_HEX]);
