#include "rootfs/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "rootfs/journal_private.h"

enum {
	POPULATE_AHEAD = 256 * 1024,
	MARK_MAX = 1024,
};

void journal_close(struct journal *j)
{
	if (!j)
		return;
	journal_segment_unmap(j);
	scope_close(&j->dirfd);
	free(j->segments);
	free(j);
}

int journal_open(int session_dirfd, const struct journal_options *options, struct journal **ret,
		 struct err *err)
{
	struct journal *j = calloc(1, sizeof(*j));
	if (!j)
		return err_sys(err, ENOMEM, "journal");
	j->fd = -1;
	j->options = *options;
	if (j->options.bytes < 2 * (uint64_t)SEGMENT_SIZE)
		j->options.bytes = 2 * (uint64_t)SEGMENT_SIZE;
	int r = 0;
	if (mkdirat(session_dirfd, journal_dir_name, 0700) < 0 && errno != EEXIST)
		r = -errno;
	j->dirfd = openat(session_dirfd, journal_dir_name,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0 && j->dirfd < 0)
		r = -errno;
	int n = r == 0 ? journal_segments(j->dirfd, &j->segments) : 0;
	if (n < 0)
		r = n;
	else
		j->segment_count = j->segment_room = (size_t)n;
	while (r == 0 && j->segment_count > 0) {
		r = journal_segment_resume(j);
		if (r != -EBADMSG)
			break;
		/* a segment without a header holds no record: it was being made */
		char name[SEGMENT_NAME_SIZE];
		journal_segment_name(j->segments[--j->segment_count], name);
		journal_segment_unmap(j);
		r = unlinkat(j->dirfd, name, 0) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = journal_measure(j);
	if (r == 0 && !j->map)
		r = journal_segment_rotate(j);
	if (r < 0) {
		journal_close(j);
		return err_sys(err, -r, "journal: cannot be opened for writing");
	}
	*ret = j;
	return 0;
}

int journal_make_room(struct journal *j)
{
	j->at = 0;
	if (!j->map || SEGMENT_SIZE - j->end < RECORD_MAX + JOURNAL_MARKS_RESERVE) {
		int r = journal_segment_rotate(j);
		if (r < 0)
			return r;
	}
	int r = journal_segment_grow(j, j->end + RECORD_MAX + JOURNAL_MARKS_RESERVE);
	if (r < 0)
		return r;
	/* many small faults on the way of an action become one call in a hundred */
	if (j->end + RECORD_MAX > j->populated && j->populated < j->size) {
		size_t from = j->populated, to = j->end + RECORD_MAX + POPULATE_AHEAD;
		to = to > j->size ? j->size : to & ~(size_t)4095;
		/* only an optimisation: an older kernel faults them in one by one */
		(void)!madvise(j->map + from, to - from, MADV_POPULATE_WRITE);
		j->populated = to;
	}
	return 0;
}

static struct journal_record *under_way(struct journal *j)
{
	return (void *)(j->map + j->end);
}

static void start_record(struct journal *j, enum journal_kind kind, struct journal_record **ret)
{
	struct journal_record *record = under_way(j);
	memset(record, 0, sizeof(*record));
	record->number = j->number + 1;
	record->kind = kind;
	record->state = JOURNAL_PENDING;
	record->wall_ns = clock_ns(CLOCK_REALTIME_COARSE);
	j->at = j->end + sizeof(*record);
	j->last = NULL;
	*ret = record;
}

int journal_begin(struct journal *j, struct journal_record **ret)
{
	int r = journal_make_room(j);
	if (r == 0)
		start_record(j, JOURNAL_ACTION, ret);
	return r;
}

int journal_begin_mark(struct journal *j, enum journal_kind kind, struct journal_record **ret)
{
	/* in the reserve, where the disk has no room for more */
	int r = j->map && j->size - j->end >= MARK_MAX ? 0
		: j->map && SEGMENT_SIZE - j->end >= MARK_MAX
			? journal_segment_grow(j, j->end + MARK_MAX)
			: journal_segment_rotate(j);
	if (r == 0)
		start_record(j, kind, ret);
	return r;
}

static void put(struct journal *j, const void *bytes, size_t len)
{
	memcpy(j->map + j->at, bytes, len);
	j->at += len;
}

static void pad(struct journal *j)
{
	while (j->at % 8)
		j->map[j->at++] = 0;
}

void journal_put_path(struct journal *j, const char *path)
{
	struct journal_record *r = under_way(j);
	size_t len = strlen(path) + 1;
	if (r->path_len == 0)
		r->path_len = (uint32_t)len;
	else
		r->path2_len = (uint32_t)len;
	put(j, path, len);
	pad(j);
}

int journal_put_xattr(struct journal *j, const char *name, const void *value, size_t size)
{
	struct journal_record *r = under_way(j);
	struct xattr_head h = { .name_len = (uint32_t)strlen(name) + 1, .size = (uint32_t)size };
	size_t len = sizeof(h) + h.name_len + size;
	if (r->xattrs_len + len > JOURNAL_XATTRS_MAX)
		return -ENOSPC;
	put(j, &h, sizeof(h));
	put(j, name, h.name_len);
	put(j, value, size);
	r->xattrs_len += (uint32_t)len;
	return 0;
}

unsigned char *journal_put_content(struct journal *j, size_t len)
{
	pad(j);
	struct journal_record *r = under_way(j);
	r->content_len = (uint32_t)len;
	unsigned char *at = j->map + j->at;
	j->at += len;
	return at;
}

int journal_commit(struct journal *j)
{
	struct journal_record *r = under_way(j);
	pad(j);
	r->size = (uint32_t)(j->at - j->end);
	r->check = journal_checksum(j->header->nonce, (unsigned char *)r + CHECKED_FROM,
				    r->size - CHECKED_FROM);
	if (j->at + sizeof(uint64_t) <= j->size)
		memset(j->map + j->at, 0, sizeof(uint64_t)); /* the end, before the record is one */
	__atomic_store_n(&r->magic, (uint32_t)RECORD_MAGIC, __ATOMIC_RELEASE);
	j->end = j->at;
	j->at = 0;
	j->number = r->number;
	j->last = r;
	return j->options.sync && fdatasync(j->fd) < 0 ? -errno : 0;
}

void journal_done(struct journal *j, const struct stat *after)
{
	struct journal_record *r = j->last;
	if (!r)
		return;
	if (after) {
		journal_stat_set(&r->after, after);
		r->after_check = journal_after_check(r);
	}
	__atomic_store_n(&r->state, (uint32_t)JOURNAL_DONE, __ATOMIC_RELEASE);
}

void journal_failed(struct journal *j)
{
	if (j->last)
		__atomic_store_n(&j->last->state, (uint32_t)JOURNAL_FAILED, __ATOMIC_RELEASE);
}

uint64_t journal_take_evicted(struct journal *j)
{
	uint64_t number = j->evicted;
	j->evicted = 0;
	return number;
}
