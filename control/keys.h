/* API keys: vtk_ and 43 characters; the store knows only their SHA-256. */
#pragma once

#include <stdint.h>

#include "control/agents.h"
#include "control/secrets.h"

/* What a key may do; also the bits of a route's list. */
enum role { ROLE_AGENT = 1, ROLE_VIEWER = 2, ROLE_APPROVER = 4, ROLE_ADMIN = 8 };

enum { KEY_TEXT_SIZE = SECRET_TEXT_SIZE };

struct key {
	char id[AGENT_ID_SIZE];
	char name[128];
	enum role role;
};

const char *role_name(enum role role);
/* 0 or -EINVAL. */
int role_parse(const char *name, enum role *ret);

/* Makes one; its text is shown now or never. Writes. */
int key_create(struct db *db, const char *name, enum role role, char ret_text[static KEY_TEXT_SIZE],
	       struct key *ret, struct err *err);
/* 0; -ENOENT: no such key, or it was revoked. */
int key_find(struct db *db, const char *text, struct key *ret, struct err *err);
/* Writes. 0: there is none. */
int64_t key_revoke(struct db *db, const char *id, struct err *err);
int64_t key_list(struct db *db, struct json_object *list, struct err *err);
/* Number of keys with that role that still work. */
int64_t key_count(struct db *db, enum role role, struct err *err);
