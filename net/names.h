/*
 * What names led to: the memory that turns the address of a connect(2) into the name it was
 * resolved from. One per sandbox; bounded; no clock of its own. Holds only pairs that were permitted.
 */
#pragma once

#include <stdint.h>

#include "net/address.h"

enum {
	NAMES_MAX = 4096,      /* pairs; beyond, the one learnt longest ago goes */
	NAMES_SHARED_MAX = 16, /* names of one address that are looked at */
	NAMES_HOLD_S = 600,    /* programs keep addresses longer than they may */
};

struct names;

struct names *names_new(void); /* NULL: out of memory */
void names_free(struct names *n);

/* @name led to @address (port ignored) for @ttl_s seconds from @now_ns. Renews what is known. */
void names_learn(struct names *n, const char *name, const struct net_address *address,
		 uint32_t ttl_s, uint64_t now_ns);
/* The same for good: what the host's own file says. */
void names_learn_forever(struct names *n, const char *name, const struct net_address *address);

/* Names that led to @address, the last learnt first. Returns how many, at most @max. */
unsigned names_of(const struct names *n, const struct net_address *address, uint64_t now_ns,
		  const char **ret, unsigned max);
/* Addresses that @name has for good, of @family. Returns how many, at most @max. */
unsigned names_fixed(const struct names *n, const char *name, uint8_t family,
		     struct net_address *ret, unsigned max);

/* Takes in the text of a hosts(5) file. Lines that are not well formed are left out. */
void names_load_hosts(struct names *n, const char *text);
