#include "launcher/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/log.h"
#include "rootfs/overlay.h"
#include "rootfs/since.h"

bool changes_are_real(const struct session *s)
{
	return session_number(s, "attached_pid") != 0;
}

bool changes_kept(const struct session *s)
{
	const char *where = changes_are_real(s) ? "journal" : "layers";
	return faccessat(s->dirfd, where, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int walk_real(const struct session *s, int (*visit)(const struct change *c, void *arg),
		     void *arg, struct err *err)
{
	struct since *since;
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, errno, "/");
	int r = since_open(s->dirfd, root, &since, err);
	if (r < 0)
		return r;
	if (since_dropped(since))
		log_warn("the journal's budget has dropped the first %" PRIu64
			 " actions: what only they changed is not listed",
			 since_dropped(since));
	r = since_walk(since, visit, arg, err);
	since_close(since);
	return r;
}

int changes_walk(const struct session *s, int (*visit)(const struct change *c, void *arg),
		 void *arg, struct err *err)
{
	static struct overlay overlay; /* large for a stack */
	if (changes_are_real(s))
		return walk_real(s, visit, arg, err);
	int r = overlay_load(s->dirfd, &overlay, err);
	if (r == 0)
		r = upper_walk(&overlay, visit, arg, err);
	overlay_finish(&overlay);
	return r;
}
