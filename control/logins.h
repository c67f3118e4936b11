/*
 * People who logged in with a key: a cookie stands for it in the browser. The store knows the cookie's hash, the
 * page knows a token that follows from the cookie, and a login ends with its time, its key or by itself.
 */
#pragma once

#include "control/keys.h"

enum { LOGIN_HOURS = 12 };

/* A login by the key @key (id). @ret_text: the cookie. Writes. */
int64_t login_create(struct db *db, const char *key, char ret_text[static SECRET_TEXT_SIZE],
		     struct err *err);
/* 0; -ENOENT: no such login, it is over, or its key was revoked. */
int login_find(struct db *db, const char *text, struct key *ret, struct err *err);
/* Writes. */
int64_t login_end(struct db *db, const char *text, struct err *err);

/* What the page sends along when it wants something done. */
void login_token(const char *text, char ret[static SECRET_HEX_SIZE]);
bool login_proves(const char *text, const char *token);
