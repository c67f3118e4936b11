/*
 * What is kept of one object before an action replaces or removes it: its content in the record, beside the
 * journal, or nothing, because the lower has it (docs/decisions/journal.md). Private to sandbox/capture.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sandbox/capture.h"

/* Found out before its record is begun. */
struct kept {
	const struct undo_layer *layer;
	const char *rel; /* its path in the layer */
	enum journal_content content;
	struct stat st; /* what the record's "before" says */
	bool upper;     /* it is in the upper, so nothing else has its attributes */
	int fd;         /* of the upper's file, to read; owned, -1 none */
	uint64_t stash, upper_ino;
};

enum kept_how { KEPT_WRITTEN, KEPT_APPENDED, KEPT_REMOVED };

/* Finds out how the content of @k->st is kept, and keeps it where that is not in the record. 0, -errno. */
int kept_keep(struct capture *c, struct kept *k, enum kept_how how);
/* What the record itself holds of the content of @p. 0, -errno. */
int kept_put(struct capture *c, struct journal_record *record, const struct kept *k,
	     const struct place *p);
void kept_finish(struct kept *k);
#define cleanup_kept __attribute__((cleanup(kept_finish)))
