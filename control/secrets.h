/* Texts that prove who somebody is: 32 random bytes each. A store keeps their SHA-256 alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECRET_TEXT_SIZE = 48, SECRET_HASH_SIZE = 32, SECRET_HEX_SIZE = 65 };

/* @kind: four characters that say what it is for; 43 of base64url follow. */
void secret_make(const char kind[static 4], char ret[static SECRET_TEXT_SIZE]);
void secret_hash(const char *text, uint8_t ret[static SECRET_HASH_SIZE]);
/* Another secret, which follows from @text and from which neither @text nor its hash follows: in hexadecimal. */
void secret_derive(const char *label, const char *text, char ret[static SECRET_HEX_SIZE]);
/* Takes as long for a wrong byte at the front as for one at the end. */
bool secret_same(const void *a, const void *b, size_t len);
