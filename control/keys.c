#include "control/keys.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "control/ids.h"
#include "control/json.h"
#include "control/secrets.h"

static const struct {
	enum role role;
	const char *name;
} roles[] = {
	{ ROLE_AGENT, "agent" },
	{ ROLE_VIEWER, "viewer" },
	{ ROLE_APPROVER, "approver" },
	{ ROLE_ADMIN, "admin" },
};

enum { ROLES = sizeof(roles) / sizeof(roles[0]) };

const char *role_name(enum role role)
{
	for (unsigned i = 0; i < ROLES; i++)
		if (roles[i].role == role)
			return roles[i].name;
	return "invalid";
}

int role_parse(const char *name, enum role *ret)
{
	for (unsigned i = 0; i < ROLES; i++)
		if (strcmp(roles[i].name, name) == 0) {
			*ret = roles[i].role;
			return 0;
		}
	return -EINVAL;
}

int key_create(struct db *db, const char *name, enum role role, char ret_text[static KEY_TEXT_SIZE],
	       struct key *ret, struct err *err)
{
	uint8_t hash[SECRET_HASH_SIZE];
	secret_make("vtk_", ret_text);
	secret_hash(ret_text, hash);
	*ret = (struct key){ .role = role };
	uuid_make(ret->id);
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	int64_t n =
		db_run(db, err,
		       "INSERT INTO keys(id, name, role, hash, created_at) VALUES ($1,$2,$3,$4,$5)",
		       db_t(ret->id), db_t(ret->name), db_t(role_name(role)),
		       db_blob(hash, sizeof(hash)), db_i(ids_now_us()));
	return n < 0 ? (int)n : 0;
}

struct found {
	struct key *key;
	const uint8_t *hash;
	bool same;
};

static int take(const struct db_row *row, void *arg)
{
	struct found *f = arg;
	size_t len;
	const uint8_t *stored = db_bytes(row, 3, &len);
	snprintf(f->key->id, sizeof(f->key->id), "%s", db_text(row, 0));
	snprintf(f->key->name, sizeof(f->key->name), "%s", db_text(row, 1));
	f->same = len == SECRET_HASH_SIZE && secret_same(stored, f->hash, len) &&
		  role_parse(db_text(row, 2), &f->key->role) == 0;
	return 0;
}

int key_find(struct db *db, const char *text, struct key *ret, struct err *err)
{
	uint8_t hash[SECRET_HASH_SIZE];
	struct found f = { .key = ret, .hash = hash };
	secret_hash(text, hash);
	*ret = (struct key){ 0 };
	int64_t n = db_each(
		db, err, take, &f,
		"SELECT id, name, role, hash FROM keys WHERE hash = $1 AND revoked_at IS NULL",
		db_blob(hash, sizeof(hash)));
	if (n < 0)
		return (int)n;
	return f.same ? 0 : err_set(err, ENOENT, "no such key");
}

int64_t key_revoke(struct db *db, const char *id, struct err *err)
{
	return db_run(db, err,
		      "UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
		      db_t(id), db_i(ids_now_us()));
}

static int append(const struct db_row *row, void *arg)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "id", json_text(db_text(row, 0)));
	json_put(o, "name", json_text(db_text(row, 1)));
	json_put(o, "role", json_text(db_text(row, 2)));
	json_put(o, "created_at", json_time(db_int(row, 3)));
	json_put(o, "revoked_at", json_time(db_int(row, 4)));
	return json_object_array_add(arg, o);
}

int64_t key_list(struct db *db, struct json_object *list, struct err *err)
{
	return db_query(db,
			"SELECT id, name, role, created_at, revoked_at FROM keys"
			" ORDER BY created_at DESC, id LIMIT 1000",
			NULL, 0, append, list, err);
}

static int take_int(const struct db_row *row, void *arg)
{
	*(int64_t *)arg = db_int(row, 0);
	return 0;
}

int64_t key_count(struct db *db, enum role role, struct err *err)
{
	int64_t count = 0;
	int64_t n = db_each(db, err, take_int, &count,
			    "SELECT count(*) FROM keys WHERE role = $1 AND revoked_at IS NULL",
			    db_t(role_name(role)));
	return n < 0 ? n : count;
}
