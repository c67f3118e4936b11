/* The segments of a journal that is written: made, grown, gone on in, given up for newer ones. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/journal_private.h"

/* A segment grows as it fills: 4 MiB at once are 2 ms of every start. */
enum { GROW_STEP = 256 * 1024 };

void journal_segment_unmap(struct journal *j)
{
	if (j->map)
		munmap(j->map, SEGMENT_SIZE);
	scope_close(&j->fd);
	j->map = NULL;
	j->header = NULL;
	j->last = NULL;
	j->fd = -1;
}

static uint64_t blocks_of(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

/* Removes a segment's stashes; bytes that this freed. */
static uint64_t drop_stashes(struct journal *j, uint64_t segment)
{
	char prefix[SEGMENT_NAME_SIZE];
	uint64_t freed = 0;
	int n = snprintf(prefix, sizeof(prefix), "%llu-", (unsigned long long)segment);
	cleanup_dir DIR *d = fd_opendir(j->dirfd, ".", 0);
	for (const struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		if (strncmp(e->d_name, prefix, (size_t)n) != 0 ||
		    fstatat(j->dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (unlinkat(j->dirfd, e->d_name, 0) == 0 && st.st_nlink == 1)
			freed += blocks_of(&st);
	}
	return freed;
}

bool journal_segment_evict(struct journal *j)
{
	if (j->segment_count < 2)
		return false;
	char name[SEGMENT_NAME_SIZE];
	uint64_t segment = j->segments[0];
	/* the next one's first record tells what went */
	journal_segment_name(j->segments[1], name);
	struct segment_header h;
	cleanup_fd int fd = openat(j->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && h.first > 1)
		j->evicted = h.first - 1;
	/* its stashes first: without them a record says so, without records they would stay for ever */
	uint64_t freed = drop_stashes(j, segment);
	journal_segment_name(segment, name);
	struct stat st;
	if (fstatat(j->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    unlinkat(j->dirfd, name, 0) == 0)
		freed += blocks_of(&st);
	j->used -= freed < j->used ? freed : j->used;
	memmove(j->segments, j->segments + 1, --j->segment_count * sizeof(*j->segments));
	return true;
}

static int add_segment(struct journal *j, uint64_t number)
{
	if (j->segment_count == j->segment_room) {
		size_t room = j->segment_room ? j->segment_room * 2 : 16;
		uint64_t *more = realloc(j->segments, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		j->segments = more;
		j->segment_room = room;
	}
	j->segments[j->segment_count++] = number;
	return 0;
}

static int map_segment(struct journal *j, int fd, size_t size)
{
	void *map = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	journal_segment_unmap(j);
	j->map = map;
	j->header = map;
	j->fd = fd;
	j->size = size;
	j->end = SEGMENT_HEADER_SIZE;
	j->populated = 0;
	j->stashes = 0;
	return 0;
}

static int allocate(int fd, size_t from, size_t len)
{
	int r;
	do
		r = posix_fallocate(fd, (off_t)from, (off_t)len);
	while (r == EINTR);
	return -r;
}

int journal_segment_rotate(struct journal *j)
{
	uint64_t number = j->segment_count ? j->segments[j->segment_count - 1] + 1 : 1;
	struct segment_header h = { .version = SEGMENT_VERSION,
				    .header_size = SEGMENT_HEADER_SIZE,
				    .number = number,
				    .size = SEGMENT_SIZE,
				    .first = j->number + 1 };
	char name[SEGMENT_NAME_SIZE];
	memcpy(h.magic, segment_magic, sizeof(h.magic));
	if (getrandom(&h.nonce, sizeof(h.nonce), 0) != (ssize_t)sizeof(h.nonce))
		return -EIO;
	while (j->used + SEGMENT_SIZE > j->options.bytes && journal_segment_evict(j))
		;
	journal_segment_name(number, name);
	cleanup_fd int fd =
		openat(j->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = allocate(fd, 0, JOURNAL_MARKS_RESERVE);
	if (r == 0 && pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		r = -EIO;
	if (r == 0)
		r = add_segment(j, number);
	if (r == 0)
		r = map_segment(j, fd, JOURNAL_MARKS_RESERVE);
	if (r < 0) {
		unlinkat(j->dirfd, name, 0);
		if (j->segment_count && j->segments[j->segment_count - 1] == number)
			j->segment_count--;
		return r;
	}
	take_fd(&fd);
	j->used += JOURNAL_MARKS_RESERVE;
	return 0;
}

int journal_segment_grow(struct journal *j, size_t least)
{
	size_t size = (least + GROW_STEP - 1) / GROW_STEP * GROW_STEP;
	if (least <= j->size)
		return 0;
	size = size > SEGMENT_SIZE ? SEGMENT_SIZE : size;
	size_t more = size - j->size;
	while (j->used + more > j->options.bytes && journal_segment_evict(j))
		;
	int r = allocate(j->fd, j->size, more);
	if (r < 0)
		return r;
	j->used += more;
	j->size = size;
	return 0;
}

int journal_segment_resume(struct journal *j)
{
	char name[SEGMENT_NAME_SIZE];
	struct stat st;
	journal_segment_name(j->segments[j->segment_count - 1], name);
	cleanup_fd int fd = openat(j->dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < SEGMENT_HEADER_SIZE || st.st_size > SEGMENT_SIZE)
		return -EBADMSG; /* made, and the writer died before it was allocated, or the disk was full */
	size_t length = (size_t)st.st_size;
	int r = map_segment(j, fd, length);
	if (r < 0)
		return r;
	take_fd(&fd);
	struct segment_header *h = j->header;
	if (memcmp(h->magic, segment_magic, sizeof(h->magic)) != 0 || h->version != SEGMENT_VERSION)
		return -EBADMSG;
	j->number = h->first - 1;
	struct journal_view v;
	int64_t size;
	while ((size = journal_parse(j->map + j->end, length - j->end, h->nonce, &v)) > 0) {
		j->number = v.record->number;
		j->end += (size_t)size;
	}
	/* what is behind was never a record, or is torn: nothing of it may be met again */
	memset(j->map + j->end, 0, length - j->end);
	return 0;
}

int journal_measure(struct journal *j)
{
	cleanup_dir DIR *d = fd_opendir(j->dirfd, ".", 0);
	uint64_t newest = j->segment_count ? j->segments[j->segment_count - 1] : 0;
	j->used = 0;
	for (const struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		unsigned long long segment, n;
		if (e->d_name[0] == '.' ||
		    fstatat(j->dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		j->used += blocks_of(&st) / (st.st_nlink ? st.st_nlink : 1);
		if (sscanf(e->d_name, "%llu-%llu.old", &segment, &n) == 2 && segment == newest &&
		    n > j->stashes)
			j->stashes = n;
	}
	return d ? 0 : -errno;
}
