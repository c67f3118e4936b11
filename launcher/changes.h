/* What a session changed: in its overlay, or, attached to what ran already, in the real files. */
#pragma once

#include <stdbool.h>

#include "launcher/session.h"
#include "rootfs/upper.h"

/* Is there anything to tell changes from? Not once they were committed or discarded. */
bool changes_kept(const struct session *s);

/* Are they in the real files (rootfs/since.h), not in an overlay? */
bool changes_are_real(const struct session *s);

/* As upper_walk() or since_walk(). 0, what @visit returned, or -errno with @err. */
int changes_walk(const struct session *s, int (*visit)(const struct change *c, void *arg),
		 void *arg, struct err *err);
