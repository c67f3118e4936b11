/* Files beside the segments, for pre-images that no record holds. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "rootfs/journal_private.h"

/* Room in the budget and for the record, in a segment that owns nothing that must go for it. */
static int stash_room(struct journal *j, uint64_t bytes)
{
	if (bytes + 2 * (uint64_t)SEGMENT_SIZE > j->options.bytes)
		return -EFBIG;
	int r = journal_make_room(j);
	while (r == 0 && j->used + bytes > j->options.bytes) {
		/* the newest segment's own files fill the budget: it becomes an old one */
		if (!journal_segment_evict(j))
			r = journal_segment_rotate(j);
	}
	return r;
}

static void stash_name(struct journal *j, char *name, uint64_t *ret_stash)
{
	*ret_stash = stash_id(j->header->number, ++j->stashes);
	journal_stash_name(*ret_stash, name);
}

int journal_stash_new(struct journal *j, uint64_t bytes, uint64_t *ret_stash)
{
	char name[STASH_NAME_SIZE];
	int r = stash_room(j, bytes);
	if (r < 0)
		return r;
	stash_name(j, name, ret_stash);
	int fd = openat(j->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	j->used += bytes;
	return fd;
}

int journal_stash_again(struct journal *j, uint64_t stash, uint64_t *ret_stash)
{
	char old[STASH_NAME_SIZE], name[STASH_NAME_SIZE];
	int r = journal_make_room(j);
	if (r < 0)
		return r;
	if (stash >> 24 == j->header->number) {
		*ret_stash = stash;
		return 0;
	}
	journal_stash_name(stash, old);
	stash_name(j, name, ret_stash);
	return linkat(j->dirfd, old, j->dirfd, name, 0) < 0 ? -errno : 0;
}

void journal_stash_drop(struct journal *j, uint64_t stash)
{
	char name[STASH_NAME_SIZE];
	journal_stash_name(stash, name);
	unlinkat(j->dirfd, name, 0);
	journal_measure(j);
}

int journal_stash_link(struct journal *j, int upper_fd, const char *path, uint64_t bytes,
		       uint64_t *ret_stash)
{
	char name[STASH_NAME_SIZE];
	int r = stash_room(j, bytes);
	if (r < 0)
		return r;
	stash_name(j, name, ret_stash);
	if (linkat(upper_fd, path, j->dirfd, name, 0) < 0)
		return -errno;
	j->used += bytes;
	return 0;
}
