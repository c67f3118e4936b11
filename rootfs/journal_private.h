/* What journal.c, journal_segment.c and journal_stash.c share of a journal that is written. Private to them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rootfs/journal_format.h"

/* Of each segment, for what a rollback writes: it must be possible on a full disk. */
enum { JOURNAL_MARKS_RESERVE = 128 * 1024 };

struct journal {
	int dirfd; /* DIR/journal, owned */
	int fd;    /* of the segment, owned; -1 none yet */
	struct journal_options options;
	unsigned char *map; /* the segment, owned; NULL none */
	struct segment_header *header;
	size_t size;      /* of the segment's file, all of it allocated: a store can't fail there */
	size_t end;       /* of the last record */
	size_t at;        /* where the next part of the record under way goes; 0 none is */
	size_t populated; /* pages up to here are in our tables */
	uint64_t number;  /* of the last record */
	uint64_t stashes; /* given out in this segment */
	uint64_t used;    /* bytes of segments and stashes */
	uint64_t *segments; /* numbers, ascending; owned */
	size_t segment_count, segment_room;
	uint64_t evicted;
	struct journal_record *last; /* committed, its outcome not told yet */
};

/* journal_segment.c: 0, or -errno. */
void journal_segment_unmap(struct journal *j);
/* Goes on behind the last whole record of the newest segment. -EBADMSG: it has no header, and so no record. */
int journal_segment_resume(struct journal *j);
/* A new segment to go on in: a header and the reserve, the rest is grown into. Older ones may go for it. */
int journal_segment_rotate(struct journal *j);
/* The segment's file reaches to @least, a step beyond if that is still the segment. */
int journal_segment_grow(struct journal *j, size_t least);
/* The oldest segment goes. false: there is only the one that is written to. */
bool journal_segment_evict(struct journal *j);
/* Bytes of segments and stashes, and the newest stash of this segment, anew from the disk. */
int journal_measure(struct journal *j);

/* journal.c: a segment with room for the largest record, allocated. 0, -errno. */
int journal_make_room(struct journal *j);
