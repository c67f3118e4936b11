/*
 * A database connection: SQLite in a file, or PostgreSQL. One dialect of SQL that both speak
 * (ON CONFLICT, RETURNING, $1 … $N); what differs is in schema.c.
 *
 * Statements are prepared once a connection and found again by the address of their text, so
 * @sql must be a string literal (or live as long as the connection).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum db_kind { DB_SQLITE, DB_POSTGRES };

enum db_type { DB_NULL, DB_INT, DB_REAL, DB_TEXT, DB_BLOB };
struct db_value {
	enum db_type type;
	int64_t i;
	double r;
	const char *bytes; /* TEXT, BLOB; borrowed for the call */
	size_t len;
};

static inline struct db_value db_null(void)
{
	return (struct db_value){ .type = DB_NULL };
}
static inline struct db_value db_i(int64_t i)
{
	return (struct db_value){ .type = DB_INT, .i = i };
}
static inline struct db_value db_r(double r)
{
	return (struct db_value){ .type = DB_REAL, .r = r };
}
/* NULL is SQL's NULL. */
struct db_value db_t(const char *text);
struct db_value db_blob(const void *bytes, size_t len);

struct db;     /* one connection; used by one thread at a time */
struct db_row; /* valid during the call of the visitor */

bool db_is_null(const struct db_row *row, int column);
int64_t db_int(const struct db_row *row, int column); /* 0 for NULL */
double db_real(const struct db_row *row, int column);
const char *db_text(const struct db_row *row, int column); /* "" for NULL; NUL-terminated */
const unsigned char *db_bytes(const struct db_row *row, int column, size_t *ret_len);

/*
 * @url: "sqlite:PATH", a path, or "postgresql://…". A SQLite file is created 0600, in WAL mode, with
 * full durability at commit. Errors: -EINVAL the address, -EIO with the database's own words.
 */
int db_open(const char *url, struct db **ret, struct err *err);
void db_close(struct db *db);
enum db_kind db_kind_of(const char *url);

struct confine_place;
/*
 * The files that connections to @url open from now on, as places of base/confine.h whose descriptors the caller closes.
 * Those of SQLite are made where they are missing, by a first connection. Their number, at most @size, or as db_open.
 */
int db_places(const char *url, struct confine_place *places, unsigned size, struct err *err);

enum db_kind db_kind(const struct db *db);

/*
 * Runs one statement. @visit is called for each row and ends the walk by a value other than 0,
 * which is then returned. Else the number of rows visited, or changed by a statement that returns none.
 * -EEXIST: a unique constraint; -ESTALE: another transaction was in the way, run the whole transaction again;
 * -ENOSPC; -ENOTCONN: the server is gone (the next call connects again); -EIO.
 */
int64_t db_query(struct db *db, const char *sql, const struct db_value *args, unsigned count,
		 int (*visit)(const struct db_row *row, void *arg), void *arg, struct err *err);
#define db_run(db, err, sql, ...) \
	db_query((db), (sql), (const struct db_value[]){ __VA_ARGS__ }, \
		 sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value), NULL, \
		 NULL, (err))
#define db_each(db, err, visit, arg, sql, ...) \
	db_query((db), (sql), (const struct db_value[]){ __VA_ARGS__ }, \
		 sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value), \
		 (visit), (arg), (err))

/*
 * INSERT of many rows: to PostgreSQL in one statement, since each is a way there and back; to SQLite in a few. @into:
 * "INSERT INTO table(column, …)", a literal; @types: of each column a letter, i r or t for DB_INT, DB_REAL, DB_TEXT;
 * @rest: what follows the values. @args: @rows times as many values, row by row. The number of rows that are new, or as
 * db_query.
 */
struct db_insert {
	const char *into, *types, *rest;
};
int64_t db_insert(struct db *db, const struct db_insert *insert, const struct db_value *args,
		  unsigned rows, struct err *err);

/* Several statements of a script, without arguments or rows. */
int db_script(struct db *db, const char *sql, struct err *err);

/* BEGIN for writing (SQLite: takes the write lock at once), COMMIT, ROLLBACK. */
int db_begin(struct db *db, struct err *err);
int db_commit(struct db *db, struct err *err);
void db_rollback(struct db *db);
