/* How segments lie on disk: shared by those who write, read and parse them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "rootfs/journal.h"

enum {
	SEGMENT_VERSION = 1,
	SEGMENT_SIZE = 4 << 20,
	SEGMENT_HEADER_SIZE = 64,
	RECORD_MAGIC = 0x56534a52,
	SEGMENT_NAME_SIZE = 32,
	STASH_NAME_SIZE = 64,
	/* of an action */
	RECORD_MAX = 4096 + 2 * 4096 + JOURNAL_XATTRS_MAX + JOURNAL_INLINE_MAX,
	CHECKED_FROM = offsetof(struct journal_record, number),
};

static const char journal_dir_name[] = "journal";
static const char segment_magic[8] = "VSJRNL\r\n";

struct segment_header {
	char magic[8];
	uint32_t version, header_size;
	uint64_t number; /* 1, 2, … */
	uint64_t size, nonce;
	uint64_t first;     /* number of its first record */
	uint64_t unused[2]; /* 0 */
};
_Static_assert(sizeof(struct segment_header) == SEGMENT_HEADER_SIZE, "records are aligned to 8");
_Static_assert(sizeof(struct journal_record) % 8 == 0, "so are the parts");
_Static_assert(SEGMENT_SIZE > 4 * RECORD_MAX, "several of the largest records fit");

struct xattr_head {
	uint32_t name_len, size; /* name_len with NUL */
};

/* A stash file is named by segment and number: "S-N.old". Its number in a record holds both. */
static inline uint64_t stash_id(uint64_t segment, uint64_t n)
{
	return segment << 24 | n;
}

static inline size_t journal_padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

uint64_t journal_checksum(uint64_t nonce, const void *bytes, size_t len);
uint32_t journal_after_check(const struct journal_record *r);
/* Both write at most SEGMENT_NAME_SIZE and STASH_NAME_SIZE bytes. */
void journal_segment_name(uint64_t segment, char *name);
void journal_stash_name(uint64_t stash, char *name);
/* Numbers of the segments in @dirfd, ascending; count or -errno. *@ret is the caller's to free. */
int journal_segments(int dirfd, uint64_t **ret);
