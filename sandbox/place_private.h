/* What place.c and place_walk.c share. Private to them. */
#pragma once

#include "sandbox/place.h"

/* Must a final link be followed? lookup(2) of removals and renames never does, slash or not. */
bool place_follows_last(enum place_flags flags, bool slash);

/*
 * place_walk.c: as place_resolve, of a @path that is not empty, whatever links are on it, but without pinning the
 * object. @ret is begun; it must be finished also on failure.
 */
int place_walk(const struct place_env *env, const struct tracee *task, int dirfd, const char *path,
	       enum place_flags flags, struct place *ret);
