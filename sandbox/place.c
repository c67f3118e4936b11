/*
 * Theory of operation. The fast way asks the kernel to resolve the parent with
 * RESOLVE_NO_SYMLINKS: if it agrees, the canonical path is the text itself. Any
 * symbolic link on the way (ELOOP) takes the slow way, place_walk.c.
 */
#include "sandbox/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/creds.h"
#include "sandbox/place_private.h"

static int open_beneath(int dirfd, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

ssize_t place_fd_path(const struct place_env *env, int fd, char *buf, size_t size)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", fd);
	ssize_t len = readlinkat(env->self_fd, name, buf, size - 1);
	if (len < 0)
		return -errno;
	buf[len] = '\0';
	return len;
}

bool place_join(const char *base, const char *path, char *buf, size_t size)
{
	size_t len = 0;
	if (*path != '/') {
		len = strlen(base);
		if (len >= size)
			return false;
		memcpy(buf, base, len);
		if (len == 1) /* "/" */
			len = 0;
	}
	while (*path) {
		size_t part = strcspn(path, "/");
		if (part == 2 && path[0] == '.' && path[1] == '.') {
			while (len > 0 && buf[--len] != '/')
				;
		} else if (part > 0 && !(part == 1 && path[0] == '.')) {
			if (len + 1 + part >= size)
				return false;
			buf[len++] = '/';
			memcpy(buf + len, path, part);
			len += part;
		}
		path += part;
		path += *path == '/';
	}
	if (len == 0)
		buf[len++] = '/';
	buf[len] = '\0';
	return true;
}

void place_finish(struct place *p)
{
	if (p->parent_fd >= 0 && !p->lent)
		close(p->parent_fd);
	if (p->object_fd >= 0)
		close(p->object_fd);
	p->parent_fd = p->object_fd = -1;
	p->lent = p->seen = false;
	p->mnt_id = 0;
}

void place_own(struct place *p)
{
	if (p->lent)
		p->parent_fd = fcntl(p->parent_fd, F_DUPFD_CLOEXEC, 3);
	p->lent = false;
}

static void stat_of(const struct statx *sx, struct stat *ret)
{
	*ret = (struct stat){
		.st_dev = makedev(sx->stx_dev_major, sx->stx_dev_minor),
		.st_ino = sx->stx_ino,
		.st_mode = sx->stx_mode,
		.st_nlink = sx->stx_nlink,
		.st_uid = sx->stx_uid,
		.st_gid = sx->stx_gid,
		.st_rdev = makedev(sx->stx_rdev_major, sx->stx_rdev_minor),
		.st_size = (off_t)sx->stx_size,
		.st_blksize = (blksize_t)sx->stx_blksize,
		.st_blocks = (blkcnt_t)sx->stx_blocks,
		.st_atim = { sx->stx_atime.tv_sec, sx->stx_atime.tv_nsec },
		.st_mtim = { sx->stx_mtime.tv_sec, sx->stx_mtime.tv_nsec },
		.st_ctim = { sx->stx_ctime.tv_sec, sx->stx_ctime.tv_nsec },
	};
}

/* The object at @dirfd and @path (with AT_EMPTY_PATH: @dirfd itself), and the mount it is on. */
static int look_at(int dirfd, const char *path, int flags, struct place *p)
{
	struct statx sx;
	if (statx(dirfd, path, flags, STATX_BASIC_STATS | STATX_MNT_ID, &sx) < 0)
		return -errno;
	stat_of(&sx, &p->st);
	p->mnt_id = sx.stx_mask & STATX_MNT_ID ? sx.stx_mnt_id : 0;
	return 0;
}

int place_pin(struct place *p)
{
	if (p->object_fd >= 0)
		return 0;
	int fd = openat(p->parent_fd, p->leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	p->object_fd = fd;
	return look_at(fd, "", AT_EMPTY_PATH, p);
}

int place_begin(const struct place_env *env, const struct tracee *task, int dirfd, const char *path,
		struct dir *ret)
{
	ret->fd = AT_FDCWD;
	ret->lent = ret->seen = false;
	strcpy(ret->path, "/");
	int r = *path == '/' ? 0 : dirs_find(env->dirs, env->self_fd, task, dirfd, ret);
	if (r < 0 || !dirs_is_gone(ret->path))
		return r;
	place_begin_finish(ret);
	return -ELOOP;
}

void place_begin_finish(struct dir *d)
{
	if (d->fd >= 0 && !d->lent)
		close(d->fd);
	d->fd = -1;
}

/* Where the last component begins; trailing slashes belong to it. */
static const char *leaf_of(const char *path)
{
	const char *end = path + strlen(path);
	while (end > path && end[-1] == '/')
		end--;
	while (end > path && end[-1] != '/')
		end--;
	return end;
}

/* "." or nothing but slashes: there is no name in a parent. (".." is one, which the kernel refuses.) */
static bool is_itself(const char *leaf)
{
	size_t len = strcspn(leaf, "/");
	return len == 0 || (len == 1 && leaf[0] == '.');
}

/* A pipe, a socket, an anonymous inode, a memfd (which never has a link, unlike a file called so). */
static bool no_path_leads_to(const struct place *p)
{
	return *p->path != '/' || (p->st.st_nlink == 0 && strncmp(p->path, "/memfd:", 7) == 0);
}

int place_from_fd(const struct place_env *env, int fd, struct place *ret)
{
	static const char gone[] = " (deleted)";
	ret->parent_fd = -1;
	ret->object_fd = fd;
	ret->exists = ret->magic = true;
	ret->by_writer = false;
	ret->leaf[0] = ret->alias[0] = '\0';
	if (fstat(fd, &ret->st) < 0)
		return -errno;
	ssize_t len = place_fd_path(env, fd, ret->path, sizeof(ret->path));
	if (len < 0)
		return (int)len;
	size_t tail = sizeof(gone) - 1;
	if (ret->st.st_nlink == 0 && (size_t)len > tail &&
	    strcmp(ret->path + (size_t)len - tail, gone) == 0)
		ret->path[(size_t)len - tail] = '\0';
	ret->nameless = no_path_leads_to(ret);
	return 0;
}

bool place_follows_last(enum place_flags flags, bool slash)
{
	return (flags & PLACE_FOLLOW) || (slash && (flags & (PLACE_OBJECT | PLACE_SLASH_FOLLOWS)));
}

/* Is there an object of that name? -ELOOP: a link that must be followed. */
static int look(struct place *p, enum place_flags flags)
{
	char bare[sizeof(p->leaf)];
	size_t len = p->leaf[0] == '/' ? 1 : strcspn(p->leaf, "/");
	bool slash = p->leaf[len] == '/';
	memcpy(bare, p->leaf, len);
	bare[len] = '\0';
	/* without its slash, which would follow a link unseen */
	int r;
	if (flags & PLACE_OBJECT) {
		int fd = openat(p->parent_fd, bare, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		p->object_fd = fd < 0 ? -1 : fd;
		r = fd < 0 ? -errno : look_at(fd, "", AT_EMPTY_PATH, p);
	} else {
		r = look_at(p->parent_fd, bare, AT_SYMLINK_NOFOLLOW, p);
	}
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	p->exists = true;
	if (S_ISLNK(p->st.st_mode))
		return place_follows_last(flags, slash) ? -ELOOP : 0;
	return slash && !S_ISDIR(p->st.st_mode) ? -ENOTDIR : 0;
}

static bool climbs(const char *path)
{
	for (; *path; path += strcspn(path, "/")) {
		path += strspn(path, "/");
		if (path[0] == '.' && path[1] == '.' && (path[2] == '/' || path[2] == '\0'))
			return true;
	}
	return false;
}

/* The directory @parent, which is not empty, from @base on. */
static int find_parent(const struct place_env *env, const struct dir *base, const char *parent,
		       struct dir *ret)
{
	size_t from = base->path[1] ? strlen(base->path) : 0;
	/* who walked there before says nothing of one with other powers */
	bool plain = !env->creds_vary && !climbs(parent) &&
		     place_join(base->path, parent, ret->path, sizeof(ret->path));
	ret->lent = ret->seen = false;
	if (plain && dirs_find_path(env->dirs, ret->path, from, ret))
		return 0;
	ret->fd = open_beneath(base->fd, parent, O_PATH | O_DIRECTORY);
	if (ret->fd < 0)
		return ret->fd;
	if (plain)
		dirs_keep(env->dirs, ret, from);
	return 0;
}

/* @dir is taken over. */
static void set_parent(struct place *p, struct dir *dir)
{
	p->parent_fd = take_fd(&dir->fd);
	p->lent = dir->lent;
	p->seen = dir->seen;
	p->parent_mnt = dir->mnt_id;
	p->parent_atime = dir->atime;
	p->parent_mtime = dir->mtime;
}

static int resolve_beneath(const struct place_env *env, struct dir *base, const char *path,
			   enum place_flags flags, struct place *ret)
{
	if (!place_join(base->path, path, ret->path, sizeof(ret->path)))
		return -ENAMETOOLONG;

	const char *leaf = leaf_of(path);
	if (is_itself(leaf)) { /* the directory itself, by a name the kernel knows not to remove */
		int fd = open_beneath(base->fd, path, O_PATH);
		if (fd < 0)
			return fd;
		ret->parent_fd = fd;
		strcpy(ret->leaf, *leaf == '/' ? "/" : ".");
		return look(ret, flags);
	}
	size_t name_len = strcspn(leaf, "/"), parent_len = (size_t)(leaf - path);
	if (name_len > NAME_MAX)
		return -ENAMETOOLONG;
	if (parent_len == 0) {
		set_parent(ret, base);
	} else {
		char parent[ACTION_PATH_SIZE];
		struct dir dir;
		memcpy(parent, path, parent_len);
		parent[parent_len] = '\0';
		int r = find_parent(env, base, parent, &dir);
		if (r < 0)
			return r;
		set_parent(ret, &dir);
	}
	memcpy(ret->leaf, leaf, name_len);
	ret->leaf[name_len] = '\0';
	if (leaf[name_len] == '/')
		strcat(ret->leaf, "/");
	return look(ret, flags);
}

/* -ELOOP: there is a link, walk. */
static int resolve_fast(const struct place_env *env, const struct tracee *task, int dirfd,
			const char *path, enum place_flags flags, struct place *ret)
{
	struct dir base;
	int r = place_begin(env, task, dirfd, path, &base);
	if (r < 0)
		return r;
	r = creds_assume(env, task);
	if (r == 0)
		r = resolve_beneath(env, &base, path, flags, ret);
	creds_resume(env);
	place_begin_finish(&base);
	return r;
}

/* Links of /proc mean the caller and not us, so whatever leads there is left to the walk. */
int place_follow(const struct place_env *env, int at, const char *path, uint64_t flags,
		 struct place *p)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags,
				.resolve = RESOLVE_NO_MAGICLINKS };
	cleanup_fd int pin = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
	if (pin < 0 || fstat(pin, &p->st) < 0 || p->st.st_dev == env->proc_dev ||
	    (!S_ISREG(p->st.st_mode) && !S_ISDIR(p->st.st_mode)))
		return -ELOOP;
	strcpy(p->alias, p->path);
	if (place_fd_path(env, pin, p->path, sizeof(p->path)) < 0 || dirs_is_gone(p->path))
		return -ELOOP;
	if (strcmp(p->alias, p->path) == 0)
		p->alias[0] = '\0';
	p->object_fd = take_fd(&pin);
	p->exists = true;
	return 0;
}

/* -ELOOP: walk. */
static int resolve_followed(const struct place_env *env, const struct tracee *task, int dirfd,
			    const char *path, enum place_flags flags, struct place *ret)
{
	struct dir base;
	int r = place_begin(env, task, dirfd, path, &base);
	if (r < 0)
		return r;
	r = creds_assume(env, task);
	if (r == 0 && !place_join(base.path, path, ret->path, sizeof(ret->path)))
		r = -ENAMETOOLONG;
	if (r == 0)
		r = place_follow(env, base.fd, path, flags & PLACE_FOLLOW ? 0 : O_NOFOLLOW, ret);
	creds_resume(env);
	place_begin_finish(&base);
	return r;
}

static void note_alias(const struct tracee *task, int dirfd, const char *path, struct place *ret)
{
	char base[ACTION_PATH_SIZE] = "/";
	if (*path != '/' && tracee_dirpath(task, dirfd, base, sizeof(base)) < 0)
		return;
	if (!place_join(base, path, ret->alias, sizeof(ret->alias)) ||
	    strcmp(ret->alias, ret->path) == 0)
		ret->alias[0] = '\0';
}

int place_resolve(const struct place_env *env, const struct tracee *task, int dirfd,
		  const char *path, enum place_flags flags, struct place *ret)
{
	ret->parent_fd = ret->object_fd = -1;
	ret->exists = ret->magic = ret->nameless = ret->lent = ret->seen = false;
	ret->mnt_id = 0;
	ret->leaf[0] = ret->path[0] = ret->alias[0] = '\0';
	int r;
	if (*path == '\0') {
		if (!(flags & PLACE_EMPTY_PATH))
			return -ENOENT;
		int fd = tracee_dirfd(task, dirfd);
		if (fd < 0)
			return fd;
		r = place_from_fd(env, fd, ret);
	} else {
		r = resolve_fast(env, task, dirfd, path, flags, ret);
		if (r == -ELOOP) {
			place_finish(ret);
			ret->exists = false;
			if (flags & PLACE_ALONE)
				r = resolve_followed(env, task, dirfd, path, flags, ret);
		}
		if (r == -ELOOP) {
			ret->alias[0] = '\0';
			r = place_walk(env, task, dirfd, path, flags, ret);
			if (r == 0)
				note_alias(task, dirfd, path, ret);
		}
	}
	if (r == 0 && (flags & PLACE_OBJECT) && ret->exists)
		r = place_pin(ret);
	if (r < 0)
		place_finish(ret);
	return r;
}
