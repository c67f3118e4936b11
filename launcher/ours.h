/* Which directories are the program's own. */
#pragma once

#include "base/err.h"
#include "sandbox/fence.h"

/*
 * State, configuration (made when missing, so that nobody else can make it), cache of images and control
 * sockets, as this process finds them by its environment. 0 with @ret to be finished by the caller; -errno.
 */
int ours_fence(struct fence *ret, struct err *err);
