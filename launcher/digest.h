/* What a session changed, counted and listed in short: deletions first, and every one of them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "rootfs/upper.h"

enum { DIGEST_LISTED = 20 };

/* A deletion that is below no other. */
struct digest_deletion {
	char *path;     /* owned */
	uint64_t below; /* deletions below it */
};

struct digest {
	uint64_t count[CHANGE_KIND_COUNT];
	char *listed[CHANGE_KIND_COUNT][DIGEST_LISTED]; /* owned; the first of each kind */
	struct digest_deletion *deletions;              /* owned; in the order of the paths */
	size_t deletion_count, deletion_room;
};

/* From layers.json of the session; an empty digest when there is none. 0, -errno. */
int digest_collect(int session_dirfd, struct digest *ret);
/* All of them. */
uint64_t digest_count(const struct digest *d);
/*
 * Each deletion, or when they are more than DIGEST_LISTED each that is below no other, with the number below it; of
 * the rest at most DIGEST_LISTED lines and "and N more".
 */
void digest_print(const struct digest *d, int fd);
void digest_finish(struct digest *d);
