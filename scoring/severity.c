/* How destructive is this kind of action, and to whose things? */
#include <assert.h>
#include <string.h>

#include "scoring/dimensions.h"
#include "scoring/resource.h"
#include "scoring/sql.h"
#include "scoring/statement.h"

/* x by provenance: touching what this session made is mild, what it found is not. */
struct severity_row {
	float x[PROVENANCE_COUNT];
	const char *why;
	const char *why_created;
};

#define BY(unknown, system, existing, created) \
	{ \
		[PROVENANCE_UNKNOWN] = (unknown), [PROVENANCE_SYSTEM] = (system), \
		[PROVENANCE_EXISTING] = (existing), [PROVENANCE_CREATED] = (created) \
	}

/* clang-format off */
static const struct severity_row by_op[] = {
	[OP_NONE]     = { BY(.20f, .20f, .20f, .20f), "acts", "acts" },
	[OP_READ]     = { BY(.05f, .03f, .05f, .02f), "reads", "reads its own file" },
	[OP_CREATE]   = { BY(.20f, .35f, .20f, .18f), "creates a file", "creates a file" },
	[OP_WRITE]    = { BY(.25f, .45f, .25f, .18f), "writes a file it found", "writes its own file" },
	[OP_TRUNCATE] = { BY(.35f, .50f, .35f, .18f), "empties a file it found", "empties its own file" },
	[OP_DELETE]   = { BY(.60f, .70f, .60f, .18f), "deletes what it found", "deletes its own file" },
	[OP_RENAME]   = { BY(.35f, .50f, .35f, .18f), "renames what it found", "renames its own file" },
	[OP_LINK]     = { BY(.20f, .30f, .20f, .18f), "makes a hard link", "links its own file" },
	[OP_SYMLINK]  = { BY(.20f, .30f, .20f, .18f), "makes a symbolic link", "makes a symbolic link" },
	[OP_MKDIR]    = { BY(.18f, .30f, .18f, .18f), "makes a directory", "makes a directory" },
	[OP_MKNOD]    = { BY(.30f, .40f, .30f, .25f), "makes a special file", "makes a special file" },
	[OP_CHMOD]    = { BY(.30f, .50f, .30f, .18f), "changes permissions", "changes its own permissions" },
	[OP_CHOWN]    = { BY(.35f, .55f, .35f, .20f), "changes the owner", "changes its own file's owner" },
	[OP_UTIME]    = { BY(.18f, .30f, .18f, .15f), "changes times", "changes its own file's times" },
	[OP_XATTR]    = { BY(.20f, .35f, .20f, .18f), "changes attributes", "changes its own attributes" },
	[OP_EXEC]     = { BY(.28f, .25f, .30f, .45f), "runs a program", "runs a program it made itself" },
	[OP_CONNECT]  = { BY(.25f, .25f, .25f, .25f), "connects to a named host", NULL },
	[OP_BIND]     = { BY(.20f, .20f, .20f, .20f), "listens", NULL },
	[OP_SEND]     = { BY(.25f, .25f, .25f, .25f), "sends to a named host", NULL },
	[OP_QUERY]    = { BY(.20f, .20f, .20f, .20f), "queries", NULL },
	[OP_RESOLVE]  = { BY(.10f, .10f, .10f, .10f), "asks for a name's address", NULL },
};
static_assert(sizeof(by_op) / sizeof(by_op[0]) == OP_COUNT, "every op has a row");

/* What a caller means who names the type alone. */
static const enum action_op op_of_type[] = {
	[ACTION_NONE] = OP_READ,
	[ACTION_FILE_READ] = OP_READ,
	[ACTION_FILE_WRITE] = OP_WRITE,
	[ACTION_FILE_DELETE] = OP_DELETE,
	[ACTION_API_CALL] = OP_CONNECT,
	[ACTION_DATABASE_QUERY] = OP_QUERY,
	[ACTION_DATABASE_WRITE] = OP_QUERY,
	[ACTION_CODE_EXECUTION] = OP_EXEC,
	[ACTION_NETWORK_REQUEST] = OP_CONNECT,
};
static_assert(sizeof(op_of_type) / sizeof(op_of_type[0]) == ACTION_TYPE_COUNT, "every type has an op");

static const struct finding by_statement[] = {
	[SQL_NONE]     = { .20f, "reads from a database" },
	[SQL_READ]     = { .20f, "reads from a database" },
	[SQL_SESSION]  = { .15f, "sets up a database session" },
	[SQL_WRITE]    = { .45f, "writes to a database" },
	[SQL_DEFINE]   = { .45f, "changes a database's definitions" },
	[SQL_DELETE]   = { .55f, "deletes rows" },
	[SQL_DESTROY]  = { .70f, "destroys tables" },
	[SQL_UNKNOWN]  = { .45f, "sends a statement of unknown effect" },
};
static_assert(sizeof(by_statement) / sizeof(by_statement[0]) == SQL_KIND_COUNT, "every kind has a row");
/* clang-format on */

static const struct finding local_peer = { .15f, "talks to this machine" };
static const struct finding raw_address = { .70f,
					    "connects to an address no name was resolved to" };
static const struct finding temp_program = { .70f,
					     "runs a program it wrote to a temporary directory" };
static const struct finding temp_unknown = { .45f, "runs a program from a temporary directory" };
static const struct finding hidden_program = { .70f, "runs a program that has no file" };
static const struct finding database_write = { .45f, "writes to a database" };

static struct finding of_database(const struct action *a)
{
	struct finding f = by_statement[SQL_NONE];
	struct sql_shape shape;

	if (a->type == ACTION_DATABASE_WRITE)
		f = database_write;
	if (a->statement) {
		statement_shape(a, &shape);
		finding_raise(&f, by_statement[shape.kind].x, by_statement[shape.kind].why);
	}
	return f;
}

static struct finding of_network(const struct action *a, struct finding f)
{
	struct resource_host host = resource_host(a->resource);

	if (host.local)
		return local_peer;
	if (host.numeric && !a->resolved)
		finding_raise(&f, raw_address.x, raw_address.why);
	return f;
}

static struct finding of_exec(const struct action *a, struct finding f)
{
	if (strncmp(a->resource, "/memfd:", 7) == 0)
		return hidden_program;
	if (!resource_in_temp(a->resource))
		return f;
	if (a->provenance == PROVENANCE_CREATED)
		return temp_program;
	finding_raise(&f, temp_unknown.x, temp_unknown.why);
	return f;
}

struct finding severity_of(const struct action *a)
{
	const struct severity_row *row = &by_op[a->op == OP_NONE ? op_of_type[a->type] : a->op];
	struct finding f = {
		.x = row->x[a->provenance],
		.why = a->provenance == PROVENANCE_CREATED && row->why_created ? row->why_created
									       : row->why,
	};

	switch (a->type) {
	case ACTION_DATABASE_QUERY:
	case ACTION_DATABASE_WRITE:
		return of_database(a);
	case ACTION_API_CALL:
	case ACTION_NETWORK_REQUEST:
		return of_network(a, f);
	case ACTION_CODE_EXECUTION:
		return of_exec(a, f);
	case ACTION_NONE:
	case ACTION_FILE_READ:
	case ACTION_FILE_WRITE:
	case ACTION_FILE_DELETE:
	case ACTION_TYPE_COUNT:
		break;
	}
	return f;
}
