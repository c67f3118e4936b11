/* Where the steps of a commit act: pinned directories, temporary names, and the two ways to change a name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_private.h"

const char *commit_below(const struct commit_op *op)
{
	const char *below = op->path + op->root_len;
	return *below ? below + 1 : below;
}

void commit_forget(struct commit_cache *cache)
{
	scope_close(&cache->dir);
	scope_close(&cache->root);
	*cache = (struct commit_cache){ .root = -1, .dir = -1 };
}

void commit_temp_name(const struct commit *c, size_t op, char name[static COMMIT_NAME_SIZE])
{
	snprintf(name, COMMIT_NAME_SIZE, ".vsandbox-%s-%zu", c->nonce, op);
}

void commit_pre_name(size_t op, char name[static COMMIT_NAME_SIZE])
{
	snprintf(name, COMMIT_NAME_SIZE, "%zu", op);
}

int commit_failed(struct commit *c, const struct commit_op *op, int r, const char *what)
{
	if (r == -ESTALE) {
		if (c->told)
			c->told(op->path, what, c->arg);
		return err_set(c->err, ESTALE, "commit: the host was changed meanwhile: %.300s",
			       op->path);
	}
	return err_sys(c->err, -r, "commit: %s %.300s", what, op->path);
}

/* Opens the part of @cache that is not what is asked for. */
static int open_cached(struct commit_cache *cache, const struct commit_op *op, int root,
		       int (*open_dir)(int root, const char *path, size_t len))
{
	size_t len = beneath_parent_len(commit_below(op)) + (size_t)(commit_below(op) - op->path);
	bool same_root = cache->root >= 0 && cache->layer == op->layer;
	if (same_root && cache->dir >= 0 && cache->len == len &&
	    memcmp(cache->path, op->path, len) == 0) {
		scope_close(&root);
		return cache->dir;
	}
	if (!same_root) {
		commit_forget(cache);
		cache->root = root;
		cache->layer = op->layer;
	} else {
		scope_close(&root);
		scope_close(&cache->dir);
		cache->dir = -1;
	}
	int fd = open_dir(cache->root, commit_below(op), beneath_parent_len(commit_below(op)));
	if (fd < 0)
		return fd;
	cache->dir = fd;
	cache->path = op->path;
	cache->len = len;
	return fd;
}

static int open_host_root(const struct commit *c, const struct commit_op *op)
{
	if (c->host.root >= 0 && c->host.layer == op->layer)
		return openat(c->host.root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return beneath_root(op->root_len ? op->path : "/", op->root_len ? op->root_len : 1);
}

int commit_host_dir(struct commit *c, const struct commit_op *op, const char **ret_leaf)
{
	*ret_leaf = strrchr(op->path, '/') + 1;
	int root = open_host_root(c, op);
	return root < 0 ? root : open_cached(&c->host, op, root, beneath_dir);
}

int commit_upper_dir(struct commit *c, const struct commit_op *op, const char **ret_leaf)
{
	*ret_leaf = strrchr(op->path, '/') + 1;
	for (unsigned i = 0; i < c->overlay->count; i++) {
		const struct overlay_layer *l = &c->overlay->layers[i];
		if (l->index != op->layer || l->upper_fd < 0)
			continue;
		int root = openat(l->upper_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return root < 0 ? -errno
				: open_cached(&c->upper, op, root,
					      c->plan.layers == COMMIT_KEEPS ? beneath_dir
									     : beneath_dir_forced);
	}
	return -ENOENT;
}

int commit_host_self(struct commit *c, const struct commit_op *op)
{
	const char *below = commit_below(op);
	cleanup_fd int root = open_host_root(c, op);
	return root < 0 ? root : beneath_dir(root, below, strlen(below));
}

static bool is_directory(const struct commit_op *op)
{
	return op->kind != COMMIT_PUT && op->kind != COMMIT_DELETE;
}

void commit_open_up(struct commit *c)
{
	for (size_t i = 0; geteuid() != 0 && i < c->plan.count; i++) {
		const struct commit_op *op = &c->plan.ops[i];
		cleanup_fd int self = is_directory(op) ? commit_host_self(c, op) : -1;
		struct stat st;
		char path[32];
		if (self < 0 || fstat(self, &st) < 0 || st.st_uid != geteuid() ||
		    (st.st_mode & 0700) == 0700)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", self);
		if (chmod(path, (st.st_mode & 07777) | 0700) < 0)
			continue; /* the step that needs it says so */
	}
}

bool commit_mode_is(uint32_t now, uint32_t wanted)
{
	return now == wanted || (geteuid() != 0 && now == (wanted | 0700));
}

int commit_close_up(int self, const struct commit_op *op)
{
	struct stat st;
	char path[32];
	if (fstat(self, &st) < 0)
		return -errno;
	if (st.st_mode == op->old.mode || !commit_mode_is(st.st_mode, op->old.mode))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self);
	return chmod(path, op->old.mode & 07777) < 0 ? -errno : 0;
}

int commit_set_time(int self, const struct commit_state *s)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
				     { .tv_sec = s->mtime_sec, .tv_nsec = s->mtime_nsec } };
	return utimensat(self, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int commit_take_away(struct commit *c, size_t op, int dir, const char *name,
		     const struct commit_state *was)
{
	char temp[COMMIT_NAME_SIZE];
	struct stat st;
	commit_temp_name(c, op, temp);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno != ENOENT                                  ? -errno
		       : unlinkat(dir, temp, 0) == 0 || errno == ENOENT ? 0
									: -errno;
	if (!commit_state_is(was, &st))
		return -ESTALE;
	/* aside first: what comes under this name between the look and the call is not deleted */
	if (renameat2(dir, name, dir, temp, RENAME_NOREPLACE) < 0 && errno != EINVAL)
		return -errno;
	if (fstatat(dir, temp, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT && unlinkat(dir, name, 0) == 0 ? 0 : -errno;
	if (!commit_state_is(was, &st))
		return renameat2(dir, temp, dir, name, RENAME_NOREPLACE) < 0 ? -errno : -ESTALE;
	return unlinkat(dir, temp, 0) < 0 ? -errno : 0;
}

int commit_exchange(int from_dir, const char *temp, int dir, const char *leaf,
		    const struct commit_state *old)
{
	struct stat st;
	if (!old->mode) {
		if (renameat2(from_dir, temp, dir, leaf, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EINVAL) /* a filesystem without the flag */
			return errno == EEXIST ? -ESTALE : -errno;
		if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
			return -ESTALE;
		return renameat(from_dir, temp, dir, leaf) < 0 ? -errno : 0;
	}
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	if (!commit_state_is(old, &st))
		return -ESTALE;
	if (renameat2(from_dir, temp, dir, leaf, RENAME_EXCHANGE) < 0) {
		if (errno != EINVAL)
			return errno == ENOENT ? -ESTALE : -errno;
		return renameat(from_dir, temp, dir, leaf) < 0 ? -errno : 0;
	}
	if (fstatat(from_dir, temp, &st, AT_SYMLINK_NOFOLLOW) == 0 && commit_state_is(old, &st))
		return unlinkat(from_dir, temp, 0) < 0 ? -errno : 0;
	/* it was another file by then: give it back */
	return renameat2(from_dir, temp, dir, leaf, RENAME_EXCHANGE) < 0 ? -errno : -ESTALE;
}

int commit_exchange_finish(int dir, const char *temp, const char *leaf,
			   const struct commit_state *old)
{
	struct stat st;
	if (fstatat(dir, temp, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (commit_state_is(old, &st))
		return unlinkat(dir, temp, 0) < 0 ? -errno : 0;
	return renameat2(dir, temp, dir, leaf, RENAME_EXCHANGE) < 0 ? -errno : -ESTALE;
}

static int sync_dir(int dir)
{
	cleanup_fd int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? 0 : -errno; /* a directory one may not list */
	return fsync(fd) < 0 ? -errno : 0;
}

int commit_sync_dirs(struct commit *c)
{
	const char *synced = NULL; /* what the cache held when a directory was synced */
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct commit_op *op = &c->plan.ops[i];
		const char *leaf;
		if (op->kind == COMMIT_TOUCH || op->kind == COMMIT_META) {
			cleanup_fd int self = commit_host_self(c, op);
			int r = self < 0 ? 0 : sync_dir(self);
			if (r < 0)
				return commit_failed(c, op, r, "cannot sync");
			continue;
		}
		int dir = commit_host_dir(c, op, &leaf);
		if (dir < 0 || c->host.path == synced)
			continue; /* removed with what was in it, or synced just now */
		synced = c->host.path;
		int r = sync_dir(dir);
		if (r < 0)
			return commit_failed(c, op, r, "cannot sync the directory of");
	}
	return 0;
}
