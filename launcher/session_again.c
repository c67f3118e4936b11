#include "launcher/session_again.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "rootfs/commit.h"

static bool has(const struct session *s, const char *name)
{
	return faccessat(s->dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int session_again_check(const struct session *s, struct err *err)
{
	enum commit_status status;
	if (s->state != SESSION_ENDED && s->state != SESSION_CRASHED)
		return err_set(err, EBUSY, "session %s is %s, and cannot be entered again", s->id,
			       session_state_name(s->state));
	if (session_number(s, "attached_pid"))
		return err_set(err, EINVAL,
			       "session %s was attached to: it kept nothing that could be entered",
			       s->id);
	if (!has(s, "layers") || !has(s, "events.ring"))
		return err_set(err, ENOENT,
			       "session %s holds no changes any more; a new one: vsandbox shell",
			       s->id);
	if (has(s, "template"))
		return err_set(err, EOPNOTSUPP,
			       "session %s ran in an image, which cannot be entered again", s->id);
	int r = commit_status(s->dirfd, &status, err);
	if (r == 0 && (status == COMMIT_UNFINISHED || status == COMMIT_UNDOING))
		r = err_set(err, EBUSY,
			    "a commit of session %s was interrupted; first: vsandbox commit "
			    "--resume %s, or vsandbox undo %s",
			    s->id, s->id, s->id);
	return r;
}

int session_again_lock(struct session *s, int *ret_lock, struct err *err)
{
	int lock = session_lock(s, err);
	if (lock < 0)
		return lock;
	*ret_lock = lock;
	s->state = SESSION_RUNNING;
	return 0;
}

void session_again_begun(const struct session *s)
{
	unlinkat(s->dirfd, "end.json",
		 0); /* when it stays, that end is what is shown after a crash */
}
