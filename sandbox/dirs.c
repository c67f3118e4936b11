#include "sandbox/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/scope.h"

static void drop(struct dirs_entry *e)
{
	if (!e->path)
		return;
	close(e->fd);
	free(e->path);
	*e = (struct dirs_entry){ 0 };
}

void dirs_init(struct dirs *d, const struct undo_layers *layers)
{
	*d = (struct dirs){ .layers = layers };
}

void dirs_finish(struct dirs *d)
{
	for (unsigned i = 0; i < DIRS_MAX; i++)
		drop(&d->entries[i]);
}

/* It may be lent just now: nobody is found in it any more, and it is closed when its room is the oldest. */
static void disown(struct dirs_entry *e)
{
	e->ino = 0;
}

void dirs_forget_below(struct dirs *d, const char *path)
{
	for (unsigned i = 0; i < DIRS_MAX; i++) {
		struct dirs_entry *e = &d->entries[i];
		if (e->path && path_is_within(e->path, path))
			disown(e);
	}
}

void dirs_next(struct dirs *d)
{
	d->begun = NULL;
}

/* What another thread has said meanwhile. */
static void heed(struct dirs *d)
{
	if (!__atomic_exchange_n(&d->stale, false, __ATOMIC_ACQUIRE))
		return;
	for (unsigned i = 0; i < DIRS_MAX; i++)
		disown(&d->entries[i]);
}

void dirs_forget(struct dirs *d)
{
	__atomic_store_n(&d->stale, true, __ATOMIC_RELEASE);
}

bool dirs_is_gone(const char *path)
{
	static const char gone[] = " (deleted)";
	size_t len = strlen(path), tail = sizeof(gone) - 1;
	return *path != '/' || (len > tail && strcmp(path + len - tail, gone) == 0);
}

static bool is(const struct dirs_entry *e, const struct statx *sx)
{
	return e->path && e->ino && e->ino == sx->stx_ino && e->mnt_id == sx->stx_mnt_id &&
	       e->dev_major == sx->stx_dev_major && e->dev_minor == sx->stx_dev_minor;
}

/* One of an overlay: of it the monitor knows every change of name. */
static bool is_ours(const struct dirs *d, const struct statx *sx)
{
	if (!d->layers || !S_ISDIR(sx->stx_mode) || !(sx->stx_mask & STATX_MNT_ID))
		return false;
	const struct undo_layer *l = undo_layer_by_mount(d->layers, sx->stx_mnt_id);
	return l && !l->real;
}

/* @fd is lent from here on if there is room to remember it, else it stays the caller's. */
static void remember(struct dirs *d, const struct statx *sx, struct dir *dir, size_t walked)
{
	struct dirs_entry *oldest = &d->entries[0];
	for (unsigned i = 1; i < DIRS_MAX && oldest->path; i++)
		if (d->entries[i].used < oldest->used)
			oldest = &d->entries[i];
	char *path = strdup(dir->path);
	if (!path)
		return;
	drop(oldest);
	*oldest = (struct dirs_entry){
		.path = path,
		.fd = dir->fd,
		.dev_major = sx->stx_dev_major,
		.dev_minor = sx->stx_dev_minor,
		.ino = sx->stx_ino,
		.mnt_id = sx->stx_mnt_id,
		.used = ++d->clock,
		.walked = walked,
	};
	dir->lent = true;
}

enum { WHO = STATX_TYPE | STATX_INO | STATX_MNT_ID | STATX_ATIME | STATX_MTIME };

static void saw(const struct statx *sx, struct dir *dir)
{
	dir->seen = true;
	dir->mnt_id = sx->stx_mnt_id;
	dir->atime = sx->stx_atime;
	dir->mtime = sx->stx_mtime;
}

static void lend(struct dirs *d, struct dirs_entry *e, struct dir *ret)
{
	e->used = ++d->clock;
	ret->fd = e->fd;
	ret->lent = true;
	ret->seen = false;
	strcpy(ret->path, e->path); /* it came from a field of this size */
}

bool dirs_find_path(struct dirs *d, const char *path, size_t from, struct dir *ret)
{
	heed(d);
	for (unsigned i = 0; i < DIRS_MAX; i++) {
		struct dirs_entry *e = &d->entries[i];
		if (!e->path || !e->ino || e->walked > from || strcmp(e->path, path) != 0)
			continue;
		lend(d, e, ret);
		return true;
	}
	return false;
}

void dirs_keep(struct dirs *d, struct dir *dir, size_t from)
{
	struct statx sx;
	if (!d->layers || statx(dir->fd, "", AT_EMPTY_PATH, WHO, &sx) < 0 || !is_ours(d, &sx))
		return;
	saw(&sx, dir);
	for (unsigned i = 0; i < DIRS_MAX; i++) {
		struct dirs_entry *e = &d->entries[i];
		if (!is(e, &sx) || strcmp(e->path, dir->path) != 0)
			continue;
		e->walked = from < e->walked ? from : e->walked;
		e->used = ++d->clock;
		close(dir->fd);
		dir->fd = e->fd;
		dir->lent = true;
		return;
	}
	remember(d, &sx, dir, from);
}

/* The same as for the first name of this call. */
static bool find_begun(struct dirs *d, int dirfd, struct dir *ret)
{
	const struct dirs_entry *b = d->begun;
	if (!b || d->begun_dirfd != dirfd || !b->ino)
		return false;
	lend(d, &d->entries[b - d->entries], ret);
	ret->seen = true;
	ret->mnt_id = b->mnt_id;
	ret->atime = d->begun_atime;
	ret->mtime = d->begun_mtime;
	return true;
}

int dirs_find(struct dirs *d, int self_fd, const struct tracee *task, int dirfd, struct dir *ret)
{
	struct statx sx;
	ret->lent = ret->seen = false;
	heed(d);
	if (find_begun(d, dirfd, ret))
		return 0;
	int r = d->layers ? tracee_dir_statx(task, dirfd, WHO, &sx) : 0;
	if (r < 0)
		return r;
	bool ours = d->layers && is_ours(d, &sx);
	for (unsigned i = 0; ours && i < DIRS_MAX; i++) {
		struct dirs_entry *e = &d->entries[i];
		if (!is(e, &sx))
			continue;
		lend(d, e, ret);
		saw(&sx, ret);
		d->begun = e;
		d->begun_dirfd = dirfd;
		d->begun_atime = sx.stx_atime;
		d->begun_mtime = sx.stx_mtime;
		return 0;
	}
	cleanup_fd int fd = tracee_dirfd(task, dirfd);
	if (fd < 0)
		return fd;
	char name[16];
	snprintf(name, sizeof(name), "%d", fd);
	ssize_t len = readlinkat(self_fd, name, ret->path, sizeof(ret->path) - 1);
	if (len < 0)
		return -errno;
	ret->path[len] = '\0';
	ret->fd = take_fd(&fd);
	/* what stands there now need not be what stood there at the first look */
	if (ours && !dirs_is_gone(ret->path))
		dirs_keep(d, ret, strlen(ret->path));
	return 0;
}
