#include "rootfs/content.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"

enum { CHUNK = 1 << 20 };

/* Where the kernel cannot copy between these two file systems itself. */
static int copy_by_hand(int from, int to, off_t at, off_t end)
{
	cleanup_free char *buf = malloc(CHUNK);
	if (!buf)
		return -ENOMEM;
	while (at < end) {
		size_t want = end - at > CHUNK ? CHUNK : (size_t)(end - at);
		ssize_t n = pread(from, buf, want, at);
		if (n == 0)
			return 0; /* it became shorter */
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(to, buf + done, (size_t)(n - done), at + done);
			if (w < 0 && errno != EINTR)
				return -errno;
			done += w > 0 ? w : 0;
		}
		at += n;
	}
	return 0;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	off_t in = at, out = at;
	while (in < end) {
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 &&
		    (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
			return copy_by_hand(from, to, in, end);
		if (n < 0)
			return -errno;
	}
	return 0;
}

int content_copy(int from, int to)
{
	struct stat st;
	if (ftruncate(to, 0) < 0)
		return -errno;
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return -errno;
	for (off_t at = 0; at < st.st_size;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0; /* nothing but a hole is left */
		off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		if (data < 0 || hole < 0) { /* a file system without holes */
			data = at;
			hole = st.st_size;
		}
		int r = copy_range(from, to, data, hole);
		if (r < 0)
			return r;
		at = hole;
	}
	return 0;
}

int content_write(int to, const void *bytes, size_t len)
{
	if (ftruncate(to, 0) < 0 || lseek(to, 0, SEEK_SET) < 0)
		return -errno;
	return fd_write_all(to, bytes, len);
}
