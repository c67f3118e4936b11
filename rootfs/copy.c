#include "rootfs/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/upper.h"

enum { COPY_BYTES = 1 << 20 };

/* One stretch of data at the same place of both files. */
static int copy_range(int from, int to, off_t at, off_t end)
{
	bool kernel = true;
	cleanup_free char *bytes = NULL;
	while (at < end) {
		off_t in = at, out = at;
		if (kernel) {
			ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
			if (n > 0) {
				at += n;
				continue;
			}
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && errno == ENOSPC)
				return -ENOSPC;
			if (n == 0)
				return 0; /* the file has become shorter */
			kernel = false;
		}
		if (!bytes && !(bytes = malloc(COPY_BYTES)))
			return -ENOMEM;
		size_t want = end - at < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
		ssize_t n = pread(from, bytes, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (lseek(to, at, SEEK_SET) < 0)
			return -errno;
		int r = fd_write_all(to, bytes, (size_t)n);
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

static int copy_content(int from, int to, off_t size)
{
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (ftruncate(to, size) < 0)
		return -errno;
	for (off_t at = 0; at < size;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* a hole to the end */
		off_t hole = data < 0 ? size : lseek(from, data, SEEK_HOLE);
		int r = copy_range(from, to, data < 0 ? at : data, hole < 0 ? size : hole);
		if (r < 0)
			return r;
		at = hole < 0 ? size : hole;
	}
	return 0;
}

static int copy_file(int from_dir, const char *from, const struct stat *st, int to_dir,
		     const char *to)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	cleanup_fd int in = openat(from_dir, from, flags);
	if (in < 0 && errno == EACCES &&
	    fchmodat(from_dir, from, (st->st_mode & 07777) | 0400, 0) == 0) {
		in = openat(from_dir, from, flags);
		if (fchmodat(from_dir, from, st->st_mode & 07777, 0) < 0)
			return -errno;
	}
	if (in < 0)
		return -errno;
	cleanup_fd int out =
		openat(to_dir, to, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	return copy_content(in, out, st->st_size);
}

int copy_object(int from_dir, const char *from, const struct stat *st, int to_dir, const char *to)
{
	char target[PATH_MAX];
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(from_dir, from, st, to_dir, to);
	case S_IFLNK: {
		ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		return symlinkat(target, to_dir, to) < 0 ? -errno : 0;
	}
	case S_IFIFO:
	case S_IFSOCK:
		return mknodat(to_dir, to, (st->st_mode & S_IFMT) | 0600, 0) < 0 ? -errno : 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* The pinned object's name for the calls that have no descriptor form; no link of anybody's is followed. */
static void name_of(int fd, char path[static 32])
{
	snprintf(path, 32, "/proc/self/fd/%d", fd);
}

static ssize_t list_xattrs(const char *path, char **ret)
{
	*ret = NULL;
	ssize_t size = listxattr(path, NULL, 0);
	if (size <= 0)
		return size == 0 || errno == EOPNOTSUPP ? 0 : -errno;
	*ret = malloc((size_t)size);
	if (!*ret)
		return -ENOMEM;
	size = listxattr(path, *ret, (size_t)size);
	return size < 0 ? -errno : size;
}

static int copy_xattr(const char *from, const char *to, const char *name)
{
	ssize_t len = getxattr(from, name, NULL, 0);
	cleanup_free char *value = len < 0 ? NULL : malloc((size_t)len + 1);
	if (!value)
		return len < 0 ? -errno : -ENOMEM;
	len = getxattr(from, name, value, (size_t)len);
	return len < 0 || setxattr(to, name, value, (size_t)len, 0) < 0 ? -errno : 0;
}

static bool has_name(const char *list, ssize_t size, const char *name)
{
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1)
		if (strcmp(list + at, name) == 0)
			return true;
	return false;
}

static int copy_xattrs(int from, int to)
{
	char source[32], target[32];
	cleanup_free char *wanted = NULL;
	cleanup_free char *there = NULL;
	name_of(from, source);
	name_of(to, target);
	ssize_t size = list_xattrs(source, &wanted);
	ssize_t old = size < 0 ? size : list_xattrs(target, &there);
	if (old < 0)
		return (int)old;
	for (ssize_t at = 0; at < old; at += (ssize_t)strlen(there + at) + 1)
		/* security.* is the system's to give: a label, a file's capabilities go with a write */
		if (!has_name(wanted, size, there + at) &&
		    strncmp(there + at, "security.", 9) != 0 &&
		    removexattr(target, there + at) < 0 && errno != ENODATA)
			return -errno;
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(wanted + at) + 1) {
		int r = upper_is_overlay_xattr(wanted + at)
				? 0
				: copy_xattr(source, target, wanted + at);
		if (r < 0 && !(r == -EPERM && strncmp(wanted + at, "security.", 9) == 0))
			return r;
	}
	return 0;
}

int copy_attributes(int from_dir, const char *from, const struct stat *st, int to_dir,
		    const char *to, enum copy_flags flags)
{
	struct stat now;
	char path[32];
	cleanup_fd int source = openat(from_dir, from, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int target = openat(to_dir, to, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0 || target < 0 || fstat(target, &now) < 0)
		return -errno;
	if ((now.st_mode & S_IFMT) != (st->st_mode & S_IFMT))
		return -ESTALE; /* somebody has put another thing there */
	name_of(target, path);
	if ((now.st_uid != st->st_uid || now.st_gid != st->st_gid) &&
	    fchownat(target, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0)
		return -errno;
	int r = 0;
	if (!S_ISLNK(st->st_mode)) { /* a link has no mode, and no attribute of a user's */
		mode_t mode = st->st_mode & 07777;
		if ((flags & COPY_NO_SETUID) && !S_ISDIR(st->st_mode))
			mode &= 01777;
		/* user.* wants write permission: the mode after it; an access list changes the mode's group */
		r = copy_xattrs(source, target);
		if (r == -EACCES && chmod(path, mode | 0700) == 0)
			r = copy_xattrs(source, target);
		if (r == 0 && chmod(path, mode) < 0)
			r = -errno;
	}
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (r == 0 && utimensat(target, "", times, AT_EMPTY_PATH) < 0)
		r = -errno;
	return r;
}
