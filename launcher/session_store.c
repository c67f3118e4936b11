#include "launcher/session_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "launcher/digest.h"
#include "launcher/eventfile.h"
#include "rootfs/remove.h"

enum { DEPTH_MAX = 512 };

static uint64_t bytes_below(int dirfd, unsigned depth)
{
	uint64_t sum = 0;
	if (depth > DEPTH_MAX)
		return 0;
	cleanup_dir DIR *dir = fd_opendir(dirfd, ".", O_NOATIME);
	if (!dir)
		dir = fd_opendir(dirfd, ".", 0);
	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) ? 1 : st.st_nlink);
		if (!S_ISDIR(st.st_mode))
			continue;
		cleanup_fd int below =
			openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below >= 0)
			sum += bytes_below(below, depth + 1);
	}
	return sum;
}

uint64_t store_bytes(int dirfd)
{
	return bytes_below(dirfd, 0);
}

void session_store_look(const struct session *s, struct session_store *ret)
{
	struct digest d = { 0 };
	*ret = (struct session_store){ 0 };
	int64_t ns = s->end ? event_number(s->end, "ended_ns") : 0;
	ret->at = (ns ? ns : session_number(s, "started_ns")) / 1000000000;
	cleanup_fd int dir = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (dir < 0)
		return;
	if (!ret->at && fstat(dir, &st) == 0) /* damaged: its own age */
		ret->at = st.st_mtime;
	ret->bytes = store_bytes(dir);
	if (faccessat(dir, "layers", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    digest_collect(dir, &d) == 0)
		ret->changes =
			d.count[CHANGE_ADDED] + d.count[CHANGE_MODIFIED] + d.count[CHANGE_DELETED];
	digest_finish(&d);
}

int session_store_remove(int state_fd, const char *id, struct err *err)
{
	cleanup_fd int sessions = state_subdir(state_fd, "sessions", err);
	if (sessions < 0)
		return sessions;
	cleanup_fd int dir = openat(sessions, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, errno, "session %s", id);
	cleanup_fd int lock = openat(dir, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0 && errno != ENOENT)
		return err_sys(err, errno, "session %s", id);
	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0)
		return err_set(err, EBUSY, "session %s is running", id);
	int r = remove_below(dir);
	if (r == 0 && unlinkat(sessions, id, AT_REMOVEDIR) < 0)
		r = -errno;
	return r < 0 ? err_sys(err, -r, "session %s cannot be removed whole", id) : 0;
}
