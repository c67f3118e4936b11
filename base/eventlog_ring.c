#include "base/eventlog_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/eventlog.h"
#include "base/scope.h"

enum { RING_VERSION = 1 };
#define RING_FILE_SIZE (EVENTLOG_HEADER_SIZE + EVENTLOG_RING_SIZE)

static const char ring_name[] = "events.ring";
static const char ring_magic[8] = "VSRING\r\n";

int eventlog_create(int dirfd, struct err *err)
{
	cleanup_fd int fd =
		openat(dirfd, ring_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot create %s", ring_name);

	struct eventlog_ring head = {
		.version = RING_VERSION,
		.header_size = EVENTLOG_HEADER_SIZE,
		.data_size = EVENTLOG_RING_SIZE,
	};
	memcpy(head.magic, ring_magic, sizeof(head.magic));

	int r = posix_fallocate(fd, 0, (off_t)RING_FILE_SIZE);
	if (r == 0) {
		ssize_t n = pwrite(fd, &head, sizeof(head), 0);
		if (n != (ssize_t)sizeof(head))
			r = n < 0 ? errno : EIO;
	}
	if (r != 0) {
		unlinkat(dirfd, ring_name, 0);
		return err_sys(err, r, "cannot allocate %s", ring_name);
	}
	return 0;
}

int eventlog_ring_map(int dirfd, struct eventlog_ring **ret, struct err *err)
{
	cleanup_fd int fd = openat(dirfd, ring_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "cannot open %s", ring_name);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, errno, "cannot stat %s", ring_name);
	if (!S_ISREG(st.st_mode) || st.st_size != (off_t)RING_FILE_SIZE)
		return err_set(err, EBADMSG, "%s is not an event segment of this version",
			       ring_name);
	void *map = mmap(NULL, RING_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(err, errno, "cannot map %s", ring_name);
	struct eventlog_ring *ring = map;
	if (memcmp(ring->magic, ring_magic, sizeof(ring_magic)) != 0 ||
	    ring->version != RING_VERSION || ring->header_size != EVENTLOG_HEADER_SIZE ||
	    ring->data_size != EVENTLOG_RING_SIZE) {
		munmap(map, RING_FILE_SIZE);
		return err_set(err, EBADMSG, "%s is not an event segment of this version",
			       ring_name);
	}
	*ret = ring;
	return 0;
}

void eventlog_ring_unmap(struct eventlog_ring *ring)
{
	if (ring)
		munmap(ring, RING_FILE_SIZE);
}
