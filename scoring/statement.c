#include "scoring/statement.h"

#include <string.h>

/* clang-format off */
static const struct {
	uint32_t flag;
	enum sql_kind kind;
	float danger;
	const char *why;
} by_flag[] = {
	{ STATEMENT_SESSION,  SQL_SESSION, 0,    NULL },
	{ STATEMENT_READ,     SQL_READ,    0,    NULL },
	{ STATEMENT_UNKNOWN,  SQL_UNKNOWN, 0,    NULL },
	{ STATEMENT_WRITE,    SQL_WRITE,   0,    NULL },
	{ STATEMENT_DEFINE,   SQL_DEFINE,  0,    NULL },
	{ STATEMENT_DELETE,   SQL_DELETE,  0,    NULL },
	{ STATEMENT_DESTROY,  SQL_DESTROY, 1,    "destroys what it names" },
	{ STATEMENT_ALL_ROWS, SQL_WRITE,   .90f, "changes or deletes without WHERE" },
	{ STATEMENT_OUTSIDE,  SQL_UNKNOWN, .85f, "reaches files or programs of the database server" },
	{ STATEMENT_ADMIN,    SQL_DEFINE,  .70f, "administers the database server" },
};
/* clang-format on */

/* Redis' commands are no SQL: their words would be taken for unknown statements. */
static bool is_sql(const struct action *a)
{
	return !a->statement_flags || strncmp(a->resource, "redis:", strlen("redis:")) != 0;
}

void statement_shape(const struct action *a, struct sql_shape *ret)
{
	*ret = (struct sql_shape){ .len = strlen(a->statement) };
	if (is_sql(a))
		sql_inspect(a->statement, ret);
	for (size_t i = 0; i < sizeof(by_flag) / sizeof(by_flag[0]); i++) {
		if (!(a->statement_flags & by_flag[i].flag))
			continue;
		if (by_flag[i].kind > ret->kind)
			ret->kind = by_flag[i].kind;
		if (by_flag[i].danger > ret->danger) {
			ret->danger = by_flag[i].danger;
			ret->why = by_flag[i].why;
		}
	}
}
