#include "rootfs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"

enum { CHUNK_MAX = PATH_MAX - 1 };

static int open_chunk(int dirfd, const char *path, size_t len, uint64_t resolve)
{
	char text[CHUNK_MAX + 1];
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve };
	if (len == 0)
		return openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	memcpy(text, path, len);
	text[len] = '\0';
	return (int)syscall(SYS_openat2, dirfd, text, &how, sizeof(how));
}

int beneath_root(const char *path, size_t len)
{
	if (len == 0 || len > CHUNK_MAX || path[0] != '/')
		return -EINVAL;
	int fd = open_chunk(AT_FDCWD, path, len, 0);
	return fd < 0 ? -errno : fd;
}

int beneath_dir(int root, const char *path, size_t len)
{
	cleanup_fd int at = -1;
	for (;;) {
		size_t n = len;
		if (n >
		    CHUNK_MAX) /* deeper than the kernel takes at once: in pieces that end at a slash */
			for (n = CHUNK_MAX; n > 0 && path[n] != '/'; n--)
				;
		if (n == 0 && len > 0)
			return -ENAMETOOLONG;
		int fd = open_chunk(at < 0 ? root : at, path, n, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
		if (fd < 0)
			return -errno;
		scope_close(&at);
		at = fd;
		if (n == len)
			return take_fd(&at);
		path += n + 1;
		len -= n + 1;
	}
}

int beneath_dir_forced(int root, const char *path, size_t len)
{
	int fd = beneath_dir(root, path, len);
	if (fd != -EACCES)
		return fd;
	cleanup_fd int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	while (at >= 0 && len > 0) {
		char name[NAME_MAX + 1];
		const char *slash = memchr(path, '/', len);
		size_t n = slash ? (size_t)(slash - path) : len;
		struct stat st;
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode))
			return -ENOTDIR;
		if ((st.st_mode & 0700) != 0700 &&
		    fchmodat(at, name, (st.st_mode & 07777) | 0700, 0) < 0)
			return -errno;
		int next = open_chunk(at, name, n, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
		if (next < 0)
			return -errno;
		close(at);
		at = next;
		path += n + (slash != NULL);
		len -= n + (slash != NULL);
	}
	return at < 0 ? -errno : take_fd(&at);
}

size_t beneath_parent_len(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (size_t)(slash - path) : 0;
}
