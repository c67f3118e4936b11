/* The commands of Redis, by what they do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REDIS_WORDS = 3, REDIS_WORD_SIZE = 24 };

/* The first words of a command, in lower case; a longer word is cut and known to nobody. */
struct redis_words {
	unsigned count; /* of all arguments */
	char word[REDIS_WORDS][REDIS_WORD_SIZE];
};

void redis_words_add(struct redis_words *w, const uint8_t *bytes, size_t len);
/* Of enum statement_flag; a command that is not in the table has STATEMENT_UNKNOWN. */
uint32_t redis_words_flags(const struct redis_words *w);
/* Whether the connection would speak the replication protocol afterwards. */
bool redis_words_unseen(const struct redis_words *w);
/* Whether this is the first line, or a header, of HTTP. */
bool redis_words_http(const struct redis_words *w);
