#include "launcher/succession.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/eventlog.h"
#include "base/scope.h"
#include "launcher/jsonfile.h"

enum { START_MAX = 1 << 20, STEP_MS = 10, PATIENCE_MS = 60000 };

/* Sessions lie side by side. */
static int open_beside(int session_dirfd, const char *id)
{
	char path[SESSION_ID_SIZE + 3];
	if (!*id || strchr(id, '/') || strlen(id) >= SESSION_ID_SIZE)
		return -EINVAL;
	snprintf(path, sizeof(path), "../%s", id);
	int fd = openat(session_dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Two monitors of one container would both be answering. */
static int wait_for_end(struct session *s, struct err *err)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000 };
	for (unsigned ms = 0; ms < PATIENCE_MS; ms += STEP_MS) {
		session_refresh(s);
		if (s->state != SESSION_RUNNING)
			return session_lock(s, err);
		nanosleep(&step, NULL);
	}
	return err_set(err, EBUSY, "session %s, which this one follows, does not end", s->id);
}

int succession_take(const struct session *s, const char *before, struct err *err)
{
	struct session old = { .dirfd = open_beside(s->dirfd, before) };
	if (old.dirfd < 0)
		return err_sys(err, -old.dirfd, "session %.64s, which this one follows", before);
	strcpy(old.id, before);
	cleanup_fd int lock = wait_for_end(&old, err);
	int r = lock < 0 ? lock : eventlog_number_after(s->dirfd, old.dirfd, err);
	if (r == 0 && renameat(old.dirfd, "journal", s->dirfd, "journal") < 0 && errno != ENOENT)
		r = err_sys(err, errno, "the journal of session %s", before);
	session_close(&old);
	return r;
}

int succession_before(int session_dirfd)
{
	struct err err;
	struct json_object *o = jsonfile_open(session_dirfd, "session.json", START_MAX, &err), *id;
	if (!o)
		return -ENOENT;
	int r = json_object_object_get_ex(o, "continues", &id)
			? open_beside(session_dirfd, json_object_get_string(id))
			: -ENOENT;
	json_object_put(o);
	return r;
}
