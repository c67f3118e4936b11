/*
 * The undo journal of a session: what every change of a name, a file or an
 * attribute replaced, kept so that it can be put back. Knows nothing of policy.
 *
 * Theory of operation. DIR/journal/ holds numbered segments, allocated ahead and mapped:
 * a record is a store, costs no call and survives kill -9 of the writer. A record is
 * complete before its magic is stored, and the magic of the place behind it is zero
 * by then, so a reader meets whole records and an end, never half of one. What a
 * power failure left is told by a checksum that is keyed with the segment's random
 * nonce: bytes that an agent wrote into a file cannot pass for a record.
 *
 * A record's state and what the action left ("after") are stored later, in place:
 *
 *	PENDING -> DONE | FAILED        journal_done
 *	PENDING | DONE -> UNDOING -> UNDONE | LEFT   undo.c
 *
 * Larger pre-images are files beside the segments, named for the segment that
 * needs them; one that several records share is one inode with several names. When
 * the byte budget is used up the oldest segment goes, with its files: the last actions
 * are the ones a person wants back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/syscalls.h"

enum {
	JOURNAL_INLINE_MAX = 65536, /* content up to this lies in the record itself */
	JOURNAL_XATTRS_MAX = 81920,
};

enum journal_kind {
	JOURNAL_ACTION = 1,
	JOURNAL_ROLLBACK, /* a rollback began: `target` is the oldest record it undoes */
	JOURNAL_REMADE, /* an object came back under another number: before.ino, upper_ino -> moved.ino */
	JOURNAL_KIND_END,
};

/* Values that no other store can be torn into. */
enum journal_state {
	JOURNAL_PENDING = 0x50454e44,
	JOURNAL_DONE = 0x444f4e45,
	JOURNAL_FAILED = 0x4641494c, /* nothing happened */
	JOURNAL_UNDOING = 0x554e4449,
	JOURNAL_UNDONE = 0x554e444f,
	JOURNAL_LEFT = 0x4c454654, /* drifted: found other than the action left it */
};

/* Where the content is that the action replaced. */
enum journal_content {
	JOURNAL_CONTENT_NONE,   /* there was none, or it is not touched */
	JOURNAL_CONTENT_LOWER,  /* in the lower, under the same path */
	JOURNAL_CONTENT_INLINE, /* in the record; of a symbolic link its text */
	JOURNAL_CONTENT_STASH,  /* in the file that `stash` numbers */
	JOURNAL_CONTENT_LENGTH, /* an open for appending: only the length is kept */
	JOURNAL_CONTENT_NAMED,  /* the file has other names, which keep it */
	JOURNAL_CONTENT_LOST,   /* past undoing: larger than the budget, or it could not be read */
	JOURNAL_CONTENT_END,
};

enum journal_flags {
	JOURNAL_EXCHANGE = 1, /* RENAME_EXCHANGE */
	JOURNAL_FOUND = 2,    /* the object is the lower's: its inode number is no identity */
};

struct journal_time {
	int64_t sec;
	uint32_t nsec;
	uint32_t known; /* 0: there is none */
};

/* An object as the merged view shows it. mode 0: there was nothing. */
struct journal_stat {
	uint64_t ino, size;
	uint32_t mode, uid, gid, nlink;
	struct journal_time atime, mtime;
};

/* The fixed part of a record, as it lies in the segment. Native byte order. */
struct journal_record {
	uint32_t magic, size; /* size: whole record, a multiple of 8 */
	/* stored after the record was begun */
	uint32_t state, after_check;
	struct journal_stat after; /* valid when after_check fits */
	/* covered by the checksum, to the record's end */
	uint64_t check;
	uint64_t number;          /* 1, 2, … within a session */
	uint64_t seq;             /* of the action's event; 0: it was not logged */
	uint64_t wall_ns, target; /* target: JOURNAL_ROLLBACK */
	uint32_t kind, undo, op, flags;
	int32_t pid;
	uint32_t content;
	uint64_t stash, upper_ino;        /* upper_ino: number in the upper itself; 0 not there */
	struct journal_stat before;       /* at path; of a rename at path2 */
	struct journal_stat moved;        /* rename: what moved, at path */
	struct journal_time dir[2][2];    /* atime, mtime of the parents of path and path2 */
	uint32_t path_len, path2_len;     /* with NUL; 0 none */
	uint32_t xattrs_len, content_len; /* bytes; each part is padded to 8 */
};

/* A record found in bytes. Pointers lead into them. */
struct journal_view {
	const struct journal_record *record;
	const char *path, *path2; /* NUL-terminated; path2 NULL none */
	const unsigned char *xattrs, *content;
};

/*
 * Looks at the bytes of a segment from one record on. Returns its size, 0 at the end
 * of the records, -EBADMSG for what is neither: a torn record. Any bytes are safe.
 * @bytes is aligned to 8.
 */
int64_t journal_parse(const unsigned char *bytes, size_t len, uint64_t nonce,
		      struct journal_view *ret);

/* One attribute out of a record's xattrs, from offset *@at on. 1, 0 at the end, -EBADMSG. */
int journal_xattr(const struct journal_view *v, size_t *at, const char **ret_name,
		  const unsigned char **ret_value, size_t *ret_size);

/* The record's "after" is there and whole. */
bool journal_has_after(const struct journal_record *r);

void journal_stat_set(struct journal_stat *s, const struct stat *st);

/* ---- writing: one process, one thread at a time ---- */

struct journal; /* opaque */

struct journal_options {
	uint64_t bytes; /* budget of segments and files together */
	bool sync;      /* fdatasync before each answer */
};

/*
 * Opens DIR's journal for writing, makes it when there is none, else goes on behind
 * its last whole record. @session_dirfd is borrowed.
 */
int journal_open(int session_dirfd, const struct journal_options *options, struct journal **ret,
		 struct err *err);
void journal_close(struct journal *j);

/*
 * Begins a record. Returns its fixed part, zeroed but for number and state, to be
 * filled in; then the parts are added in the order path, path2, xattrs, content; then
 * journal_commit makes it one. -ENOSPC and other errnos: there is none, the action must fail.
 * A record begun and not committed never was.
 */
int journal_begin(struct journal *j, struct journal_record **ret);
/* The same for what a rollback says of itself, which has room even when the disk is full. */
int journal_begin_mark(struct journal *j, enum journal_kind kind, struct journal_record **ret);
void journal_put_path(struct journal *j, const char *path);
/* One attribute. -ENOSPC when there are more than JOURNAL_XATTRS_MAX bytes of them. */
int journal_put_xattr(struct journal *j, const char *name, const void *value, size_t size);
/* Room for @len (<= JOURNAL_INLINE_MAX) bytes of content, for the caller to fill. */
unsigned char *journal_put_content(struct journal *j, size_t len);
/* 0, or the errno of sync mode's fdatasync. */
int journal_commit(struct journal *j);
/*
 * The action of the last record committed happened (@after: what it left, NULL unknown) or failed,
 * or was taken back at once.
 */
void journal_done(struct journal *j, const struct stat *after);
void journal_failed(struct journal *j);

/*
 * A new file beside the segment for a pre-image of about @bytes; a number to put
 * into the record in @ret_stash. Descriptor (the caller closes it), or -errno; -EFBIG: more
 * than the whole budget. Older records may go for it.
 */
int journal_stash_new(struct journal *j, uint64_t bytes, uint64_t *ret_stash);
/* The file @stash once more for the record to come. 0, -errno. */
int journal_stash_again(struct journal *j, uint64_t stash, uint64_t *ret_stash);
/* The copy into a new stash failed. */
void journal_stash_drop(struct journal *j, uint64_t stash);
/* @upper_fd/@path (one name, nobody has it open) as a stash: the file itself, by a second name. 0, -errno. */
int journal_stash_link(struct journal *j, int upper_fd, const char *path, uint64_t bytes,
		       uint64_t *ret_stash);

/* Number of the last action record that went with the budget since the last call; 0 none. */
uint64_t journal_take_evicted(struct journal *j);

/* ---- reading ---- */

struct journal_reader; /* opaque: all segments mapped, records indexed */

enum journal_access { JOURNAL_READ, JOURNAL_MARK }; /* MARK: states may be stored */
/* -ENOENT: no journal. A torn end is cut from what is seen; @err may be NULL. */
int journal_reader_open(int session_dirfd, enum journal_access access, struct journal_reader **ret,
			struct err *err);
void journal_reader_close(struct journal_reader *r);
/* Records, oldest first. */
size_t journal_reader_count(const struct journal_reader *r);
void journal_reader_at(const struct journal_reader *r, size_t index, struct journal_view *ret);
/* A store, seen by every process that has the journal mapped. Only with JOURNAL_MARK. */
void journal_mark(struct journal_reader *r, size_t index, enum journal_state state);
/* Opens the stash of a record for reading. Descriptor or -errno. */
int journal_reader_stash(const struct journal_reader *r, uint64_t stash);
/* It turned out to be the file itself, still there. */
void journal_reader_stash_drop(const struct journal_reader *r, uint64_t stash);
/* Bytes behind the last whole record of a segment were no record: something was torn. */
bool journal_reader_torn(const struct journal_reader *r);
/* An action that a rollback would undo: done, or under way when the writer died. */
bool journal_undoable(const struct journal_view *v);

/* Removes DIR/journal. 0 also when there is none. */
int journal_discard(int session_dirfd, struct err *err);
