/*
 * An action that has not happened, as a person describes it: what `why` asks about. Made as the
 * monitor would make it: canonical paths, programs found in PATH.
 */
#pragma once

#include <limits.h>

#include "base/action.h"
#include "base/err.h"

struct question {
	struct action action; /* points into the two below, and into what was given */
	char resource[PATH_MAX];
	char argv[ACTION_ARGV_SIZE];
};

/* Nobody's action of this moment. */
void question_init(struct question *q);

/* @op: "read" (also NULL), "write" or "delete". Each: 0, or -errno with the reason in @err. */
int question_file(struct question *q, const char *path, const char *op, struct err *err);
int question_exec(struct question *q, char *const *argv, struct err *err);
/* HOST or HOST:PORT; 443 by default. */
int question_host(struct question *q, const char *host, struct err *err);
/* @database: a URL; NULL a PostgreSQL on this host. */
int question_sql(struct question *q, const char *statement, const char *database, struct err *err);
