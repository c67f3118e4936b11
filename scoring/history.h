/*
 * What is known of an agent: sliding windows of this session and the baseline
 * kept between sessions (only ever learned from actions that were allowed).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/action.h"
#include "base/err.h"

struct history; /* opaque; one allocation, sized at creation, none afterwards */

/* An empty history: an agent never seen. NULL when out of memory. */
struct history *history_new(void);
void history_free(struct history *h);

/*
 * Baseline file (JSON, versioned, 0600) in @dirfd as NAME.json. Load, into a new one, of which it
 * writes only what the file has: a missing file is an empty baseline; a damaged one is -EBADMSG and leaves @h empty.
 * Save: written aside and renamed, so that a crash leaves the old or the new one.
 * It is not flushed: a power failure may cost what was learned since.
 */
int history_load(struct history *h, int dirfd, const char *agent, struct err *err);
int history_save(const struct history *h, int dirfd, const char *agent, struct err *err);

/* Counts @a in the windows; and, when @allowed, in the baseline. Ambient actions: not at all. */
void history_note(struct history *h, const struct action *a, bool allowed);

/* Actions of @type in the last 60 s before @mono_ns (ACTION_NONE: of all types). */
unsigned history_minute(const struct history *h, enum action_type type, uint64_t mono_ns);
