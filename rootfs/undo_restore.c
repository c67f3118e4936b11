/* Making objects and attributes what a record says they were. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/content.h"
#include "rootfs/undo_private.h"

static const char temporary[] = ".vsandbox-undo";

static int open_in(int dirfd, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	if (fd < 0 && errno == EPERM && (flags & O_NOATIME)) {
		how.flags &= ~(uint64_t)O_NOATIME;
		fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	}
	return fd < 0 ? -errno : fd;
}

static bool same_time(const struct journal_time *t, const struct timespec *ts)
{
	return t->sec == ts->tv_sec && t->nsec == (uint32_t)ts->tv_nsec;
}

/*
 * The host's file that the record leans on, if it is still what it was: by its number too, since what a commit
 * has put there may have the old length and time. The merged view shows the low half of it. Descriptor, -errno.
 */
static int open_lower(struct undo_run *u, const struct journal_view *v,
		      const struct undo_layer *layer, const char *path)
{
	const struct journal_stat *was = &v->record->before;
	struct stat st;
	if (!layer || layer->lower_fd < 0)
		return undo_why(u, ENOENT, "its layer has no lower any more");
	/* not into another mount: the layer never showed what lies there */
	int fd = open_in(layer->lower_fd, undo_layer_path(layer, path),
			 O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME, RESOLVE_NO_XDEV);
	if (fd < 0)
		return undo_why(u, -fd, "the host's file cannot be read");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != was->size ||
	    (uint32_t)st.st_ino != (uint32_t)was->ino || !same_time(&was->mtime, &st.st_mtim)) {
		close(fd);
		return undo_why(u, ESTALE, "the host's file has changed since");
	}
	return fd;
}

bool undo_lower_is_there(struct undo_run *u, const struct journal_view *v)
{
	/* of a rename the second is what was replaced */
	const char *path = v->record->undo == UNDO_RENAME ? v->path2 : v->path;
	const struct undo_layer *found = NULL;
	for (unsigned i = 0; i < u->layers->count; i++) {
		const struct undo_layer *l = &u->layers->items[i];
		if (strncmp(path, l->mount, l->mount_len) == 0 &&
		    (path[l->mount_len] == '/' || !path[l->mount_len]) &&
		    (!found || l->mount_len > found->mount_len))
			found = l;
	}
	cleanup_fd int fd = open_lower(u, v, found, path);
	return fd >= 0;
}

/* The file that holds the kept content; -1 when the record itself does. -errno below that. */
static int open_source(struct undo_run *u, const struct journal_view *v, const struct undo_place *p,
		       int *ret_fd)
{
	*ret_fd = -1;
	int fd = 0;
	switch ((enum journal_content)v->record->content) {
	case JOURNAL_CONTENT_LOWER:
		fd = open_lower(u, v, p->layer, p->path);
		break;
	case JOURNAL_CONTENT_STASH:
		fd = journal_reader_stash(u->reader, v->record->stash);
		if (fd < 0)
			fd = undo_why(u, -fd, "its pre-image is gone");
		break;
	case JOURNAL_CONTENT_LOST:
		return undo_why(u, ENODATA, "its pre-image was not kept");
	case JOURNAL_CONTENT_NONE:
	case JOURNAL_CONTENT_INLINE:
	case JOURNAL_CONTENT_LENGTH:
	case JOURNAL_CONTENT_NAMED:
	case JOURNAL_CONTENT_END:
		return 0;
	}
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int fill(struct undo_run *u, const struct journal_view *v, int source, int to)
{
	const struct journal_record *r = v->record;
	struct stat st;
	int rc;
	if (source >= 0) {
		rc = content_copy(source, to);
	} else if (r->content == JOURNAL_CONTENT_LENGTH) {
		if (fstat(to, &st) < 0)
			return -errno;
		if ((uint64_t)st.st_size < r->before.size)
			return undo_why(u, ENODATA,
					"only its length was kept, and it is shorter now");
		rc = ftruncate(to, (off_t)r->before.size) < 0 ? -errno : 0;
	} else {
		size_t len = r->before.size < r->content_len ? r->before.size : r->content_len;
		rc = content_write(to, v->content, len);
	}
	return rc < 0 ? undo_why(u, -rc, "its content cannot be written") : 0;
}

static bool is_overlays(const char *name)
{
	return strncmp(name, "user.overlay.", 13) == 0 ||
	       strncmp(name, "trusted.overlay.", 16) == 0;
}

/* Attributes of @to that the kept ones do not name. */
static int remove_others(const struct journal_view *v, int lower, int to)
{
	char names[XATTR_LIST_MAX];
	ssize_t size = flistxattr(to, names, sizeof(names));
	for (char *at = names; size > 0 && at < names + size; at += strlen(at) + 1) {
		bool kept = lower >= 0 && fgetxattr(lower, at, NULL, 0) >= 0;
		const char *name;
		const unsigned char *value;
		size_t len, offset = 0;
		while (lower < 0 && !kept && journal_xattr(v, &offset, &name, &value, &len) == 1)
			kept = strcmp(name, at) == 0;
		if (!kept && !is_overlays(at) && fremovexattr(to, at) < 0 && errno != ENODATA &&
		    errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

static int copy_lower_xattrs(int lower, int to)
{
	char names[XATTR_LIST_MAX];
	cleanup_free char *value = malloc(XATTR_SIZE_MAX);
	ssize_t size = flistxattr(lower, names, sizeof(names));
	if (!value)
		return -ENOMEM;
	for (char *at = names; size > 0 && at < names + size; at += strlen(at) + 1) {
		ssize_t len = fgetxattr(lower, at, value, XATTR_SIZE_MAX);
		if (len < 0 || is_overlays(at))
			continue;
		if (fsetxattr(to, at, value, (size_t)len, 0) < 0 && errno != EPERM &&
		    errno != EOPNOTSUPP)
			return -errno;
	}
	return 0;
}

static int put_xattrs(const struct journal_view *v, int lower, int to)
{
	const char *name;
	const unsigned char *value;
	size_t len, at = 0;
	int r = remove_others(v, lower, to);
	if (r == 0 && lower >= 0)
		return copy_lower_xattrs(lower, to);
	while (r == 0 && (r = journal_xattr(v, &at, &name, &value, &len)) == 1)
		r = fsetxattr(to, name, value, len, 0) < 0 ? -errno : 0;
	return r;
}

/* Does the record, or the lower it leans on, say which extended attributes there were? */
static bool knows_xattrs(const struct journal_record *r)
{
	if (r->undo == UNDO_META)
		return r->op == OP_XATTR || r->op == OP_CHOWN;
	return r->content == JOURNAL_CONTENT_LOWER || r->content == JOURNAL_CONTENT_INLINE ||
	       r->content == JOURNAL_CONTENT_STASH || S_ISDIR(r->before.mode);
}

static int open_for_xattrs(const struct undo_place *p, mode_t mode)
{
	uint64_t flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME;
	int fd = open_in(p->parent_fd, p->leaf, flags, 0);
	if (fd != -EACCES)
		return fd;
	/* without permission for its own owner: lent for the moment */
	if (fchmodat(p->parent_fd, p->leaf, (mode & 07777) | 0400, 0) < 0)
		return -errno;
	return open_in(p->parent_fd, p->leaf, flags, 0);
}

static int set_attributes(struct undo_run *u, const struct journal_view *v,
			  const struct undo_place *p, int lower)
{
	const struct journal_stat *was = &v->record->before;
	struct timespec times[2] = { { was->atime.sec, was->atime.nsec },
				     { was->mtime.sec, was->mtime.nsec } };
	struct stat now;
	bool plain = S_ISREG(was->mode) || S_ISDIR(was->mode);
	if (fstatat(p->parent_fd, p->leaf, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return undo_why(u, errno, "it is not there");
	if (plain && knows_xattrs(v->record)) {
		cleanup_fd int fd = open_for_xattrs(p, now.st_mode);
		int r = fd < 0 ? fd : put_xattrs(v, lower, fd);
		if (r < 0)
			return undo_why(u, -r, "its extended attributes cannot be restored");
	}
	if ((now.st_uid != was->uid || now.st_gid != was->gid) &&
	    fchownat(p->parent_fd, p->leaf, was->uid, was->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return undo_why(u, errno, "its owner cannot be restored");
	/* always: lending and chown(2) change it */
	if (!S_ISLNK(was->mode) && fchmodat(p->parent_fd, p->leaf, was->mode & 07777, 0) < 0)
		return undo_why(u, errno, "its mode cannot be restored");
	if (utimensat(p->parent_fd, p->leaf, times, AT_SYMLINK_NOFOLLOW) < 0)
		return undo_why(u, errno, "its times cannot be restored");
	return 0;
}

int undo_attributes(struct undo_run *u, const struct journal_view *v, const struct undo_place *p)
{
	return set_attributes(u, v, p, -1);
}

int undo_times(int parent_fd, const struct journal_time dir[2])
{
	struct timespec times[2] = { { dir[0].sec, dir[0].nsec }, { dir[1].sec, dir[1].nsec } };
	if (!dir[0].known || !dir[1].known)
		return 0;
	return utimensat(parent_fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int make_file(struct undo_run *u, const struct journal_view *v, const struct undo_place *p,
		     int source)
{
	cleanup_fd int fd = openat(p->parent_fd, p->leaf,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? undo_why(u, errno, "it cannot be made") : fill(u, v, source, fd);
}

static int make_link(struct undo_run *u, const struct journal_view *v, const struct undo_place *p)
{
	char text[PATH_MAX];
	size_t len = v->record->before.size;
	if (len >= sizeof(text) || len > v->record->content_len)
		return undo_why(u, EBADMSG, "the record of the link is damaged");
	memcpy(text, v->content, len);
	text[len] = '\0';
	return symlinkat(text, p->parent_fd, p->leaf) < 0 ? undo_why(u, errno, "it cannot be made")
							  : 0;
}

/* One more name for a file that has kept another. */
static int make_name(struct undo_run *u, const struct journal_view *v, const struct undo_place *p)
{
	const char *rel =
		undo_other_name(u, p, undo_number(u, v->record->upper_ino, v->record->number));
	if (!rel)
		return undo_why(u, ENOENT, "no other name of the file is left");
	cleanup_place struct undo_place other = { .parent_fd = -1 };
	char absolute[PATH_MAX];
	if (snprintf(absolute, sizeof(absolute), "%.*s/%s", (int)p->layer->mount_len,
		     p->layer->mount, rel) >= (int)sizeof(absolute))
		return undo_why(u, ENAMETOOLONG, "its other name");
	int r = undo_place_open(u, absolute, &other);
	if (r < 0 || !other.exists)
		return undo_why(u, r < 0 ? -r : ENOENT, "its other name");
	return linkat(other.parent_fd, other.leaf, p->parent_fd, p->leaf, 0) < 0
		       ? undo_why(u, errno, "it cannot be linked")
		       : 0;
}

int undo_make(struct undo_run *u, const struct journal_view *v, const struct undo_place *p)
{
	const struct journal_record *r = v->record;
	mode_t type = r->before.mode & S_IFMT;
	if (r->content == JOURNAL_CONTENT_NAMED)
		return make_name(u, v, p);
	cleanup_fd int source = -1;
	int rc = open_source(u, v, p, &source);
	if (rc < 0)
		return rc;
	switch (type) {
	case S_IFREG:
		rc = make_file(u, v, p, source);
		break;
	case S_IFDIR:
		rc = mkdirat(p->parent_fd, p->leaf, 0700) < 0
			     ? undo_why(u, errno, "it cannot be made")
			     : 0;
		break;
	case S_IFLNK:
		rc = make_link(u, v, p);
		break;
	case S_IFIFO:
	case S_IFSOCK:
		rc = mknodat(p->parent_fd, p->leaf, type | 0600, 0) < 0
			     ? undo_why(u, errno, "it cannot be made")
			     : 0;
		break;
	default:
		return undo_why(u, EINVAL, "objects of its kind are not made");
	}
	struct stat st;
	if (rc == 0)
		rc = set_attributes(u, v, p, r->content == JOURNAL_CONTENT_LOWER ? source : -1);
	if (rc == 0 && fstatat(p->parent_fd, p->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		rc = undo_why(u, errno, "it is not there");
	return rc == 0 ? undo_remade(u, v, p, st.st_ino) : rc;
}

/* A program that runs cannot be written to: a new file takes its name. */
static int replace(struct undo_run *u, const struct journal_view *v, const struct undo_place *p,
		   int source)
{
	struct undo_place temp = *p;
	struct stat st;
	temp.leaf = temporary;
	unlinkat(p->parent_fd, temporary, 0); /* of somebody who died in between */
	int r = make_file(u, v, &temp, source);
	if (r == 0)
		r = set_attributes(u, v, &temp,
				   v->record->content == JOURNAL_CONTENT_LOWER ? source : -1);
	if (r == 0 && (fstatat(p->parent_fd, temporary, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		       renameat(p->parent_fd, temporary, p->parent_fd, p->leaf) < 0))
		r = undo_why(u, errno, "it cannot be replaced");
	if (r < 0)
		unlinkat(p->parent_fd, temporary, 0);
	return r == 0 ? undo_remade(u, v, p, st.st_ino) : r;
}

int undo_rewrite(struct undo_run *u, const struct journal_view *v, const struct undo_place *p)
{
	cleanup_fd int source = -1;
	int r = open_source(u, v, p, &source);
	if (r < 0)
		return r;
	cleanup_fd int fd = open_in(p->parent_fd, p->leaf, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd == -EACCES) {
		if (fchmodat(p->parent_fd, p->leaf, (p->st.st_mode & 07777) | 0200, 0) == 0)
			fd = open_in(p->parent_fd, p->leaf, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	}
	if (fd == -ETXTBSY) {
		fd = -1;
		return replace(u, v, p, source);
	}
	if (fd < 0) {
		int error = -fd;
		fd = -1;
		return undo_why(u, error, "it cannot be opened for writing");
	}
	r = fill(u, v, source, fd);
	return r < 0 ? r
		     : set_attributes(u, v, p,
				      v->record->content == JOURNAL_CONTENT_LOWER ? source : -1);
}
