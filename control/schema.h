/* The tables, brought from any earlier version to this one. */
#pragma once

#include "control/db.h"

/* Runs the missing migrations, each in a transaction; safe when several servers start at once. 0, -errno;
 * -EPROTO: the store was written by a newer program. */
int schema_migrate(struct db *db, struct err *err);

/*
 * Makes sure that the actions of today and tomorrow have a partition (PostgreSQL; nothing for SQLite), whoever else does
 * at the same time. Within a transaction or without. -ESTALE: another's was in the way, as db_query; -errno.
 */
int schema_partitions(struct db *db, int64_t now_us, struct err *err);

/* So many days of counts (the table daily) are shown, and outlive their actions. */
enum { DAILY_DAYS = 30 };

/* Of servers that remove rows at the same time: 1: it is this one's turn until its transaction's end; 0: another's. */
int64_t schema_alone(struct db *db, struct err *err);

/*
 * Drops the oldest day of actions when all of it is older than the id @before: a table of its own, which costs the same
 * whatever is in it. PostgreSQL alone, after schema_alone(). 1: it is gone, there may be another; 0: none was
 * old enough; -EIO: others had it for too long.
 */
int64_t schema_drop_day(struct db *db, int64_t before, struct err *err);
