/*
 * Secrets and personal data in texts that are about to leave the place they were seen in: found by their form, and where
 * a form has a check digit, only with the right one. What is found is replaced by "[masked NAME]".
 *
 * It is no promise: a secret without a form of its own, in a text that does not say what it is, stays.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct json_object;

enum mask {
	MASK_SECRETS = 1,  /* keys, tokens, passwords that are named, private keys */
	MASK_PERSONAL = 2, /* e-mail addresses, numbers of cards and accounts */
	MASK_ALL = MASK_SECRETS | MASK_PERSONAL,
};

/*
 * How many places of @text were masked; when there are any *ret is the new text, the caller's, NUL-terminated. 0: *ret
 * is untouched. -ENOMEM.
 */
int mask_text(const char *text, size_t len, unsigned what, char **ret);

/* Whether the value of a member, variable or option of this name is a secret: it ends with password, token or the like. */
bool mask_is_secret_name(const char *name, size_t len);

/*
 * Every text and long number in the value of member @name of @o, which is changed in place; whole the values of members
 * whose name says that they are secret. Number of places, -ENOMEM.
 */
int mask_member(struct json_object *o, const char *name, unsigned what);
