/*
 * Where the names of an archive lead: below directories that are given, by openat2, so that no link an earlier
 * entry planted leads elsewhere. Private to unpack*.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "rootfs/unpack.h"

/* The place that holds a clean path, and what is left of that below it. NULL: none does. Borrowed. */
const struct unpack_place *unpack_place_of(const struct unpack_plan *plan, const char *path,
					   const char **ret_rest);

/* A directory beneath @dirfd. Links are followed only in images, and only inside. Owned fd, -errno. */
int unpack_place_open(const struct unpack_plan *plan, int dirfd, const char *name, uint64_t flags);

enum unpack_missing { UNPACK_LEAVE, UNPACK_MAKE };
/* The directory that the first @len bytes of @rest name below a place. Owned O_PATH fd, -errno. */
int unpack_place_dir(const struct unpack_plan *plan, int dirfd, const char *rest, size_t len,
		     enum unpack_missing missing);

/* How a failure to reach a directory reads. -EBADMSG, or @rc with its errno's words. */
int unpack_place_failed(int rc, struct err *err);
