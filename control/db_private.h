/* What a backend of db.c provides. */
#pragma once

#include "control/db.h"

struct db_backend {
	enum db_kind kind;
	void (*close)(struct db *db);
	int64_t (*query)(struct db *db, const char *sql, const struct db_value *args,
			 unsigned count, int (*visit)(const struct db_row *row, void *arg),
			 void *arg, struct err *err);
	int (*script)(struct db *db, const char *sql, struct err *err);
	/* All rows by one statement, whose text has an array for each column; NULL: with VALUES, so many at a time. */
	int64_t (*insert)(struct db *db, const char *sql, const struct db_insert *insert,
			  const struct db_value *args, unsigned rows, struct err *err);
	const char *begin;
	bool (*is_null)(const struct db_row *row, int column);
	int64_t (*integer)(const struct db_row *row, int column);
	double (*real)(const struct db_row *row, int column);
	const unsigned char *(*bytes)(const struct db_row *row, int column, size_t *ret_len);
};

enum {
	DB_ROWS = 64, /* of an INSERT in one statement; a power of four */
	DB_ARGS_MAX = 1024,
	DB_INSERTS = 16,
};

/* First member of each backend's own. */
struct db {
	const struct db_backend *backend;
	/* Texts of INSERTs, which stay where they are as long as the connection. */
	struct {
		const char *into;
		unsigned rows; /* 0: arrays */
		char *text;    /* owned */
	} inserts[DB_INSERTS];
	unsigned insert_count;
};
struct db_row {
	const struct db_backend *backend;
};

int sqlite_connect(const char *path, struct db **ret, struct err *err);
int postgres_connect(const char *url, struct db **ret, struct err *err);

/* db_places of each. */
struct confine_place;
int sqlite_places(const char *path, struct confine_place *places, unsigned size, struct err *err);
int postgres_places(const char *url, struct confine_place *places, unsigned size, struct err *err);
