/* The tables, brought from any earlier version to this one. */
#pragma once

#include "control/db.h"

/* Runs the missing migrations, each in a transaction; safe when several servers start at once. 0, -errno;
 * -EPROTO: the store was written by a newer program. */
int schema_migrate(struct db *db, struct err *err);

/* Makes sure that the actions of today and tomorrow have a partition (PostgreSQL; nothing for SQLite). */
int schema_partitions(struct db *db, int64_t now_us, struct err *err);

/* Removes what is older: actions (whole partitions where there are any), acknowledged alerts, feed. Number of rows or partitions. */
int64_t schema_retain(struct db *db, int64_t before_us, struct err *err);
