#include "rootfs/remove.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/scope.h"

static int remove_entry(int dirfd, const char *name, bool maybe_file, unsigned depth);

/* @dirfd is taken over. */
static int remove_all(int dirfd, unsigned depth)
{
	if (depth > PATH_MAX / 2) {
		close(dirfd);
		return -ELOOP;
	}
	DIR *d = fdopendir(dirfd);
	if (!d) {
		int rc = -errno;
		close(dirfd);
		return rc;
	}
	int rc = 0;
	const struct dirent *e;
	while (rc == 0 && (errno = 0, e = readdir(d))) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = remove_entry(dirfd, e->d_name, e->d_type != DT_DIR, depth);
	}
	if (rc == 0 && errno)
		rc = -errno;
	closedir(d);
	return rc;
}

static int remove_entry(int dirfd, const char *name, bool maybe_file, unsigned depth)
{
	if (maybe_file) {
		if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
	}
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0) /* many are empty */
		return 0;
	/* overlayfs leaves its private directory with mode 000; agents make such ones too */
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags);
	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
		fd = openat(dirfd, name, flags);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	fchmod(fd, 0700);
	int rc = remove_all(fd, depth + 1);
	if (rc == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		rc = -errno;
	return rc;
}

int remove_tree(int dirfd, const char *name)
{
	return remove_entry(dirfd, name, true, 0);
}

int remove_below(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : remove_all(fd, 0);
}
