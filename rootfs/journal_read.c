/* All segments of a journal as one list of records. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/journal_format.h"

struct journal_reader {
	int dirfd; /* owned */
	enum journal_access access;
	unsigned char **maps; /* owned mappings, SEGMENT_SIZE each */
	size_t map_count;
	struct journal_view *views; /* owned */
	size_t count, room;
	bool torn;
};

void journal_segment_name(uint64_t segment, char *name)
{
	snprintf(name, SEGMENT_NAME_SIZE, "%llu.seg", (unsigned long long)segment);
}

void journal_stash_name(uint64_t stash, char *name)
{
	snprintf(name, STASH_NAME_SIZE, "%llu-%llu.old", (unsigned long long)(stash >> 24),
		 (unsigned long long)(stash & 0xffffff));
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int journal_segments(int dirfd, uint64_t **ret)
{
	cleanup_dir DIR *d = fd_opendir(dirfd, ".", 0);
	if (!d)
		return -errno;
	cleanup_free uint64_t *list = NULL;
	size_t count = 0, room = 0;
	for (const struct dirent *e; (e = readdir(d));) {
		char *end;
		errno = 0;
		unsigned long long n = strtoull(e->d_name, &end, 10);
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || errno || strcmp(end, ".seg") != 0)
			continue;
		if (count == room) {
			room = room ? room * 2 : 16;
			uint64_t *more = realloc(list, room * sizeof(*list));
			if (!more)
				return -ENOMEM;
			list = more;
		}
		list[count++] = n;
	}
	if (count)
		qsort(list, count, sizeof(*list), ascending);
	*ret = take_ptr(list);
	return (int)count;
}

static int add_view(struct journal_reader *r, const struct journal_view *v)
{
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 1024;
		struct journal_view *more = realloc(r->views, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->views = more;
		r->room = room;
	}
	r->views[r->count++] = *v;
	return 0;
}

static int read_segment(struct journal_reader *r, uint64_t segment, bool newest)
{
	char name[SEGMENT_NAME_SIZE];
	struct stat st;
	journal_segment_name(segment, name);
	bool mark = r->access == JOURNAL_MARK;
	cleanup_fd int fd =
		openat(r->dirfd, name, (mark ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* evicted meanwhile */
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < SEGMENT_HEADER_SIZE || st.st_size > SEGMENT_SIZE) {
		r->torn = true; /* being made when its writer died */
		return newest ? 0 : -EBADMSG;
	}
	void *map =
		mmap(NULL, SEGMENT_SIZE, PROT_READ | (mark ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	r->maps[r->map_count++] = map;
	const struct segment_header *h = map;
	if (memcmp(h->magic, segment_magic, sizeof(h->magic)) != 0 ||
	    h->version != SEGMENT_VERSION || h->number != segment) {
		r->torn = true;
		return newest ? 0 : -EBADMSG;
	}
	struct journal_view v;
	size_t at = SEGMENT_HEADER_SIZE;
	int64_t size;
	int rc = 0;
	while (rc == 0 && (size = journal_parse((unsigned char *)map + at, (size_t)st.st_size - at,
						h->nonce, &v)) > 0) {
		at += (size_t)size;
		rc = add_view(r, &v);
	}
	r->torn |= rc == 0 && size < 0;
	return rc;
}

int journal_reader_open(int session_dirfd, enum journal_access access, struct journal_reader **ret,
			struct err *err)
{
	struct journal_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return err_sys(err, ENOMEM, "journal");
	r->access = access;
	r->dirfd = openat(session_dirfd, journal_dir_name,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = r->dirfd < 0 ? -errno : 0;
	cleanup_free uint64_t *segments = NULL;
	int n = rc == 0 ? journal_segments(r->dirfd, &segments) : 0;
	if (n < 0)
		rc = n;
	if (rc == 0) {
		r->maps = calloc((size_t)n + 1, sizeof(*r->maps));
		rc = r->maps ? 0 : -ENOMEM;
	}
	for (int i = 0; rc == 0 && i < n; i++)
		rc = read_segment(r, segments[i], i == n - 1);
	if (rc < 0) {
		journal_reader_close(r);
		return err_sys(err, -rc, "journal: cannot be read");
	}
	*ret = r;
	return 0;
}

void journal_reader_close(struct journal_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->map_count; i++)
		munmap(r->maps[i], SEGMENT_SIZE);
	scope_close(&r->dirfd);
	free(r->maps);
	free(r->views);
	free(r);
}

size_t journal_reader_count(const struct journal_reader *r)
{
	return r->count;
}

void journal_reader_at(const struct journal_reader *r, size_t index, struct journal_view *ret)
{
	*ret = r->views[index];
}

void journal_mark(struct journal_reader *r, size_t index, enum journal_state state)
{
	/* the view is const for those who read; the mapping it leads into is ours to write */
	union {
		const struct journal_record *in;
		struct journal_record *out;
	} record = { .in = r->views[index].record };
	__atomic_store_n(&record.out->state, (uint32_t)state, __ATOMIC_RELEASE);
}

int journal_reader_stash(const struct journal_reader *r, uint64_t stash)
{
	char name[STASH_NAME_SIZE];
	journal_stash_name(stash, name);
	int fd = openat(r->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void journal_reader_stash_drop(const struct journal_reader *r, uint64_t stash)
{
	char name[STASH_NAME_SIZE];
	journal_stash_name(stash, name);
	unlinkat(r->dirfd, name, 0);
}

bool journal_reader_torn(const struct journal_reader *r)
{
	return r->torn;
}

int journal_discard(int session_dirfd, struct err *err)
{
	cleanup_fd int fd = openat(session_dirfd, journal_dir_name,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "journal: cannot be removed");
	cleanup_dir DIR *d = fd_opendir(fd, ".", 0);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && unlinkat(fd, e->d_name, 0) < 0 && errno != ENOENT)
			return err_sys(err, errno, "journal: cannot be removed");
	if (unlinkat(session_dirfd, journal_dir_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(err, errno, "journal: cannot be removed");
	return 0;
}
