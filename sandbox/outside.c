#include "sandbox/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/scope.h"
#include "sandbox/watch.h"

/* Is the mount one of the sandbox's? The monitor stands in its mount namespace, and none comes later. 1, 0, -errno. */
static int is_inside(const struct place_env *env, uint64_t mount)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	int fd = openat(env->self_fd, "../mountinfo", O_RDONLY | O_CLOEXEC);
	cleanup_file FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0)
		if (strtoull(line, NULL, 10) == mount)
			return 1;
	return 0;
}

int outside_check(struct worker *w, const struct place *p, enum outside_use use)
{
	struct watch *watch = w->watch;
	struct statx sx;
	/* by name one comes to the sandbox's mounts alone; attached, all is the host's and real */
	if (!p->magic || p->nameless || watch->plan->attach)
		return 0;
	if (use == OUTSIDE_CONTENT && p->by_writer)
		return 0;
	if (statx(p->object_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) < 0)
		return -errno;
	if (!(sx.stx_mask & STATX_MNT_ID))
		return -EROFS;
	if (sx.stx_mnt_id == watch->mount_inside)
		return 0;
	int r = is_inside(&watch->env, sx.stx_mnt_id);
	if (r == 1)
		watch->mount_inside = sx.stx_mnt_id;
	return r == 1 ? 0 : r == 0 ? -EROFS : r;
}
