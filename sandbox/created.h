/* The set of files this session made, by device and inode. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct created {
	struct created_key {
		dev_t dev;
		ino_t ino; /* 0: free slot, 1: tombstone */
	} * slots;         /* owned */
	size_t size;       /* power of two, or 0 */
	size_t used;       /* tombstones included */
};

/* Out of memory is not an error: the file then counts as found, which scores higher. */
void created_add(struct created *c, const struct stat *st);
void created_remove(struct created *c, const struct stat *st);
bool created_has(const struct created *c, const struct stat *st);
