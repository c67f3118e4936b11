/* PostgreSQL, and what speaks its protocol, behind db.h. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/confine.h"
#include "base/scope.h"
#include "control/db_private.h"

enum {
	STATEMENTS = 128,
	NUMBER_SIZE = 40,
	ARGS_MAX = 64, /* of a statement */
};

/* A host that swallows packets would else hold a thread for minutes, and the writer with it. */
#define CONNECT_S "10"

struct postgres {
	struct db db;
	PGconn *handle;
	bool in_transaction; /* a lost connection must not be mended in the middle */
	const char *cache[STATEMENTS];
	unsigned cached;
};

struct postgres_row {
	struct db_row row;
	const PGresult *result;
	int number;
	unsigned char *blob; /* of the column last asked for; libpq's */
};

static int failed(struct postgres *p, const PGresult *result, struct err *err)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	int errnum = EIO;
	if (PQstatus(p->handle) == CONNECTION_BAD)
		errnum = ENOTCONN;
	else if (state && strcmp(state, "23505") == 0)
		errnum = EEXIST;
	else if (state && strncmp(state, "40", 2) == 0)
		errnum = ESTALE;
	else if (state && strcmp(state, "53100") == 0)
		errnum = ENOSPC;
	if (!text)
		text = PQerrorMessage(p->handle);
	return err_set(err, errnum, "database: %.*s", (int)strcspn(text, "\n"), text);
}

/* A server that was restarted is met again by the next statement outside a transaction. */
static int connected(struct postgres *p, struct err *err)
{
	if (PQstatus(p->handle) == CONNECTION_OK)
		return 0;
	if (p->in_transaction)
		return err_set(err, ENOTCONN, "database: the server went away");
	PQreset(p->handle);
	p->cached = 0;
	return PQstatus(p->handle) == CONNECTION_OK ? 0 : failed(p, NULL, err);
}

static int prepare(struct postgres *p, const char *sql, char name[static 16], struct err *err)
{
	unsigned i = 0;
	while (i < p->cached && p->cache[i] != sql)
		i++;
	snprintf(name, 16, "s%u", i);
	if (i < p->cached)
		return 0;
	if (i == STATEMENTS)
		return err_set(err, ENOBUFS, "database: more statements than are kept");
	PGresult *result = PQprepare(p->handle, name, sql, 0, NULL);
	int r = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : failed(p, result, err);
	PQclear(result);
	if (r == 0)
		p->cache[p->cached++] = sql;
	return r;
}

static const struct db_backend backend;

static int64_t walk(const PGresult *result, int (*visit)(const struct db_row *, void *), void *arg)
{
	int count = PQntuples(result);
	for (int i = 0; visit && i < count; i++) {
		struct postgres_row row = { { &backend }, result, i, NULL };
		int stopped = visit(&row.row, arg);
		PQfreemem(row.blob);
		if (stopped)
			return stopped;
	}
	return count;
}

struct params {
	unsigned count;
	const char *const *values;
	const int *lengths, *formats;
};

static int64_t execute(struct postgres *p, const char *sql, const struct params *params,
		       int (*visit)(const struct db_row *row, void *arg), void *arg,
		       struct err *err)
{
	char name[16];
	int r = connected(p, err);
	if (r == 0)
		r = prepare(p, sql, name, err);
	if (r < 0)
		return r;
	PGresult *result = PQexecPrepared(p->handle, name, (int)params->count, params->values,
					  params->lengths, params->formats, 0);
	ExecStatusType status = PQresultStatus(result);
	int64_t rows;
	if (status == PGRES_TUPLES_OK)
		rows = walk(result, visit, arg);
	else if (status == PGRES_COMMAND_OK)
		rows = strtoll(PQcmdTuples(result), NULL, 10);
	else
		rows = failed(p, result, err);
	PQclear(result);
	return rows;
}

static int64_t query(struct db *db, const char *sql, const struct db_value *args, unsigned count,
		     int (*visit)(const struct db_row *row, void *arg), void *arg, struct err *err)
{
	char numbers[ARGS_MAX][NUMBER_SIZE];
	const char *values[ARGS_MAX];
	int lengths[ARGS_MAX], formats[ARGS_MAX];
	if (count > ARGS_MAX)
		return err_set(err, EINVAL, "database: too many arguments");
	for (unsigned i = 0; i < count; i++) {
		const struct db_value *v = &args[i];
		values[i] = v->type == DB_NULL ? NULL : v->bytes;
		lengths[i] = (int)v->len;
		formats[i] = v->type == DB_BLOB;
		if (v->type == DB_INT)
			snprintf(numbers[i], NUMBER_SIZE, "%" PRId64, v->i);
		if (v->type == DB_REAL)
			snprintf(numbers[i], NUMBER_SIZE, "%.17g", v->r);
		if (v->type == DB_INT || v->type == DB_REAL)
			values[i] = numbers[i];
	}
	return execute((struct postgres *)db, sql,
		       &(struct params){ count, values, lengths, formats }, visit, arg, err);
}

/* ---- columns as arrays, in the binary form of array_recv ---------------------------------------- */

static char *put_number(char *to, uint32_t n)
{
	n = htobe32(n);
	return mempcpy(to, &n, sizeof(n));
}

static char *put_value(char *to, const struct db_value *v)
{
	uint64_t eight = (uint64_t)v->i;
	switch (v->type) {
	case DB_NULL:
		return put_number(to, UINT32_MAX);
	case DB_REAL:
		memcpy(&eight, &v->r, sizeof(eight));
		break;
	case DB_INT:
		break;
	case DB_TEXT:
	case DB_BLOB:
		to = put_number(to, (uint32_t)v->len);
		return mempcpy(to, v->bytes, v->len);
	}
	eight = htobe64(eight);
	to = put_number(to, sizeof(eight));
	return mempcpy(to, &eight, sizeof(eight));
}

enum { ARRAY_HEAD = 20 };

/* One dimension, which may hold NULLs; its type, length and first index; then of each value its length and bytes. */
static char *put_array(char *to, char type, const struct db_value *args, unsigned columns,
		       unsigned rows)
{
	enum { INT8 = 20, TEXT = 25, FLOAT8 = 701 };
	to = put_number(to, 1);
	to = put_number(to, 1);
	to = put_number(to, type == 'i' ? INT8 : type == 'r' ? FLOAT8 : TEXT);
	to = put_number(to, rows);
	to = put_number(to, 1);
	for (unsigned i = 0; i < rows; i++)
		to = put_value(to, &args[i * columns]);
	return to;
}

static int64_t insert_rows(struct db *db, const char *sql, const struct db_insert *insert,
			   const struct db_value *args, unsigned rows, struct err *err)
{
	unsigned columns = (unsigned)strlen(insert->types);
	const char *values[ARGS_MAX];
	int lengths[ARGS_MAX], formats[ARGS_MAX];
	size_t size = (size_t)columns * ARRAY_HEAD;
	for (unsigned i = 0; i < rows * columns; i++)
		size += sizeof(uint32_t) + (args[i].len ? args[i].len : sizeof(uint64_t));
	cleanup_free char *arrays = columns <= ARGS_MAX && size <= INT32_MAX ? malloc(size) : NULL;
	if (!arrays)
		return err_set(err, ENOMEM, "database: out of memory");
	char *to = arrays;
	for (unsigned c = 0; c < columns; c++) {
		values[c] = to;
		to = put_array(to, insert->types[c], &args[c], columns, rows);
		lengths[c] = (int)(to - values[c]);
		formats[c] = 1;
	}
	return execute((struct postgres *)db, sql,
		       &(struct params){ columns, values, lengths, formats }, NULL, NULL, err);
}

static int script(struct db *db, const char *sql, struct err *err)
{
	struct postgres *p = (struct postgres *)db;
	int r = connected(p, err);
	if (r == 0) {
		PGresult *result = PQexec(p->handle, sql);
		ExecStatusType status = PQresultStatus(result);
		r = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
			    ? 0
			    : failed(p, result, err);
		PQclear(result);
	}
	if (strcmp(sql, "COMMIT") == 0 || strcmp(sql, "ROLLBACK") == 0)
		p->in_transaction = false;
	else if (r == 0 && strncmp(sql, "BEGIN", 5) == 0)
		p->in_transaction = true;
	return r;
}

static void disconnect(struct db *db)
{
	struct postgres *p = (struct postgres *)db;
	PQfinish(p->handle);
	free(p);
}

static bool is_null(const struct db_row *row, int column)
{
	const struct postgres_row *r = (const struct postgres_row *)row;
	return PQgetisnull(r->result, r->number, column);
}

static int64_t integer(const struct db_row *row, int column)
{
	const struct postgres_row *r = (const struct postgres_row *)row;
	return strtoll(PQgetvalue(r->result, r->number, column), NULL, 10);
}

static double real(const struct db_row *row, int column)
{
	const struct postgres_row *r = (const struct postgres_row *)row;
	return strtod(PQgetvalue(r->result, r->number, column), NULL);
}

static const unsigned char *bytes(const struct db_row *row, int column, size_t *ret_len)
{
	enum { BYTEA = 17 };
	/* The row is const to its reader; the unescaped copy is this function's own cache. */
	struct postgres_row *r = (struct postgres_row *)(uintptr_t)row;
	const char *value = PQgetvalue(r->result, r->number, column);
	if (PQftype(r->result, column) != BYTEA) {
		*ret_len = (size_t)PQgetlength(r->result, r->number, column);
		return (const unsigned char *)value;
	}
	PQfreemem(r->blob);
	r->blob = PQunescapeBytea((const unsigned char *)value, ret_len);
	return r->blob;
}

static const struct db_backend backend = {
	.kind = DB_POSTGRES,
	.close = disconnect,
	.query = query,
	.script = script,
	.insert = insert_rows,
	.begin = "BEGIN",
	.is_null = is_null,
	.integer = integer,
	.real = real,
	.bytes = bytes,
};

static void quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message; /* "already exists, skipping": nobody asked */
}

int postgres_connect(const char *url, struct db **ret, struct err *err)
{
	struct postgres *p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "database: out of memory");
	p->db.backend = &backend;
	/* What comes later in the list, here from the address, goes before. */
	const char *const names[] = { "connect_timeout", "dbname", NULL };
	const char *const values[] = { getenv("PGCONNECT_TIMEOUT") ? NULL : CONNECT_S, url, NULL };
	p->handle = PQconnectdbParams(names, values, true);
	if (PQstatus(p->handle) != CONNECTION_OK) {
		int r = failed(p, NULL, err);
		disconnect(&p->db);
		return r;
	}
	PQsetNoticeProcessor(p->handle, quiet, NULL);
	*ret = &p->db;
	return 0;
}

/* Files that the address or libpq's defaults name: passwords and what TLS needs. */
int postgres_places(const char *url, struct confine_place *places, unsigned size, struct err *err)
{
	static const char *const named[] = { "passfile", "sslrootcert", "sslcert", "sslkey",
					     "sslcrl" };
	unsigned count = 0;
	const char *home = getenv("HOME");
	char path[4096], *why = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &why);
	if (!options) {
		int r = err_set(err, EINVAL, "database: %s", why ? why : "out of memory");
		PQfreemem(why);
		return r;
	}
	for (const PQconninfoOption *o = options; o->keyword; o++)
		for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
			if (strcmp(o->keyword, named[i]) == 0 && count < size) {
				const char *file = o->val      ? o->val
						   : o->envvar ? getenv(o->envvar)
							       : NULL;
				if (file)
					places[count++] = (struct confine_place){
						.fd = open(file, O_PATH | O_CLOEXEC)
					};
			}
	PQconninfoFree(options);
	static const char *const usual[] = { ".pgpass", ".postgresql" };
	for (size_t i = 0; home && i < sizeof(usual) / sizeof(usual[0]) && count < size; i++) {
		snprintf(path, sizeof(path), "%s/%s", home, usual[i]);
		places[count++] = (struct confine_place){ .fd = open(path, O_PATH | O_CLOEXEC) };
	}
	return (int)count;
}
