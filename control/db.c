#include "control/db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/db_private.h"

struct db_value db_t(const char *text)
{
	if (!text)
		return db_null();
	return (struct db_value){ .type = DB_TEXT, .bytes = text, .len = strlen(text) };
}

struct db_value db_blob(const void *bytes, size_t len)
{
	return (struct db_value){ .type = DB_BLOB, .bytes = bytes, .len = len };
}

bool db_is_null(const struct db_row *row, int column)
{
	return row->backend->is_null(row, column);
}

int64_t db_int(const struct db_row *row, int column)
{
	return row->backend->integer(row, column);
}

double db_real(const struct db_row *row, int column)
{
	return row->backend->real(row, column);
}

const unsigned char *db_bytes(const struct db_row *row, int column, size_t *ret_len)
{
	return row->backend->bytes(row, column, ret_len);
}

const char *db_text(const struct db_row *row, int column)
{
	size_t len;
	const unsigned char *bytes = row->backend->bytes(row, column, &len);
	return bytes ? (const char *)bytes : "";
}

static bool starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

enum db_kind db_kind_of(const char *url)
{
	return starts_with(url, "postgresql://") || starts_with(url, "postgres://") ? DB_POSTGRES
										    : DB_SQLITE;
}

static const char *sqlite_path(const char *url)
{
	return starts_with(url, "sqlite:") ? url + strlen("sqlite:") : url;
}

int db_open(const char *url, struct db **ret, struct err *err)
{
	*ret = NULL;
	if (db_kind_of(url) == DB_POSTGRES)
		return postgres_connect(url, ret, err);
	if (strstr(sqlite_path(url), "://"))
		return err_set(err, EINVAL,
			       "database %.100s: only sqlite:PATH and postgresql:// are known",
			       url);
	return sqlite_connect(sqlite_path(url), ret, err);
}

int db_places(const char *url, struct confine_place *places, unsigned size, struct err *err)
{
	struct db *db;
	if (db_kind_of(url) == DB_POSTGRES)
		return postgres_places(url, places, size, err);
	int r = db_open(url, &db, err);
	if (r < 0)
		return r;
	db_close(db);
	return sqlite_places(sqlite_path(url), places, size, err);
}

void db_close(struct db *db)
{
	if (!db)
		return;
	for (unsigned i = 0; i < db->insert_count; i++)
		free(db->inserts[i].text);
	db->backend->close(db);
}

enum db_kind db_kind(const struct db *db)
{
	return db->backend->kind;
}

int64_t db_query(struct db *db, const char *sql, const struct db_value *args, unsigned count,
		 int (*visit)(const struct db_row *row, void *arg), void *arg, struct err *err)
{
	return db->backend->query(db, sql, args, count, visit, arg, err);
}

/* "VALUES ($1,$2),($3,$4)" */
static void put_values(FILE *f, unsigned columns, unsigned rows)
{
	fputs("VALUES ", f);
	for (unsigned i = 0; i < rows * columns; i++)
		fprintf(f, "%s$%u%s",
			i % columns ? ","
			: i         ? ",("
				    : "(",
			i + 1, (i + 1) % columns ? "" : ")");
}

/* "SELECT * FROM unnest($1::bigint[],$2::text[])" */
static void put_arrays(FILE *f, const char *types)
{
	fputs("SELECT * FROM unnest", f);
	for (unsigned i = 0; types[i]; i++)
		fprintf(f, "%c$%u::%s[]", i ? ',' : '(', i + 1,
			types[i] == 'i'   ? "bigint"
			: types[i] == 'r' ? "double precision"
					  : "text");
	fputc(')', f);
}

/* Made once a connection. @rows 0: with arrays. */
static const char *insert_text(struct db *db, const struct db_insert *insert, unsigned rows)
{
	for (unsigned i = 0; i < db->insert_count; i++)
		if (db->inserts[i].into == insert->into && db->inserts[i].rows == rows)
			return db->inserts[i].text;
	char *text = NULL;
	size_t len = 0;
	FILE *f = db->insert_count < DB_INSERTS ? open_memstream(&text, &len) : NULL;
	if (!f)
		return NULL;
	fprintf(f, "%s ", insert->into);
	if (rows)
		put_values(f, (unsigned)strlen(insert->types), rows);
	else
		put_arrays(f, insert->types);
	fprintf(f, " %s", insert->rest);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	db->inserts[db->insert_count].into = insert->into;
	db->inserts[db->insert_count].rows = rows;
	db->inserts[db->insert_count++].text = text;
	return text;
}

/* 64, 16, 4 or 1: few texts to prepare, and few statements whatever the number. */
static unsigned rows_at_once(unsigned left, unsigned columns)
{
	unsigned n = DB_ROWS;
	while (n > 1 && (n > left || n * columns > DB_ARGS_MAX))
		n /= 4;
	return n;
}

int64_t db_insert(struct db *db, const struct db_insert *insert, const struct db_value *args,
		  unsigned rows, struct err *err)
{
	bool arrays = db->backend->insert;
	unsigned columns = (unsigned)strlen(insert->types);
	int64_t total = 0;
	for (unsigned done = 0, n; done < rows; done += n) {
		n = arrays ? rows : rows_at_once(rows - done, columns);
		const char *sql = insert_text(db, insert, arrays ? 0 : n);
		int64_t r;
		if (!sql)
			r = err_set(err, ENOMEM, "database: out of memory");
		else if (arrays)
			r = db->backend->insert(db, sql, insert, args, rows, err);
		else
			r = db->backend->query(db, sql, args + done * columns, n * columns, NULL,
					       NULL, err);
		if (r < 0)
			return r;
		total += r;
	}
	return total;
}

int db_script(struct db *db, const char *sql, struct err *err)
{
	return db->backend->script(db, sql, err);
}

int db_begin(struct db *db, struct err *err)
{
	return db->backend->script(db, db->backend->begin, err);
}

int db_commit(struct db *db, struct err *err)
{
	int r = db->backend->script(db, "COMMIT", err);
	if (r < 0)
		db_rollback(db);
	return r;
}

void db_rollback(struct db *db)
{
	struct err ignored; /* a connection that is gone has rolled back by itself */
	db->backend->script(db, "ROLLBACK", &ignored);
}
