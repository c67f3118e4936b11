/* Descriptors: what every caller of read(2), write(2) and readdir(3) needs around them. */
#pragma once

#include <dirent.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads up to the end or @size bytes, going on after EINTR and short reads. Their number, -errno. */
ssize_t fd_read_all(int fd, char *bytes, size_t size);

/* The directory @name in @dirfd as a stream of its own. @flags: O_NOFOLLOW, O_NOATIME or 0. NULL: errno says why. */
DIR *fd_opendir(int dirfd, const char *name, int flags);

/*
 * openat2(2), asked again where the kernel could not be sure that a ".." stayed inside because somebody renamed or mounted
 * something anywhere meanwhile (EAGAIN); a thousand times. Descriptor, -errno.
 */
int fd_openat2(int dirfd, const char *path, const struct open_how *how);

/* Writes all of it, going on after EINTR and short writes. 0, -errno. */
int fd_write_all(int fd, const char *bytes, size_t len);
