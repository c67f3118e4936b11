#include "launcher/unboxed.h"

#include <errno.h>
#include <stdio.h>

#include "launcher/ours.h"
#include "launcher/state.h"

static int refuse_boxed(const struct policy *p, struct err *err)
{
	if (p->workspace == WORKSPACE_READ_ONLY || p->read_only.count)
		return err_set(
			err, ENOSYS,
			"%s: a read-only workspace and filesystem.read_only are mounts, which "
			"a running process cannot be given; use allowed_write or --block",
			p->origin.file);
	const struct policy_limits *l = &p->limits;
	if (l->memory_bytes || l->cpus > 0 || l->pids || l->open_files || l->wall_seconds)
		return err_set(err, ENOSYS,
			       "%s: limits are set when a program "
			       "is started, not when it runs",
			       p->origin.file);
	return 0;
}

static int guard(struct policy *p, const char *dir, struct err *err)
{
	char below[STATE_PATH_SIZE + 16];
	snprintf(below, sizeof(below), "%s/**", dir);
	int r = policy_apply_flag(p, POLICY_FLAG_BLOCK, dir, err);
	return r < 0 ? r : policy_apply_flag(p, POLICY_FLAG_BLOCK, below, err);
}

/*
 * Our own files would be the first to be changed by somebody who wants to go unseen, and our control
 * socket the first to be asked.
 */
static int guard_ours(struct policy *p, struct err *err)
{
	struct fence fence;
	int r = ours_fence(&fence, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; r == 0 && i < fence.dir_count; i++)
		r = guard(p, fence.dirs[i], err);
	fence_finish(&fence);
	return r;
}

int unboxed_policy(struct policy *p, struct err *err)
{
	int r = 0;
	for (unsigned i = 0; r == 0 && i < p->hide.count; i++)
		r = policy_apply_flag(p, POLICY_FLAG_BLOCK, p->hide.items[i].pattern.text, err);
	if (r == 0)
		r = refuse_boxed(p, err);
	if (r == 0)
		r = guard_ours(p, err);
	if (r == 0)
		p->on_exit = ON_EXIT_KEEP; /* there is no overlay to discard */
	return r;
}
