#include "launcher/question.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "launcher/program.h"
#include "scoring/sql.h"

void question_init(struct question *q)
{
	q->action = (struct action){
		.resource = "", .program = "", .size_bytes = -1, .syscall_nr = UINT32_MAX
	};
	q->action.mono_ns = clock_ns(CLOCK_MONOTONIC);
	q->action.wall_ns = clock_ns(CLOCK_REALTIME);
	q->action.utc_offset_min = clock_utc_offset_min();
}

/* Canonical as the monitor makes it: links followed; what is not there yet stays as written. */
static int canonical(const char *given, char path[static PATH_MAX], struct err *err)
{
	char whole[PATH_MAX], parent[PATH_MAX], cwd[PATH_MAX] = "";
	if (given[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return err_sys(err, errno, "the current directory cannot be named");
	int len = snprintf(whole, sizeof(whole), "%s%s%s", cwd, *cwd ? "/" : "", given);
	if (len < 0 || len >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	size_t at = (size_t)len;
	memcpy(parent, whole, at + 1);
	while (!realpath(parent, path)) {
		if (errno != ENOENT || at == 0)
			return err_sys(err, errno, "%s", given);
		while (at > 0 && parent[at - 1] != '/')
			at--;
		while (at > 1 && parent[at - 1] == '/')
			at--;
		parent[at] = 0; /* and once more with the directory above */
	}
	if (at == (size_t)len)
		return 0;
	size_t found = strcmp(path, "/") ? strlen(path) : 0;
	const char *tail = whole + at + strspn(whole + at, "/");
	if (snprintf(path + found, PATH_MAX - found, "/%s", tail) >= (int)(PATH_MAX - found))
		return err_set(err, ENAMETOOLONG, "the path is too long");
	return 0;
}

int question_file(struct question *q, const char *path, const char *op, struct err *err)
{
	struct action *a = &q->action;
	static const struct {
		const char *name;
		enum action_type type;
		enum action_op op, op_absent;
		uint32_t flags;
	} ops[] = {
		{ "read", ACTION_FILE_READ, OP_READ, OP_READ, 0 },
		{ "write", ACTION_FILE_WRITE, OP_WRITE, OP_CREATE, 1 },
		{ "delete", ACTION_FILE_DELETE, OP_DELETE, OP_DELETE, 0 },
	};
	struct stat st;
	int r = canonical(path, q->resource, err);
	if (r < 0)
		return r;
	bool exists = stat(q->resource, &st) == 0;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(op ? op : "read", ops[i].name))
			continue;
		a->type = ops[i].type;
		a->op = exists ? ops[i].op : ops[i].op_absent;
		a->open_flags = ops[i].flags;
		a->resource = q->resource;
		a->provenance = exists ? PROVENANCE_EXISTING : PROVENANCE_UNKNOWN;
		a->size_bytes = exists ? st.st_size : -1;
		a->mode = exists ? st.st_mode : 0;
		return 0;
	}
	return err_set(err, EINVAL, "--op '%.20s': read, write or delete", op);
}

int question_exec(struct question *q, char *const *argv, struct err *err)
{
	struct action *a = &q->action;
	if (!program_find(argv[0], q->resource))
		return err_set(err, ENOENT, "%s: command not found", argv[0]);
	a->type = ACTION_CODE_EXECUTION;
	a->op = OP_EXEC;
	a->resource = q->resource;
	a->provenance = PROVENANCE_EXISTING;
	a->argv = q->argv;
	for (char *const *arg = argv; *arg; arg++) {
		size_t n = strlen(*arg) + 1;
		if (a->argv_len + n > ACTION_ARGV_SIZE) {
			a->argv_truncated = true;
			break;
		}
		memcpy(q->argv + a->argv_len, *arg, n);
		a->argv_len += n;
		a->argc++;
	}
	return 0;
}

int question_host(struct question *q, const char *given, struct err *err)
{
	struct action *a = &q->action;
	const char *colon = strrchr(given, ':');
	bool has_port = colon && strchr(given, ':') == colon && colon[1];
	char *end = NULL;
	long port = has_port ? strtol(colon + 1, &end, 10) : 443;
	if (port < 1 || port > 65535 || (end && *end) || !*given)
		return err_set(err, EINVAL, "--host '%.80s': HOST or HOST:PORT", given);
	snprintf(q->resource, sizeof(q->resource), "%.*s:%ld",
		 (int)(has_port ? (size_t)(colon - given) : strlen(given)), given, port);
	a->type = ACTION_NETWORK_REQUEST;
	a->op = OP_CONNECT;
	a->resource = q->resource;
	a->protocol = "tcp";
	a->port = (uint16_t)port;
	a->resolved = strspn(given, "0123456789.:abcdef[]") != strlen(given);
	return 0;
}

int question_sql(struct question *q, const char *statement, const char *database, struct err *err)
{
	struct action *a = &q->action;
	struct sql_shape shape;
	database = database ? database : "postgresql://localhost:5432/";
	if (!strstr(database, "://") || strlen(database) >= PATH_MAX)
		return err_set(err, EINVAL,
			       "--database '%.80s': a URL such as "
			       "postgresql://host:5432/name",
			       database);
	strcpy(q->resource, database);
	sql_inspect(statement, &shape);
	a->type = shape.kind <= SQL_READ ? ACTION_DATABASE_QUERY : ACTION_DATABASE_WRITE;
	a->op = OP_QUERY;
	a->resource = q->resource;
	a->statement = statement;
	a->resolved = true;
	return 0;
}
