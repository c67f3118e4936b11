/*
 * A file of records that is only ever added to: each with its length and checksum, so that after a
 * kill -9 at any instant, or a full disk, the torn last one is recognised and what stands before it reads.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"

enum { LEDGER_RECORD_MAX = 1 << 18 };

struct ledger {
	int fd;    /* owned; -1 closed */
	off_t end; /* where the next record goes: behind the last whole one */
};

/* Opens or makes @name in @dirfd, for one writer at a time. Nothing of a torn tail is kept. 0, -errno. */
int ledger_open(int dirfd, const char *name, struct ledger *ret, struct err *err);
/*
 * Goes on behind what another writer has added meanwhile; the two see to it that they never write at once.
 * 0, -errno.
 */
int ledger_catch_up(struct ledger *l);
/* One record of @count parts, in one write. 0, -errno; after a failure the ledger is as before. */
int ledger_append(struct ledger *l, const struct iovec *parts, unsigned count);
/* Keeps room on the disk for @bytes of records to come. 0, -ENOSPC; a filesystem that cannot is no error. */
int ledger_reserve(const struct ledger *l, size_t bytes);
/* Its records reach the disk. 0, -errno. */
int ledger_sync(const struct ledger *l);
void ledger_close(struct ledger *l);

/*
 * Shows every whole record to @visit, whose non-zero return ends the reading and is returned; @record is
 * aligned for any type and valid during the call. 0, -errno (-ENOENT: there is no such file).
 */
int ledger_read(int dirfd, const char *name,
		int (*visit)(const void *record, size_t len, void *arg), void *arg);
