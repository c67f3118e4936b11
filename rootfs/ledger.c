#include "rootfs/ledger.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "base/scope.h"

enum { PARTS_MAX = 4 };

struct head {
	uint32_t len;
	uint32_t reserved; /* keeps what follows aligned */
	uint64_t sum;
};

/* FNV-1a, begun with the length. Against torn writes, not against a forger: nobody else can write there. */
static uint64_t sum_of(uint64_t sum, const void *bytes, size_t len)
{
	const unsigned char *b = bytes;
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ b[i]) * 0x100000001b3u;
	return sum;
}

static uint64_t sum_begin(size_t len)
{
	return 0xcbf29ce484222325u ^ len;
}

static size_t padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

/* Goes through the whole records from *@end on, which is where the last one ends afterwards. */
static int scan(int fd, int (*visit)(const void *record, size_t len, void *arg), void *arg,
		off_t *end)
{
	cleanup_free unsigned char *record = malloc(LEDGER_RECORD_MAX);
	cleanup_fd int copy = dup(fd);
	cleanup_file FILE *f = copy < 0 ? NULL : fdopen(copy, "r");
	if (f)
		copy = -1;
	if (!record || !f)
		return -ENOMEM;
	if (fseeko(f, *end, SEEK_SET) < 0)
		return -errno;
	struct head h;
	while (fread(&h, sizeof(h), 1, f) == 1 && h.len <= LEDGER_RECORD_MAX - 8 &&
	       fread(record, 1, padded(h.len), f) == padded(h.len) &&
	       sum_of(sum_begin(h.len), record, h.len) == h.sum) {
		*end += (off_t)(sizeof(h) + padded(h.len));
		int r = visit ? visit(record, h.len, arg) : 0;
		if (r != 0)
			return r;
	}
	return ferror(f) ? -EIO : 0;
}

int ledger_open(int dirfd, const char *name, struct ledger *ret, struct err *err)
{
	*ret = (struct ledger){ .fd = -1 };
	cleanup_fd int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot open %s of the session", name);
	struct stat st;
	off_t end = 0;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && st.st_size > 0)
		r = scan(fd, NULL, NULL, &end);
	if (r < 0)
		return err_sys(err, -r, "cannot read %s of the session", name);
	*ret = (struct ledger){ .fd = take_fd(&fd), .end = end };
	return 0;
}

int ledger_catch_up(struct ledger *l)
{
	struct stat st;
	if (fstat(l->fd, &st) < 0)
		return -errno;
	return st.st_size > l->end ? scan(l->fd, NULL, NULL, &l->end) : 0;
}

int ledger_append(struct ledger *l, const struct iovec *parts, unsigned count)
{
	static const char zeros[8];
	struct iovec v[PARTS_MAX + 2];
	struct head h = { 0 };
	size_t len = 0;
	if (count > PARTS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < count; i++)
		len += parts[i].iov_len;
	if (len > LEDGER_RECORD_MAX - 8)
		return -EMSGSIZE;
	h.len = (uint32_t)len;
	h.sum = sum_begin(len);
	for (unsigned i = 0; i < count; i++)
		h.sum = sum_of(h.sum, parts[i].iov_base, parts[i].iov_len);
	union {
		const char *in;
		void *out;
	} padding = { .in = zeros };
	v[0] = (struct iovec){ &h, sizeof(h) };
	memcpy(v + 1, parts, count * sizeof(*parts));
	v[count + 1] = (struct iovec){ padding.out, padded(len) - len };
	size_t total = sizeof(h) + padded(len);
	ssize_t n;
	do
		n = pwritev(l->fd, v, (int)count + 2, l->end);
	while (n < 0 && errno == EINTR);
	/* a short one is a torn tail: the next record is written over it */
	if (n != (ssize_t)total)
		return n < 0 ? -errno : -ENOSPC;
	l->end += n;
	return 0;
}

int ledger_reserve(const struct ledger *l, size_t bytes)
{
	if (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, l->end, (off_t)bytes) < 0 && errno != EOPNOTSUPP)
		return -errno;
	return 0;
}

int ledger_sync(const struct ledger *l)
{
	return fdatasync(l->fd) < 0 ? -errno : 0;
}

void ledger_close(struct ledger *l)
{
	scope_close(&l->fd);
	l->fd = -1;
}

int ledger_read(int dirfd, const char *name,
		int (*visit)(const void *record, size_t len, void *arg), void *arg)
{
	off_t end = 0;
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : scan(fd, visit, arg, &end);
}
