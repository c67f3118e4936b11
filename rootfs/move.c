/*
 * An overlay without redirect_dir refuses to rename a directory that has a lower part
 * (EXDEV), which programs on one filesystem do not expect. Its files can be renamed,
 * though: the overlay copies them up one by one.
 */
#include "rootfs/move.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

static int open_dir(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int keep_xattrs(int from, int to)
{
	ssize_t size = flistxattr(from, NULL, 0);
	if (size <= 0)
		return size == 0 || errno == EOPNOTSUPP ? 0 : -errno;
	cleanup_free char *names = malloc((size_t)size);
	if (!names)
		return -ENOMEM;
	size = flistxattr(from, names, (size_t)size);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t len = fgetxattr(from, names + at, NULL, 0);
		cleanup_free char *value = len < 0 ? NULL : malloc((size_t)len + 1);
		if (!value)
			return len < 0 ? -errno : -ENOMEM;
		len = fgetxattr(from, names + at, value, (size_t)len);
		if (len < 0 || fsetxattr(to, names + at, value, (size_t)len, 0) < 0)
			return -errno;
	}
	return 0;
}

/* Last, so that making entries has not changed the times. */
static int keep_attributes(int from, int to)
{
	struct stat st, now;
	if (fstat(from, &st) < 0 || fstat(to, &now) < 0)
		return -errno;
	if ((st.st_uid != now.st_uid || st.st_gid != now.st_gid) &&
	    fchown(to, st.st_uid, st.st_gid) < 0)
		return -errno;
	if (fchmod(to, st.st_mode & 07777) < 0)
		return -errno;
	int r = keep_xattrs(from, to);
	struct timespec times[2] = { st.st_atim, st.st_mtim };
	if (r == 0 && futimens(to, times) < 0)
		r = -errno;
	return r;
}

static int move_entries(int from, int to);

static int move_entry(int from, int to, const char *name, bool is_dir)
{
	if (renameat(from, name, to, name) == 0)
		return 0;
	if (errno != EXDEV || !is_dir)
		return -errno;
	return move_tree(from, name, to, name, 0);
}

/* All of @from into @to; on failure all that was moved goes back. */
static int move_entries(int from, int to)
{
	struct stat before;
	if (fstat(from, &before) < 0)
		return -errno;
	cleanup_dir DIR *dir = fd_opendir(from, ".", 0);
	if (!dir)
		return -errno;
	for (struct dirent *e; (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		struct stat st;
		int r = fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
		if (r == 0)
			r = move_entry(from, to, e->d_name, S_ISDIR(st.st_mode));
		/* each time, so that whoever finds a half of it finds its time too */
		struct timespec times[2] = { before.st_atim, before.st_mtim };
		futimens(from, times);
		if (r < 0)
			return r;
	}
	return 0;
}

static int merge_entries(int from, int to)
{
	cleanup_dir DIR *dir = fd_opendir(from, ".", 0);
	if (!dir)
		return -errno;
	for (struct dirent *e; (e = readdir(dir));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		bool both = fstatat(to, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		int r = both ? move_merge(from, e->d_name, to, e->d_name)
			: fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
										 : 0;
		if (r == 0 && !both)
			r = move_entry(from, to, e->d_name, S_ISDIR(st.st_mode));
		if (r < 0)
			return r;
	}
	return 0;
}

int move_merge(int from_dir, const char *from, int to_dir, const char *to)
{
	struct stat a, b;
	cleanup_fd int source = open_dir(from_dir, from);
	cleanup_fd int target = open_dir(to_dir, to);
	if (source < 0 || target < 0)
		return source < 0 ? source : target;
	if (fstat(source, &a) < 0 || fstat(target, &b) < 0)
		return -errno;
	int r = merge_entries(source, target);
	/* one of the two has the time of before the move: what touched the other came later */
	bool older = a.st_mtim.tv_sec != b.st_mtim.tv_sec ? a.st_mtim.tv_sec < b.st_mtim.tv_sec
							  : a.st_mtim.tv_nsec < b.st_mtim.tv_nsec;
	struct timespec times[2] = { b.st_atim, older ? a.st_mtim : b.st_mtim };
	futimens(target, times);
	if (r == 0 && unlinkat(from_dir, from, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int move_tree(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	struct stat a, b, target;
	if (fstatat(from_dir, from, &a, AT_SYMLINK_NOFOLLOW) < 0 || fstat(to_dir, &b) < 0)
		return -errno;
	if (a.st_dev != b.st_dev)
		return -EXDEV;
	bool replaces = fstatat(to_dir, to, &target, AT_SYMLINK_NOFOLLOW) == 0;
	if (replaces && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (replaces && !S_ISDIR(target.st_mode))
		return -ENOTDIR;
	if (replaces && unlinkat(to_dir, to, AT_REMOVEDIR) < 0)
		return -errno;
	if (mkdirat(to_dir, to, 0700) < 0)
		return -errno;

	cleanup_fd int old = open_dir(from_dir, from);
	cleanup_fd int new = open_dir(to_dir, to);
	int r = old < 0 ? old : new;
	struct stat before;
	if (r >= 0 && fstat(old, &before) < 0)
		r = -errno;
	if (r >= 0)
		r = move_entries(old, new);
	if (r >= 0) { /* the entries' leaving has touched the old one's time: put it back first */
		struct timespec times[2] = { before.st_atim, before.st_mtim };
		futimens(old, times);
		r = keep_attributes(old, new);
	}
	if (r >= 0 && unlinkat(from_dir, from, AT_REMOVEDIR) < 0)
		r = -errno;
	if (r < 0) {
		if (old >= 0 && new >= 0)
			move_entries(new, old);
		unlinkat(to_dir, to, AT_REMOVEDIR);
		if (replaces)
			mkdirat(to_dir, to, target.st_mode & 07777);
	}
	return r < 0 ? r : 0;
}
