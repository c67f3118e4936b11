/*
 * The log of a session: DIR/events.jsonl, hash-chained, and DIR/events.ring, a
 * mapped segment in which the monitor leaves packed events before it answers.
 *
 * Theory of operation: one writer (the monitor's leader), one reader (the
 * gateway; after a crash, whoever opens the session). The writer stores a
 * record and publishes it by moving `head`; no system call, so a record
 * survives kill -9 of the writer. The reader turns published records into
 * lines and moves `tail`. A record begun but not published is the action that
 * was under way when the writer died: recovery lists it with a pending result.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/event.h"

struct eventlog_ring; /* the mapped segment */

struct eventlog_writer {
	struct eventlog_ring *ring; /* owned mapping */
	uint64_t seq;               /* of the last event begun */
	int wake_fd;                /* eventfd of the reader; -1 none. Borrowed */
};

/* Creates DIR/events.ring with its blocks allocated (so that a store cannot fault). 0, -errno. */
int eventlog_create(int dirfd, struct err *err);

/*
 * The numbers of DIR's log, in which nothing is yet, go on behind those of another log: for a session whose journal
 * has records of the one before.
 */
int eventlog_number_after(int dirfd, int before_dirfd, struct err *err);

int eventlog_writer_open(int dirfd, int wake_fd, struct eventlog_writer *ret, struct err *err);
void eventlog_writer_close(struct eventlog_writer *w);

/*
 * Packs @e (its seq is set here) into the segment, not yet published. Returns
 * the record, for event_set_result, or NULL when the segment is full because
 * its reader is stopped or the disk is: the caller must refuse the action with
 * ENOSPC. At most one record may be open. Set e->result to EVENT_RESULT_PENDING
 * unless it is known: it is what recovery shows if the writer dies before it
 * publishes. Neither call allocates; begin makes no system call, publish makes
 * one (the write of wake_fd) only when the reader sleeps.
 */
unsigned char *eventlog_begin(struct eventlog_writer *w, struct event *e);
void eventlog_publish(struct eventlog_writer *w);
/*
 * After a NULL of eventlog_begin: waits until the reader has made room. false when it never will:
 * it cannot write (the disk is full), or it is stopped or gone for seconds.
 */
bool eventlog_wait(struct eventlog_writer *w);
/* Number of events refused for want of space since the last call. */
uint64_t eventlog_take_refused(struct eventlog_writer *w);

struct eventlog_reader; /* opaque: segment, output file, chain state */

/*
 * Takes over DIR's log for reading (an advisory lock makes it the only one).
 * Continues the chain of an existing events.jsonl, cutting a torn last line.
 * Returns -EBUSY when somebody else reads it: the session is alive. The lock goes
 * with the open file, so a child that keeps a copy of it keeps the lock.
 */
int eventlog_reader_open(int dirfd, const char *session, struct eventlog_reader **ret,
			 struct err *err);

/*
 * Writes all published events out. @seen, when not NULL, is called for each
 * (strings valid during the call only). Returns the number written, or -errno
 * (-ENOSPC: they stay in the segment, call again later).
 */
int eventlog_drain(struct eventlog_reader *r, void (*seen)(const struct event *e, void *arg),
		   void *arg);
/* The writer is known dead: also takes the record it had begun. As eventlog_drain. */
int eventlog_recover(struct eventlog_reader *r, void (*seen)(const struct event *e, void *arg),
		     void *arg);
/*
 * To be called before waiting for the wake eventfd: from now on, publish writes
 * it. False when records are there already: drain them first, do not wait.
 */
bool eventlog_reader_sleep(struct eventlog_reader *r) __attribute__((warn_unused_result));
/*
 * An event of the reader's own (session end). Same chain; its seq is set here,
 * from the counter that the writer uses too. 0, -errno.
 */
int eventlog_append(struct eventlog_reader *r, struct event *e);
void eventlog_reader_close(struct eventlog_reader *r);

/* Walks the chain of an events.jsonl. 0 intact; -EBADMSG with the line in @err. */
int eventlog_verify(int dirfd, uint64_t *ret_events, struct err *err);

/* The hash of the last line: with it the whole chain before is fixed. -ENODATA: no event yet. */
int eventlog_tip(int dirfd, char ret[static HASH_HEX], struct err *err);
/* 1 when a line has that hash, 0 when none has. It says nothing of the chain: eventlog_verify does. */
int eventlog_holds(int dirfd, const char *hash, struct err *err);
