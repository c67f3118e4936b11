#include "control/secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"

enum { SECRET_BYTES = 32 };

void secret_hash(const char *text, uint8_t ret[static SECRET_HASH_SIZE])
{
	struct hash d;
	hash_begin(&d);
	hash_add(&d, text, strlen(text));
	hash_end(&d, ret);
}

void secret_derive(const char *label, const char *text, char ret[static SECRET_HEX_SIZE])
{
	struct hash d;
	hash_begin(&d);
	hash_add(&d, label, strlen(label) + 1); /* the NUL ends the label */
	hash_add(&d, text, strlen(text));
	hash_end_hex(&d, ret);
}

/* base64url without padding: 32 bytes are 43 characters. */
void secret_make(const char kind[static 4], char ret[static SECRET_TEXT_SIZE])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char secret[SECRET_BYTES + 1] = { 0 };
	size_t len = 4;
	memcpy(ret, kind, len);
	if (getrandom(secret, SECRET_BYTES, 0) != SECRET_BYTES)
		abort(); /* never: see getrandom(2) on requests up to 256 bytes */
	for (unsigned bit = 0; bit < SECRET_BYTES * 8; bit += 6) {
		unsigned pair = (unsigned)secret[bit / 8] << 8 | secret[bit / 8 + 1];
		ret[len++] = digits[pair >> (10 - bit % 8) & 63];
	}
	ret[len] = '\0';
	explicit_bzero(secret, sizeof(secret));
}

bool secret_same(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;
	volatile uint8_t difference = 0;
	for (size_t i = 0; i < len; i++)
		difference |= (uint8_t)(x[i] ^ y[i]);
	return difference == 0;
}
