#include "rootfs/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "rootfs/journal_format.h"

enum {
	/* A segment grows as it fills: 4 MiB at once are 2 ms of every start. */
	GROW_STEP = 256 * 1024,
	POPULATE_AHEAD = GROW_STEP,
	/* of each segment, for what a rollback writes: it must be possible on a full disk */
	MARKS_RESERVE = 128 * 1024,
	MARK_MAX = 1024,
};

struct journal {
	int dirfd; /* DIR/journal, owned */
	int fd;    /* of the segment, owned; -1 none yet */
	struct journal_options options;
	unsigned char *map; /* the segment, owned; NULL none */
	struct segment_header *header;
	size_t size;      /* of the segment's file, all of it allocated: a store can't fail there */
	size_t end;       /* of the last record */
	size_t at;        /* where the next part of the record under way goes; 0 none is */
	size_t populated; /* pages up to here are in our tables */
	uint64_t number;  /* of the last record */
	uint64_t stashes; /* given out in this segment */
	uint64_t used;    /* bytes of segments and stashes */
	uint64_t *segments; /* numbers, ascending; owned */
	size_t segment_count, segment_room;
	uint64_t evicted;
	struct journal_record *last; /* committed, its outcome not told yet */
};

static void unmap(struct journal *j)
{
	if (j->map)
		munmap(j->map, SEGMENT_SIZE);
	scope_close(&j->fd);
	j->map = NULL;
	j->header = NULL;
	j->last = NULL;
	j->fd = -1;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	unmap(j);
	scope_close(&j->dirfd);
	free(j->segments);
	free(j);
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
	int fd = openat(j->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
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

/* The oldest segment goes. false: there is only the one that is written to. */
static bool evict(struct journal *j)
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
	unmap(j);
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

/* A new segment to go on in: a header and the reserve, the rest is grown into. */
static int rotate(struct journal *j)
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
	while (j->used + SEGMENT_SIZE > j->options.bytes && evict(j))
		;
	journal_segment_name(number, name);
	cleanup_fd int fd =
		openat(j->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = allocate(fd, 0, MARKS_RESERVE);
	if (r == 0 && pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h))
		r = -EIO;
	if (r == 0)
		r = add_segment(j, number);
	if (r == 0)
		r = map_segment(j, fd, MARKS_RESERVE);
	if (r < 0) {
		unlinkat(j->dirfd, name, 0);
		if (j->segment_count && j->segments[j->segment_count - 1] == number)
			j->segment_count--;
		return r;
	}
	take_fd(&fd);
	j->used += MARKS_RESERVE;
	return 0;
}

/* The segment's file reaches to @least, a step beyond if that is still the segment. */
static int grow(struct journal *j, size_t least)
{
	size_t size = (least + GROW_STEP - 1) / GROW_STEP * GROW_STEP;
	if (least <= j->size)
		return 0;
	size = size > SEGMENT_SIZE ? SEGMENT_SIZE : size;
	size_t more = size - j->size;
	while (j->used + more > j->options.bytes && evict(j))
		;
	int r = allocate(j->fd, j->size, more);
	if (r < 0)
		return r;
	j->used += more;
	j->size = size;
	return 0;
}

/* Goes on behind the last whole record of the newest segment. */
static int resume(struct journal *j)
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

static int measure(struct journal *j)
{
	int fd = openat(j->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
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
		r = resume(j);
		if (r != -EBADMSG)
			break;
		/* a segment without a header holds no record: it was being made */
		char name[SEGMENT_NAME_SIZE];
		journal_segment_name(j->segments[--j->segment_count], name);
		unmap(j);
		r = unlinkat(j->dirfd, name, 0) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = measure(j);
	if (r == 0 && !j->map)
		r = rotate(j);
	if (r < 0) {
		journal_close(j);
		return err_sys(err, -r, "journal: cannot be opened for writing");
	}
	*ret = j;
	return 0;
}

static int make_room(struct journal *j)
{
	j->at = 0;
	if (!j->map || SEGMENT_SIZE - j->end < RECORD_MAX + MARKS_RESERVE) {
		int r = rotate(j);
		if (r < 0)
			return r;
	}
	int r = grow(j, j->end + RECORD_MAX + MARKS_RESERVE);
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
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	record->wall_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	j->at = j->end + sizeof(*record);
	j->last = NULL;
	*ret = record;
}

int journal_begin(struct journal *j, struct journal_record **ret)
{
	int r = make_room(j);
	if (r == 0)
		start_record(j, JOURNAL_ACTION, ret);
	return r;
}

int journal_begin_mark(struct journal *j, enum journal_kind kind, struct journal_record **ret)
{
	/* in the reserve, where the disk has no room for more */
	int r = j->map && j->size - j->end >= MARK_MAX        ? 0
		: j->map && SEGMENT_SIZE - j->end >= MARK_MAX ? grow(j, j->end + MARK_MAX)
							      : rotate(j);
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

/* Room in the budget and for the record, in a segment that owns nothing that must go for it. */
static int stash_room(struct journal *j, uint64_t bytes)
{
	if (bytes + 2 * (uint64_t)SEGMENT_SIZE > j->options.bytes)
		return -EFBIG;
	int r = make_room(j);
	while (r == 0 && j->used + bytes > j->options.bytes) {
		/* the newest segment's own files fill the budget: it becomes an old one */
		if (!evict(j))
			r = rotate(j);
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
	int r = make_room(j);
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
	measure(j);
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

uint64_t journal_take_evicted(struct journal *j)
{
	uint64_t number = j->evicted;
	j->evicted = 0;
	return number;
}
