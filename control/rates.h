/*
 * Budgets that fill up again with time: how often a key may ask, how often an address may guess. Kept in this process
 * alone, in a table of fixed size: under very many at once those longest unused are forgotten first.
 */
#pragma once

#include <stdbool.h>

struct rates;

enum rate {
	RATE_KEY,   /* requests of a key */
	RATE_GUESS, /* keys that are none, in a header, by address */
	RATE_LOGIN, /* logins that failed, by address */
	RATE_COUNT,
};

/* @key_per_s: of RATE_KEY; 0: no bound. NULL: no memory. */
struct rates *rates_new(unsigned key_per_s);
void rates_free(struct rates *r);

/*
 * Takes one from the budget of @who. 0; or how many seconds until there is one again, and nothing was taken.
 */
unsigned rate_take(struct rates *r, enum rate kind, const char *who);
/* The same without taking. */
unsigned rate_left(struct rates *r, enum rate kind, const char *who);
