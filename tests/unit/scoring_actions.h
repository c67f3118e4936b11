/* Actions as the tests of this floor build them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scoring/history.h"
#include "scoring/score.h"

enum { MS = 1000000 };
static const uint64_t second_ns = UINT64_C(1000000000);
/* A Tuesday, ten in the morning. */
static const uint64_t morning_ns = UINT64_C(1767693600) * UINT64_C(1000000000);

static inline struct action action_file(enum action_op op, const char *path, enum provenance prov)
{
	enum action_type type = op == OP_READ     ? ACTION_FILE_READ
				: op == OP_DELETE ? ACTION_FILE_DELETE
						  : ACTION_FILE_WRITE;

	return (struct action){ .type = type,
				.op = op,
				.provenance = prov,
				.resource = path,
				.size_bytes = -1,
				.program = "",
				.mono_ns = 1000 * second_ns,
				.wall_ns = morning_ns,
				.syscall_nr = UINT32_MAX };
}

/* @argv: words with a NUL after each; the literal's own NUL ends the last. */
#define action_exec(path, prov, argv_) action_exec_((path), (prov), (argv_), sizeof(argv_))

static inline struct action action_exec_(const char *path, enum provenance prov, const char *argv,
					 size_t len)
{
	struct action a = action_file(OP_EXEC, path, prov);

	a.type = ACTION_CODE_EXECUTION;
	a.argv = argv;
	a.argv_len = len;
	for (size_t i = 0; i < len; i++)
		a.argc += argv[i] == '\0';
	return a;
}

static inline struct action action_sql(enum action_type type, const char *statement)
{
	struct action a =
		action_file(OP_QUERY, "postgresql://db.example:5432/app", PROVENANCE_UNKNOWN);

	a.type = type;
	a.statement = statement;
	return a;
}

static inline struct action action_net(const char *resource, bool resolved)
{
	struct action a = action_file(OP_CONNECT, resource, PROVENANCE_UNKNOWN);

	a.type = ACTION_NETWORK_REQUEST;
	a.resolved = resolved;
	a.protocol = "tcp";
	return a;
}

static inline float total_of(const struct action *a, const struct history *h)
{
	struct score s;

	score_action(a, h, &s);
	return s.total;
}
