/* SQLite behind db.h. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/scope.h"
#include "control/db_private.h"

enum {
	BUSY_MS = 10000,  /* how long a writer waits for another */
	STATEMENTS = 128, /* prepared, a connection; more than the program has */
};

struct sqlite {
	struct db db;
	sqlite3 *handle;
	struct {
		const char *sql;
		sqlite3_stmt *stmt;
	} cache[STATEMENTS];
	unsigned cached;
};

struct sqlite_row {
	struct db_row row;
	sqlite3_stmt *stmt;
};

static int failed(struct sqlite *s, struct err *err)
{
	int code = sqlite3_extended_errcode(s->handle);
	int errnum = EIO;
	if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY)
		errnum = EEXIST;
	else if ((code & 0xff) == SQLITE_BUSY)
		errnum = ESTALE;
	else if ((code & 0xff) == SQLITE_FULL)
		errnum = ENOSPC;
	return err_set(err, errnum, "database: %s", sqlite3_errmsg(s->handle));
}

static int prepare(struct sqlite *s, const char *sql, sqlite3_stmt **ret, struct err *err)
{
	for (unsigned i = 0; i < s->cached; i++)
		if (s->cache[i].sql == sql) {
			*ret = s->cache[i].stmt;
			return 0;
		}
	if (s->cached == STATEMENTS)
		return err_set(err, ENOBUFS, "database: more statements than are kept");
	/* "$1" would be a name to SQLite, numbered by its first appearance; "?1" is a number */
	char *text = strdup(sql);
	if (!text)
		return err_set(err, ENOMEM, "database: out of memory");
	for (char *p = text; (p = strchr(p, '$')); p++)
		*p = '?';
	int r = sqlite3_prepare_v3(s->handle, text, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
	free(text);
	if (r != SQLITE_OK)
		return failed(s, err);
	s->cache[s->cached].sql = sql;
	s->cache[s->cached++].stmt = *ret;
	return 0;
}

static int bind(sqlite3_stmt *stmt, int index, const struct db_value *v)
{
	switch (v->type) {
	case DB_INT:
		return sqlite3_bind_int64(stmt, index, v->i);
	case DB_REAL:
		return sqlite3_bind_double(stmt, index, v->r);
	case DB_TEXT:
		return sqlite3_bind_text64(stmt, index, v->bytes, v->len, SQLITE_STATIC,
					   SQLITE_UTF8);
	case DB_BLOB:
		return sqlite3_bind_blob64(stmt, index, v->bytes, v->len, SQLITE_STATIC);
	case DB_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, index);
}

static const struct db_backend backend;

static int64_t query(struct db *db, const char *sql, const struct db_value *args, unsigned count,
		     int (*visit)(const struct db_row *row, void *arg), void *arg, struct err *err)
{
	struct sqlite *s = (struct sqlite *)db;
	sqlite3_stmt *stmt;
	int r = prepare(s, sql, &stmt, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++)
		if (bind(stmt, (int)i + 1, &args[i]) != SQLITE_OK) {
			r = failed(s, err);
			sqlite3_reset(stmt);
			return r;
		}
	int64_t rows = 0, stopped = 0;
	struct sqlite_row row = { { &backend }, stmt };
	while ((r = sqlite3_step(stmt)) == SQLITE_ROW && !stopped) {
		rows++;
		stopped = visit ? visit(&row.row, arg) : 0;
	}
	int64_t result = stopped ? stopped : rows;
	if (r != SQLITE_DONE && r != SQLITE_ROW)
		result = failed(s, err);
	else if (!stopped && !rows && sqlite3_column_count(stmt) == 0)
		result = sqlite3_changes64(s->handle);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return result;
}

static int script(struct db *db, const char *sql, struct err *err)
{
	struct sqlite *s = (struct sqlite *)db;
	return sqlite3_exec(s->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(s, err);
}

static void disconnect(struct db *db)
{
	struct sqlite *s = (struct sqlite *)db;
	for (unsigned i = 0; i < s->cached; i++)
		sqlite3_finalize(s->cache[i].stmt);
	sqlite3_close(s->handle);
	free(s);
}

static bool is_null(const struct db_row *row, int column)
{
	const struct sqlite_row *r = (const struct sqlite_row *)row;
	return sqlite3_column_type(r->stmt, column) == SQLITE_NULL;
}

static int64_t integer(const struct db_row *row, int column)
{
	return sqlite3_column_int64(((const struct sqlite_row *)row)->stmt, column);
}

static double real(const struct db_row *row, int column)
{
	return sqlite3_column_double(((const struct sqlite_row *)row)->stmt, column);
}

static const unsigned char *bytes(const struct db_row *row, int column, size_t *ret_len)
{
	sqlite3_stmt *stmt = ((const struct sqlite_row *)row)->stmt;
	const unsigned char *b = sqlite3_column_type(stmt, column) == SQLITE_BLOB
					 ? sqlite3_column_blob(stmt, column)
					 : sqlite3_column_text(stmt, column);
	*ret_len = (size_t)sqlite3_column_bytes(stmt, column);
	return b;
}

static const struct db_backend backend = {
	.kind = DB_SQLITE,
	.close = disconnect,
	.query = query,
	.script = script,
	.begin = "BEGIN IMMEDIATE",
	.is_null = is_null,
	.integer = integer,
	.real = real,
	.bytes = bytes,
};

int sqlite_connect(const char *path, struct db **ret, struct err *err)
{
	/* Keys' hashes and file names of others: nobody else's to read, from the first byte on. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "database %s", path);
	close(fd);
	struct sqlite *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "database: out of memory");
	s->db.backend = &backend;
	int r = sqlite3_open_v2(path, &s->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				NULL);
	if (r != SQLITE_OK) {
		r = err_set(err, EIO, "database %s: %s", path,
			    s->handle ? sqlite3_errmsg(s->handle) : "out of memory");
		disconnect(&s->db);
		return r;
	}
	sqlite3_busy_timeout(s->handle, BUSY_MS);
	/* FULL: what was acknowledged survives a power failure, not only a crash of ours. */
	r = script(&s->db,
		   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
		   "PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=4000;"
		   "PRAGMA journal_size_limit=67108864; PRAGMA trusted_schema=OFF;"
		   "PRAGMA temp_store=MEMORY",
		   err);
	if (r < 0) {
		disconnect(&s->db);
		return r;
	}
	*ret = &s->db;
	return 0;
}

int sqlite_places(const char *path, struct confine_place *places, unsigned size, struct err *err)
{
	/* The log and its index go with the last connection, and come back before the next one. */
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	unsigned count = 0;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && count < size; i++) {
		cleanup_free char *name = NULL;
		if (asprintf(&name, "%s%s", path, suffixes[i]) < 0)
			return err_set(err, ENOMEM, "database: out of memory");
		int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0) {
			int errnum = errno;
			while (count > 0)
				close(places[--count].fd);
			return err_sys(err, errnum, "database %s", name);
		}
		places[count++] = (struct confine_place){ .fd = fd, .write = true };
	}
	return (int)count;
}
