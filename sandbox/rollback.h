/*
 * Rollback of a session's last actions, live or ended. Each step is written to
 * rollback.jsonl in the session directory: {"seq","op","path","path2","outcome","why"}.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "rootfs/undo.h"

struct watch;

struct rollback_request {
	uint64_t last;
	bool dry_run;
};

/* Of an ended session. 0, -errno; steps that could not be undone are in @ret, no error. */
int rollback_ended(int session_dirfd, const char *session_path,
		   const struct journal_options *options, const struct rollback_request *request,
		   struct undo_result *ret, struct err *err);

/* Of an ended session that was attached to: on the real files. As rollback_ended. */
int rollback_real(int session_dirfd, const struct journal_options *options,
		  const struct rollback_request *request, struct undo_result *ret, struct err *err);

/*
 * Of the session that @watch supervises, by the thread that supervises: freezes, undoes, and lets it
 * go on unless somebody else holds it. As rollback_ended; -ETIMEDOUT: it would not be still.
 */
int rollback_live(struct watch *watch, const struct rollback_request *request,
		  struct undo_result *ret, struct err *err);

/*
 * A verdict has asked for it: undoes the last rollback_limit changes, leaves everything frozen for a
 * person (FREEZE_PERSON), and tells the gateway.
 */
void rollback_on_verdict(struct watch *watch);

/* A result as a JSON object, and back. */
void rollback_json(const struct undo_result *result, struct buf *b);
int rollback_parse(const char *json, struct undo_result *ret);
