#include "sandbox/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/content.h"
#include "sandbox/place.h"

/* A change time may stand still for this long, though the file changes: see shareable(). */
enum { CLOCK_GRAIN_NS = 20000000 };

void kept_finish(struct kept *k)
{
	scope_close(&k->fd);
}

/* Reading must not show: not as an access time, not as an event to somebody who watches the file. */
static int open_upper(const struct kept *k)
{
	struct open_how how = { .flags = O_RDONLY | O_NOATIME | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, k->layer->upper_fd, k->rel, &how, sizeof(how));
	if (fd < 0 && errno == EPERM) {
		how.flags &= ~(uint64_t)O_NOATIME;
		fd = (int)syscall(SYS_openat2, k->layer->upper_fd, k->rel, &how, sizeof(how));
	}
	/* the mode of a real file is nobody's to change in passing */
	if (fd >= 0 || errno != EACCES || k->layer->real)
		return fd < 0 ? -errno : fd;
	/*
	 * A file without read permission, and we have its owner's powers, no more. The mode is
	 * changed on the upper's inode, which the agent's opens do not look at.
	 */
	how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	cleanup_fd int pin =
		(int)syscall(SYS_openat2, k->layer->upper_fd, k->rel, &how, sizeof(how));
	char name[16];
	struct stat st;
	if (pin < 0 || fstat(pin, &st) < 0)
		return -errno;
	snprintf(name, sizeof(name), "%d", pin); /* a worker stands in /proc/self/fd */
	if (fchmodat(AT_FDCWD, name, (st.st_mode & 07777) | 0400, 0) < 0)
		return -errno;
	fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int error = errno;
	if (fchmodat(AT_FDCWD, name, st.st_mode & 07777, 0) < 0)
		error = errno; /* it keeps the permission: a rollback sets the mode anyway */
	return fd < 0 ? -error : fd;
}

/* Nobody has it open (F_WRLCK), or nobody for writing (F_RDLCK), mappings included. */
static bool unused(int fd, int lease)
{
	if (fcntl(fd, F_SETLEASE, lease) < 0)
		return false;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return true;
}

/*
 * The same pre-image may stand for several records while the file is the same: same inode,
 * length and change time. A mapping that dirties a dirty page moves no time: so nobody may have
 * it open for writing, now as when it was copied. And a time just now may not move with the next write.
 */
static bool shareable(int fd, const struct stat *st)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (int64_t)(now.tv_sec - st->st_ctim.tv_sec) * 1000000000 + now.tv_nsec -
		      st->st_ctim.tv_nsec;
	return age > CLOCK_GRAIN_NS && unused(fd, F_RDLCK);
}

static const struct capture_shared *find_shared(const struct capture *c, const struct stat *st)
{
	for (unsigned i = 0; i < CAPTURE_SHARED_MAX; i++) {
		const struct capture_shared *s = &c->shared[i];
		if (s->stash && s->ino == st->st_ino && s->size == st->st_size &&
		    s->ctime.tv_sec == st->st_ctim.tv_sec &&
		    s->ctime.tv_nsec == st->st_ctim.tv_nsec)
			return s;
	}
	return NULL;
}

static int copy_to_stash(struct capture *c, struct kept *k, const struct stat *st)
{
	uint64_t bytes = (uint64_t)st->st_blocks * 512;
	int fd = journal_stash_new(c->journal, bytes, &k->stash);
	if (fd < 0)
		return fd;
	int r = content_copy(k->fd, fd);
	if (r == 0 && c->sync && fdatasync(fd) < 0)
		r = -errno;
	close(fd);
	if (r < 0)
		journal_stash_drop(c->journal, k->stash);
	return r;
}

/* A file too large for the record: by reference, by a second name, or copied. */
static int stash(struct capture *c, struct kept *k, const struct stat *st, bool removed)
{
	bool share = shareable(k->fd, st);
	const struct capture_shared *s = share ? find_shared(c, st) : NULL;
	if (s && journal_stash_again(c->journal, s->stash, &k->stash) == 0)
		return 0;
	/* its last name goes, and no descriptor could tell that it has another one */
	if (removed && st->st_nlink == 1 && unused(k->fd, F_WRLCK) &&
	    journal_stash_link(c->journal, k->layer->upper_fd, k->rel,
			       (uint64_t)st->st_blocks * 512, &k->stash) == 0) {
		c->linked = k->stash;
		return 0;
	}
	int r = copy_to_stash(c, k, st);
	if (r == 0 && share) {
		c->shared[c->shared_next++ % CAPTURE_SHARED_MAX] = (struct capture_shared){
			.ino = st->st_ino,
			.size = st->st_size,
			.ctime = st->st_ctim,
			.stash = k->stash,
		};
	}
	return r;
}

/*
 * For its attributes, which of a merged directory are the upper's too. One without read permission is left as it is; so is
 * a real one, where somebody could see it opened.
 */
static int open_upper_directory(const struct kept *k)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, k->layer->upper_fd, k->rel, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/*
 * Is the object its upper's, so that the lower does not hold it? The one place that knows. A file is
 * opened for it, since it is to be read if it is, and a directory for what is to be listed.
 */
static bool look_upper(struct kept *k, struct stat *ret)
{
	if (S_ISREG(k->st.st_mode) || (S_ISDIR(k->st.st_mode) && !k->layer->real)) {
		k->fd = S_ISREG(k->st.st_mode) ? open_upper(k) : open_upper_directory(k);
		if (k->fd == -ENOENT || k->fd == -ENOTDIR)
			return false;
	}
	int r = k->fd >= 0 ? fstat(k->fd, ret)
			   : fstatat(k->layer->upper_fd, k->rel, ret, AT_SYMLINK_NOFOLLOW);
	return r == 0 && (ret->st_mode & S_IFMT) == (k->st.st_mode & S_IFMT);
}

int kept_keep(struct capture *c, struct kept *k, enum kept_how how)
{
	struct stat st;
	k->content = JOURNAL_CONTENT_NONE;
	k->upper = look_upper(k, &st);
	k->upper_ino = k->upper ? st.st_ino : 0;
	/* to find the other name again a real file system would have to be walked: kept as a file of its own */
	if (how == KEPT_REMOVED && k->upper && !S_ISDIR(st.st_mode) && st.st_nlink > 1 &&
	    !k->layer->real) {
		k->content = JOURNAL_CONTENT_NAMED;
		return 0;
	}
	if (S_ISLNK(k->st.st_mode)) {
		k->content = JOURNAL_CONTENT_INLINE;
		return 0;
	}
	if (!S_ISREG(k->st.st_mode))
		return 0;
	if (!k->upper) {
		k->content = JOURNAL_CONTENT_LOWER;
		return 0;
	}
	if (how == KEPT_APPENDED && st.st_size > JOURNAL_INLINE_MAX) {
		k->content = JOURNAL_CONTENT_LENGTH;
		scope_close(&k->fd);
		k->fd = -1;
		return 0;
	}
	if (k->fd < 0) {
		k->content = JOURNAL_CONTENT_LOST;
		return 0;
	}
	k->st.st_size = st.st_size;
	k->content = JOURNAL_CONTENT_INLINE;
	if (st.st_size <= JOURNAL_INLINE_MAX)
		return 0;
	k->content = JOURNAL_CONTENT_STASH;
	int r = stash(c, k, &st, how == KEPT_REMOVED);
	if (r != -EFBIG)
		return r;
	k->content = JOURNAL_CONTENT_LOST;
	return 0;
}

int kept_put(struct capture *c, struct journal_record *record, const struct kept *k,
	     const struct place *p)
{
	size_t len = k->content == JOURNAL_CONTENT_INLINE ? (size_t)k->st.st_size : 0;
	if (len == 0)
		return 0;
	if (len > JOURNAL_INLINE_MAX)
		return -EFBIG;
	unsigned char *at = journal_put_content(c->journal, len);
	ssize_t n = S_ISLNK(k->st.st_mode) ? readlinkat(p->parent_fd, p->leaf, (char *)at, len)
					   : pread(k->fd, at, len, 0);
	if (n < 0)
		return -errno;
	memset(at + n, 0, len - (size_t)n); /* somebody shortened it meanwhile */
	record->before.size = (uint64_t)n;
	return 0;
}
