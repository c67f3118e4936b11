#include "base/digest.h"

void digest_begin(struct digest *d)
{
	sha256_init(&d->ctx);
}

void digest_add(struct digest *d, const void *bytes, size_t len)
{
	sha256_update(&d->ctx, len, bytes);
}

void digest_end(struct digest *d, uint8_t ret[static DIGEST_SIZE])
{
	sha256_digest(&d->ctx, DIGEST_SIZE, ret);
}

void digest_end_hex(struct digest *d, char ret[static DIGEST_HEX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[DIGEST_SIZE];
	digest_end(d, bytes);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[DIGEST_HEX - 1] = '\0';
}

void digest_hex(const void *bytes, size_t len, char ret[static DIGEST_HEX])
{
	struct digest d;
	digest_begin(&d);
	digest_add(&d, bytes, len);
	digest_end_hex(&d, ret);
}
