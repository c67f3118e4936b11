/* The snapshots of this user: STATE/snapshots/NAME, each an OCI image layout. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "launcher/session.h"

enum { SNAPSHOT_NAME_SIZE = 65 };

struct snapshot_row {
	char name[SNAPSHOT_NAME_SIZE];
	char session[SESSION_ID_SIZE];
	char created[32]; /* RFC 3339, UTC */
	int64_t created_s;
	char reason[32]; /* "end", "rollback", "request" */
	char policy[128];
	char log[72]; /* "sha256:…" of the log's last line; "" there was none */
	uint64_t entries, bytes, stored;
	char damage[128]; /* why it cannot be read; "" it can */
};

/* The directory, made when missing. An fd the caller owns, or -errno. */
int snapshots_open(struct err *err);

/*
 * Takes one of what @s holds now. Whoever calls sees to it that nothing changes meanwhile: the
 * session is over, or everything in it is frozen. @name NULL: SESSION.N. @reason: why, in one word. 0 with the name
 * in @ret; 1 when the session holds no changes and none was taken; -errno.
 */
int snapshots_take(const struct session *s, const char *name, const char *reason,
		   char ret[static SNAPSHOT_NAME_SIZE], struct err *err);

/*
 * The same of a running session, which is paused for it (control.h) and goes on afterwards, unless a
 * person had paused it. The log is then taken as far as it is written.
 */
int snapshots_take_running(const struct session *s, const char *name, const char *reason,
			   char ret[static SNAPSHOT_NAME_SIZE], struct err *err);

/* All, newest first; freed by the caller. Number or -errno. */
int snapshots_list(int dirfd, struct snapshot_row **ret, struct err *err);
/* One by its name, or by the unique beginning of it. 0, -ENOENT, -EINVAL. */
int snapshots_find(int dirfd, const char *name, struct snapshot_row *ret, struct err *err);
int snapshots_remove(int dirfd, const char *name, struct err *err);
