/*
 * Project policies a person has read and trusts: pairs of path and digest in CONFIG/trusted.json,
 * 0600. Trust is in the text: a file that changes loses it.
 */
#pragma once

#include <stdio.h>

#include "base/err.h"

enum trust { TRUST_NONE, TRUST_CHANGED, TRUST_GIVEN };

/* What is recorded of @path, in *@ret. -errno: the record cannot be understood; then nothing is trusted. */
int trust_look(const char *path, const char *digest, enum trust *ret, struct err *err);
int trust_give(const char *path, const char *digest, struct err *err);
/* 0; -ENOENT when there was none. */
int trust_revoke(const char *path, struct err *err);
/* One line each: the path, escaped. */
int trust_print(FILE *f, struct err *err);
