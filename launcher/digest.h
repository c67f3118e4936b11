/* What a session changed, counted and listed in short: deletions first. */
#pragma once

#include <stdint.h>

#include "rootfs/upper.h"

enum { DIGEST_LISTED = 20 };

struct digest {
	uint64_t count[CHANGE_KIND_COUNT];
	char *listed[CHANGE_KIND_COUNT][DIGEST_LISTED]; /* owned; the first of each kind */
};

/* From layers.json of the session; an empty digest when there is none. 0, -errno. */
int digest_collect(int session_dirfd, struct digest *ret);
/* All of them. */
uint64_t digest_count(const struct digest *d);
/* At most DIGEST_LISTED lines and "and N more". */
void digest_print(const struct digest *d, int fd);
void digest_finish(struct digest *d);
