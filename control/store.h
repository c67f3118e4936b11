/*
 * The store: a pool of connections for reading and one thread that writes.
 *
 * Theory of operation. Every write is a function that is handed to the writer and run in a transaction;
 * the caller waits until that transaction is committed (with SQLite: on the disk). Writes that arrive meanwhile
 * share the next transaction, so a thousand clients with one action each cost a few commits, not a
 * thousand. Where one of them fails, all are run again with a mark before each to go back to, so that it cannot spoil
 * the others'; where that fails too, each alone.
 */
#pragma once

#include "control/db.h"

struct store;

/*
 * Runs in a transaction on @db. May be run more than once (another server was in the way), so
 * it must overwrite, not add to, what @arg points to. Negative errno undoes the transaction.
 */
typedef int64_t store_fn(struct db *db, void *arg, struct err *err);

/* Opens, migrates, claims a node for ids.h, starts the writer. */
int store_open(const char *url, struct store **ret, struct err *err);
void store_close(struct store *s);

/* As @fn returns, after the commit. -ENOTCONN: the database is away. */
int64_t store_write(struct store *s, store_fn *fn, void *arg, struct err *err);
/* On a connection of the pool, without a transaction: @fn must not write. */
int64_t store_read(struct store *s, store_fn *fn, void *arg, struct err *err);
