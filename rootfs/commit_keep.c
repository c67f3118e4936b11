/* A commit that leaves the layers as they are: what is done to them before, and what the origins are told after. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_private.h"
#include "rootfs/origin.h"
#include "rootfs/overlay.h"
#include "rootfs/upper.h"

/* ---- before ---- */

/* Takes back the permission that set_opaque lends, or lent before it was killed. */
static int end_loan(int self, mode_t mode)
{
	char path[32];
	struct stat st;
	if (fstat(self, &st) < 0)
		return -errno;
	if (mode & 0200 || st.st_mode != (mode | 0200))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self);
	return chmod(path, mode & 07777) < 0 ? -errno : 0;
}

/* Directories of its own that the user may not write are lent the permission: all of the session stands still. */
static int set_opaque(const struct commit *c, int self, mode_t mode)
{
	const char *key = c->overlay->rootful ? "trusted.overlay.opaque" : "user.overlay.opaque";
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self);
	int r = setxattr(path, key, "y", 1, 0) < 0 ? -errno : 0;
	if (r == -EACCES) {
		if (chmod(path, (mode & 07777) | 0200) < 0)
			return -errno;
		r = setxattr(path, key, "y", 1, 0) < 0 ? -errno : 0;
	}
	int end = end_loan(self, mode);
	return r < 0 ? r : end;
}

static int open_made(struct commit *c, const struct commit_op *op)
{
	const char *leaf;
	int dir = commit_upper_dir(c, op, &leaf);
	int self = dir < 0 ? dir : openat(dir, leaf, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return dir >= 0 && self < 0 ? -errno : self;
}

/* Each directory that the session made, open; or why it is not, as -errno. */
static int each_made(struct commit *c,
		     int (*step)(struct commit *c, const struct commit_op *op, int self))
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->plan.count; i++) {
		const struct commit_op *op = &c->plan.ops[i];
		if (op->kind != COMMIT_MKDIR)
			continue;
		cleanup_fd int self = open_made(c, op);
		r = step(c, op, self);
	}
	return r;
}

static int begin_one(struct commit *c, const struct commit_op *op, int self)
{
	int r = self < 0 ? self : set_opaque(c, self, op->new.mode);
	if (r == -ENOENT || r == -ENOTDIR)
		r = -ESTALE;
	return r < 0 ? commit_failed(c, op, r,
				     r == -ESTALE ? "the session has gone on, and removed it"
						  : "cannot mark in the session:")
		     : 0;
}

int commit_keep_begin(struct commit *c)
{
	return each_made(c, begin_one);
}

static int end_one(struct commit *c, const struct commit_op *op, int self)
{
	int r = self < 0 ? 0 : end_loan(self, op->new.mode); /* gone: with its loan */
	return r < 0 ? commit_failed(c, op, r, "cannot give its mode back to") : 0;
}

int commit_keep_end(struct commit *c)
{
	if (c->plan.layers != COMMIT_KEEPS)
		return 0;
	if (c->overlay)
		return each_made(c, end_one);
	cleanup_free struct overlay *overlay = calloc(1, sizeof(*overlay));
	if (!overlay)
		return err_sys(c->err, ENOMEM, "commit");
	overlay->detached_fd = -1;
	int r = overlay_load(c->session_dirfd, overlay, c->err);
	c->overlay = overlay;
	if (r == 0)
		r = each_made(c, end_one);
	c->overlay = NULL;
	overlay_finish(overlay);
	return r;
}

/* Nothing that the session did since moves a change time back. */
static bool is_after(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

int commit_keep_check(struct commit *c, size_t i, const struct stat *upper)
{
	const struct commit_op *op = &c->plan.ops[i];
	struct stat plan;
	if (c->plan.layers != COMMIT_KEEPS || !c->resumed)
		return 0;
	if (fstatat(c->dir, "plan", &plan, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	bool same = S_ISDIR(upper->st_mode)
			    ? upper->st_mode == op->new.mode && upper->st_uid == op->new.uid &&
				      upper->st_gid == op->new.gid
			    : commit_state_is(&op->new, upper) &&
				      !is_after(&upper->st_ctim, &plan.st_mtim);
	return same ? 0 : -ESTALE;
}

/* ---- after ---- */

int commit_keep_reserve(struct commit *c)
{
	size_t bytes = 0;
	for (size_t i = 0; i < c->plan.count; i++)
		bytes += 2 * (sizeof(struct origin) + strlen(c->plan.ops[i].path) + 24);
	for (size_t i = 0; i < c->sibling_count; i++)
		bytes += sizeof(struct origin) + strlen(c->siblings[i]) + 24;
	return bytes ? ledger_reserve(&c->origins, bytes) : 0;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

/* The host's own @path, which no layer's mount point but the nearest holds. 0, -errno. */
static int look_at(const char *path, struct stat *ret)
{
	size_t len = beneath_parent_len(path);
	cleanup_fd int dir = beneath_root(len ? path : "/", len ? len : 1);
	if (dir < 0)
		return dir;
	return fstatat(dir, path + len + 1, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int add_sibling(struct commit *c, const char *path)
{
	char **more = reallocarray(c->siblings, c->sibling_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->siblings = more;
	more[c->sibling_count] = strdup(path);
	return more[c->sibling_count++] ? 0 : -ENOMEM;
}

int commit_keep_siblings(struct commit *c)
{
	struct origin_table known;
	size_t count = 0;
	cleanup_free uint32_t *touched = calloc(2 * c->plan.count + 1, sizeof(*touched));
	int r = touched ? origin_table_load(c->session_dirfd, &known, c->err)
			: err_sys(c->err, ENOMEM, "commit");
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct commit_state *old = &c->plan.ops[i].old;
		if (S_ISREG(old->mode))
			touched[count++] = (uint32_t)old->ino;
		if (S_ISREG(c->progress[i].staged.mode))
			touched[count++] = (uint32_t)c->progress[i].staged.ino;
	}
	if (count)
		qsort(touched, count, sizeof(*touched), compare_numbers);
	for (size_t i = 0; r == 0 && count && i < known.size; i++) {
		const struct origin_entry *e = &known.slots[i];
		uint32_t number = (uint32_t)e->was.ino;
		struct stat st;
		if (e->path && S_ISREG(e->was.mode) &&
		    bsearch(&number, touched, count, sizeof(*touched), compare_numbers) &&
		    look_at(e->path, &st) == 0 && st.st_nlink > 1 && !origin_differs(&e->was, &st))
			r = add_sibling(c, e->path);
	}
	origin_table_finish(&known);
	return r < 0 ? err_sys(c->err, -r, "commit") : 0;
}

/* Nothing but their change time can be another, unless somebody else was there. */
static int note_siblings(struct commit *c)
{
	struct origin_table known;
	int r = c->sibling_count ? origin_table_load(c->session_dirfd, &known, c->err) : 0;
	if (r < 0 || !c->sibling_count)
		return r;
	for (size_t i = 0; r == 0 && i < c->sibling_count; i++) {
		const struct origin *was = origin_find(&known, c->siblings[i]);
		struct stat st;
		if (!was || look_at(c->siblings[i], &st) < 0)
			continue;
		struct origin same = *was;
		same.ctime_sec = st.st_ctim.tv_sec;
		same.ctime_nsec = (uint32_t)st.st_ctim.tv_nsec;
		if (!origin_differs(&same, &st))
			r = origin_write(&c->origins, c->siblings[i], &st, ORIGIN_COMMIT);
	}
	origin_table_finish(&known);
	return r;
}

/* Does another step about the same path have the last word? */
static bool is_overruled(const struct commit *c, size_t i, enum commit_side side)
{
	const struct commit_op *ops = c->plan.ops;
	if (side == COMMIT_SIDE_NEW)
		return ops[i].early && i + 1 < c->plan.count &&
		       strcmp(ops[i].path, ops[i + 1].path) == 0;
	return i > 0 && ops[i - 1].early && strcmp(ops[i].path, ops[i - 1].path) == 0;
}

/* Is @st (NULL: nothing) what the commit, or its undo, has left there? Anybody else's is not taken for that. */
static bool is_as_left(const struct commit *c, size_t i, enum commit_side side,
		       const struct stat *st)
{
	const struct commit_op *op = &c->plan.ops[i];
	const struct commit_progress *g = &c->progress[i];
	const struct commit_state *left = side == COMMIT_SIDE_NEW ? &op->new : &op->old;
	if (g->drifted)
		return false;
	if (!st || !left->mode)
		return !st && !left->mode;
	if (S_ISDIR(left->mode))
		return st->st_mode == left->mode;
	if (side == COMMIT_SIDE_NEW)
		return commit_state_is(&g->staged, st);
	return commit_state_is(left, st) || (g->restored.mode && commit_state_is(&g->restored, st));
}

static int note(struct commit *c, size_t i, enum commit_side side)
{
	const struct commit_op *op = &c->plan.ops[i];
	const char *leaf;
	struct stat st;
	int dir = commit_host_dir(c, op, &leaf);
	bool there = dir >= 0 && fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!is_as_left(c, i, side, there ? &st : NULL))
		return 0;
	return origin_write(&c->origins, op->path, there ? &st : NULL,
			    side == COMMIT_SIDE_NEW && op->kind == COMMIT_MKDIR
				    ? ORIGIN_COMMIT_HIDING
				    : ORIGIN_COMMIT);
}

/*
 * A directory that hides the host's, all of which is as in the session now: what comes there later is
 * none of the session's deletions.
 */
static int note_parent(struct commit *c, const struct commit_op *op)
{
	const char *leaf;
	struct stat st;
	size_t len = beneath_parent_len(op->path);
	int upper = len > op->root_len ? commit_upper_dir(c, op, &leaf) : -ENOENT;
	int host = upper < 0 ? upper : commit_host_dir(c, op, &leaf);
	if (host < 0 || !upper_is_opaque(upper, ".") || fstat(host, &st) < 0)
		return 0;
	cleanup_free char *path = strndup(op->path, len);
	return path ? origin_write(&c->origins, path, &st, ORIGIN_COMMIT_HIDING) : -ENOMEM;
}

int commit_keep_note(struct commit *c, enum commit_side side)
{
	const struct commit_op *last = NULL; /* many steps lie in one directory */
	int r = ledger_catch_up(&c->origins);
	if (r == 0)
		r = note_siblings(
			c); /* the steps' own paths are among them, and have the last word */
	commit_forget(&c->host);
	for (size_t i = 0; r == 0 && i < c->plan.count; i++) {
		const struct commit_op *op = &c->plan.ops[i];
		if (op->kind == COMMIT_TOUCH || is_overruled(c, i, side))
			continue;
		r = note(c, i, side);
		size_t len = beneath_parent_len(op->path);
		if (r < 0 || side != COMMIT_SIDE_NEW || !c->plan.whole ||
		    (last && beneath_parent_len(last->path) == len &&
		     memcmp(last->path, op->path, len) == 0))
			continue;
		last = op;
		r = note_parent(c, op);
	}
	if (r == 0)
		r = ledger_sync(&c->origins);
	return r < 0 ? err_sys(c->err, -r, "commit: cannot note what the host has now") : 0;
}
