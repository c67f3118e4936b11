/* "Did you mean": the known word nearest to an unknown one. */
#pragma once

/*
 * @words: elements of @stride bytes that each begin with a `const char *`; one that is NULL ends
 * them. The nearest by edit distance, a third of the word's length away at most, or NULL.
 */
const char *nearest_word(const char *word, const void *words, unsigned long stride);
