#include "control/logins.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/ids.h"

static const int64_t lasts_us = LOGIN_HOURS * 3600LL * 1000000;

int64_t login_create(struct db *db, const char *key, char ret_text[static SECRET_TEXT_SIZE],
		     struct err *err)
{
	uint8_t hash[SECRET_HASH_SIZE];
	int64_t now = ids_now_us();
	secret_make("vtl_", ret_text);
	secret_hash(ret_text, hash);
	int64_t n = db_run(db, err, "DELETE FROM logins WHERE until < $1", db_i(now));
	if (n < 0)
		return n;
	return db_run(db, err, "INSERT INTO logins(hash, key_id, until) VALUES ($1, $2, $3)",
		      db_blob(hash, sizeof(hash)), db_t(key), db_i(now + lasts_us));
}

struct found {
	struct key *key;
	bool good;
};

static int take(const struct db_row *row, void *arg)
{
	struct found *f = arg;
	snprintf(f->key->id, sizeof(f->key->id), "%s", db_text(row, 0));
	snprintf(f->key->name, sizeof(f->key->name), "%s", db_text(row, 1));
	f->good = role_parse(db_text(row, 2), &f->key->role) == 0;
	return 0;
}

int login_find(struct db *db, const char *text, struct key *ret, struct err *err)
{
	uint8_t hash[SECRET_HASH_SIZE];
	struct found f = { .key = ret };
	secret_hash(text, hash);
	*ret = (struct key){ 0 };
	int64_t n =
		db_each(db, err, take, &f,
			"SELECT k.id, k.name, k.role FROM logins l JOIN keys k ON k.id = l.key_id"
			" WHERE l.hash = $1 AND l.until > $2 AND k.revoked_at IS NULL",
			db_blob(hash, sizeof(hash)), db_i(ids_now_us()));
	if (n < 0)
		return (int)n;
	return f.good ? 0 : err_set(err, ENOENT, "no such login");
}

int64_t login_end(struct db *db, const char *text, struct err *err)
{
	uint8_t hash[SECRET_HASH_SIZE];
	secret_hash(text, hash);
	return db_run(db, err, "DELETE FROM logins WHERE hash = $1", db_blob(hash, sizeof(hash)));
}

void login_token(const char *text, char ret[static SECRET_HEX_SIZE])
{
	secret_derive("csrf", text, ret);
}

bool login_proves(const char *text, const char *token)
{
	char want[SECRET_HEX_SIZE];
	login_token(text, want);
	return strlen(token) == sizeof(want) - 1 && secret_same(token, want, sizeof(want) - 1);
}
