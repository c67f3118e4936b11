/*
 * The layers of a session that has ended, mounted once more as they were, in
 * namespaces of their own, so that its files can be worked on through the merged
 * view. None of the session's programs runs; nothing outside sees the mounts, and they
 * go with the process that has them.
 */
#pragma once

#include "base/err.h"
#include "rootfs/undo.h"

struct revive_request {
	int session_dirfd;
	const char *session_path;
};

/*
 * Runs @work in a child with the merged root at @root_fd. What it leaves in @arg reaches the caller only
 * when @arg lies in memory shared with it. Returns what it returned, or -errno.
 */
int revive(const struct revive_request *request,
	   int (*work)(int root_fd, const struct undo_layers *layers, void *arg, struct err *err),
	   void *arg, struct err *err);
