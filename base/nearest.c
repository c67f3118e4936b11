#include "base/nearest.h"

#include <string.h>

enum { WORD_MAX = 40 };

/* Edit distance with transpositions; words longer than WORD_MAX are far from everything. */
static unsigned distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];
	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (unsigned i = 0; i <= la; i++)
		d[i][0] = i;
	for (unsigned j = 0; j <= lb; j++)
		d[0][j] = j;
	for (unsigned i = 1; i <= la; i++) {
		for (unsigned j = 1; j <= lb; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

const char *nearest_word(const char *word, const void *words, unsigned long stride)
{
	const char *found = NULL;
	unsigned best = (unsigned)strlen(word) / 3 + 1;
	for (const char *at = words;; at += stride) {
		const char *candidate;
		memcpy(&candidate, at, sizeof(candidate));
		if (!candidate)
			return found;
		/* A word cut short is a likelier slip than one with letters changed. */
		unsigned d = strlen(word) >= 3 && !strncmp(candidate, word, strlen(word))
				     ? 1
				     : distance(word, candidate);
		if (d < best || (d == best && !found)) {
			best = d;
			found = candidate;
		}
	}
}
