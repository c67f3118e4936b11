/* A commit backwards, finished or not: what it made goes, the pre-images come back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_private.h"
#include "rootfs/copy.h"

static int drifted(struct commit *c, size_t i, const char *why, struct commit_undone *u)
{
	if (c->progress[i].drifted)
		return 0;
	c->progress[i].drifted = true;
	u->drifted++;
	if (c->told)
		c->told(c->plan.ops[i].path, why, c->arg);
	if (u->again) /* nothing is settled: the next one looks anew */
		return 0;
	return commit_mark(c, MARK_DRIFTED, i, NULL);
}

static int clear_name(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* A pre-image's copy has a name unlike the commit's own: half of one is never taken for what that left. */
static void copy_name(const struct commit *c, size_t i, char name[static COMMIT_NAME_SIZE])
{
	commit_temp_name(c, i, name);
	strcat(name, "u");
}

/* Whatever the commit or a killed undo left beside the name. */
static int clear_temp(struct commit *c, size_t i, int dir)
{
	char temp[COMMIT_NAME_SIZE], copy[COMMIT_NAME_SIZE];
	commit_temp_name(c, i, temp);
	copy_name(c, i, copy);
	int r = clear_name(dir, temp);
	return r == 0 ? clear_name(dir, copy) : r;
}

/* Was something of another type above the step's path, a link perhaps, that is there again by now? */
static bool is_below_early(const struct commit *c, size_t i)
{
	for (size_t n = i; n-- > 0;) {
		const struct commit_op *op = &c->plan.ops[n];
		size_t len = strlen(op->path);
		if (op->early && strncmp(op->path, c->plan.ops[i].path, len) == 0 &&
		    c->plan.ops[i].path[len] == '/')
			return true;
	}
	return false;
}

/*
 * Where the step acts; -ENOENT when its directory is gone; -ESTALE when a link or a mount stands in the way,
 * so that what was made cannot be reached.
 */
static int reach(struct commit *c, size_t i, const char **ret_leaf)
{
	int dir = commit_host_dir(c, &c->plan.ops[i], ret_leaf);
	if (dir == -ENOTDIR || (dir == -ELOOP && is_below_early(c, i)))
		return -ENOENT;
	return dir == -ELOOP || dir == -EXDEV ? -ESTALE : dir;
}

/* @dir: what reach said. */
static int not_reached(struct commit *c, size_t i, int dir, struct commit_undone *u)
{
	if (dir == -ENOENT)
		return drifted(c, i, "its directory is gone", u);
	if (dir == -ESTALE)
		return drifted(c, i, "a link stands above it", u);
	return commit_failed(c, &c->plan.ops[i], dir, "cannot reach the directory of");
}

static bool same_object(const struct commit_state *s, const struct stat *st)
{
	/* the number of a file that undo removed may be that of the directory it made since */
	return s->mode && s->ino == st->st_ino && s->dev == st->st_dev &&
	       (s->mode & S_IFMT) == (st->st_mode & S_IFMT);
}

/*
 * Puts the pre-image at @leaf, where @there is now (mode 0: nothing). From another filesystem it is
 * copied first; the copy's identity is noted before it gets the name.
 */
static int put_back(struct commit *c, size_t i, int dir, const char *leaf,
		    const struct commit_state *there)
{
	char pre[COMMIT_NAME_SIZE], temp[COMMIT_NAME_SIZE];
	struct stat st;
	struct commit_state state;
	commit_pre_name(i, pre);
	copy_name(c, i, temp);
	int r = fstatat(c->pre, pre, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	if (r == 0 &&
	    !same_object(&c->plan.ops[i].old, &st)) { /* a copy: known again by its mark */
		commit_state_of(&st, &state);
		r = commit_mark(c, MARK_RESTORED, i, &state);
	}
	if (r == 0)
		r = commit_exchange(c->pre, pre, dir, leaf, there);
	if (r != -EXDEV)
		return r;
	r = clear_name(dir, temp);
	if (r == 0 && fstatat(c->pre, pre, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0)
		r = copy_object(c->pre, pre, &st, dir, temp);
	if (r == 0)
		r = copy_attributes(c->pre, pre, &st, dir, temp, COPY_PLAIN);
	if (r == 0 && S_ISREG(st.st_mode)) {
		cleanup_fd int fd = openat(dir, temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fsync(fd) < 0)
			r = -errno;
	}
	if (r == 0 && fstatat(dir, temp, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r < 0)
		return r;
	commit_state_of(&st, &state);
	r = commit_mark(c, MARK_RESTORED, i, &state);
	return r < 0 ? r : commit_exchange(dir, temp, dir, leaf, there);
}

/* Something of another type had this name: then what is there now is that step's to judge. */
static bool replaces(const struct commit *c, size_t i)
{
	return i > 0 && c->plan.ops[i - 1].early &&
	       strcmp(c->plan.ops[i - 1].path, c->plan.ops[i].path) == 0;
}

static int not_brought_back(struct commit *c, size_t i, int r, struct commit_undone *u)
{
	return r == -ESTALE ? drifted(c, i, "replaced or deleted since the commit", u)
			    : commit_failed(c, &c->plan.ops[i], r, "cannot bring back");
}

/* The commit may have been killed after its exchange: then the old one is still there by a second name. */
static int clear_exchanged(struct commit *c, size_t i, int dir, const char *leaf)
{
	char temp[COMMIT_NAME_SIZE];
	commit_temp_name(c, i, temp);
	return commit_exchange_finish(dir, temp, leaf, &c->plan.ops[i].old);
}

/* A file that was put: the old one again, or nothing. */
static int undo_put(struct commit *c, size_t i, struct commit_undone *u)
{
	const struct commit_op *op = &c->plan.ops[i];
	const struct commit_progress *g = &c->progress[i];
	const char *leaf;
	struct stat st;
	int dir = reach(c, i, &leaf);
	if (dir == -ENOENT && !op->old.mode) /* what was new is gone, with its directory */
		return 0;
	if (dir < 0)
		return not_reached(c, i, dir, u);
	bool there = fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (!there && errno != ENOENT)
		return commit_failed(c, op, -errno, "cannot examine");
	if (there && same_object(&g->staged, &st)) {
		if (!commit_state_is(&g->staged, &st))
			return drifted(c, i, "changed since the commit", u);
		int r = op->old.mode ? clear_exchanged(c, i, dir, leaf) : 0;
		if (r == 0)
			r = op->old.mode ? put_back(c, i, dir, leaf, &g->staged)
					 : commit_take_away(c, i, dir, leaf, &g->staged);
		u->restored += r == 0;
		return r == 0 ? 0 : not_brought_back(c, i, r, u);
	}
	bool is_old = op->old.mode ? there && (same_object(&op->old, &st) ||
					       same_object(&g->restored, &st))
				   : !there || !c->marks[MARK_DONE] || replaces(c, i);
	int r = clear_temp(c, i, dir);
	if (r == 0 && !is_old)
		r = -ESTALE;
	return r == 0 ? 0 : not_brought_back(c, i, r, u);
}

static int undo_mkdir(struct commit *c, size_t i, struct commit_undone *u)
{
	const struct commit_op *op = &c->plan.ops[i];
	const char *leaf;
	struct stat st;
	int dir = reach(c, i, &leaf);
	if (dir == -ENOENT)
		return 0;
	if (dir < 0)
		return not_reached(c, i, dir, u);
	int r = 0;
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    same_object(&c->progress[i].staged, &st)) {
		r = unlinkat(dir, leaf, AT_REMOVEDIR) < 0 ? -errno : 0;
		if (r == -ENOTEMPTY)
			return drifted(c, i, "something was put into it since the commit", u);
		u->restored += r == 0;
	}
	if (r == 0)
		r = clear_temp(c, i, dir);
	return r < 0 ? commit_failed(c, op, r, "cannot remove") : 0;
}

static int undo_rmdir(struct commit *c, size_t i, struct commit_undone *u)
{
	const struct commit_op *op = &c->plan.ops[i];
	char temp[COMMIT_NAME_SIZE];
	const char *leaf;
	struct stat st;
	int dir = reach(c, i, &leaf);
	if (dir < 0)
		return not_reached(c, i, dir, u);
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? 0 : drifted(c, i, "another thing has its name now", u);
	commit_temp_name(c, i, temp);
	int r = clear_temp(c, i, dir);
	if (r == 0 && mkdirat(dir, temp, 0700) < 0)
		r = -errno;
	if (r == 0)
		r = commit_exchange(dir, temp, dir, leaf, &(struct commit_state){ 0 });
	if (r == -ESTALE)
		return drifted(c, i, "another thing has its name now", u);
	u->restored += r == 0;
	return r < 0 ? commit_failed(c, op, r, "cannot bring back") : 0;
}

static int undo_delete(struct commit *c, size_t i, struct commit_undone *u)
{
	const struct commit_op *op = &c->plan.ops[i];
	const char *leaf;
	struct stat st;
	int dir = reach(c, i, &leaf);
	if (dir < 0)
		return not_reached(c, i, dir, u);
	int r = 0;
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		/* a directory that came in its place and is not empty was told already */
		if (!same_object(&op->old, &st) && !same_object(&c->progress[i].restored, &st))
			return drifted(c, i, "another thing has its name now", u);
	} else {
		r = put_back(c, i, dir, leaf, &(struct commit_state){ 0 });
		u->restored += r == 0;
	}
	if (r == -ESTALE)
		return drifted(c, i, "another thing has its name now", u);
	if (r == 0)
		r = clear_temp(c, i, dir);
	return r < 0 ? commit_failed(c, op, r, "cannot bring back") : 0;
}

/* Owner, mode, attributes and times of a directory that was there before. */
static int undo_directory(struct commit *c, size_t i, struct commit_undone *u)
{
	const struct commit_op *op = &c->plan.ops[i];
	char pre[COMMIT_NAME_SIZE];
	const char *leaf;
	struct stat st, now;
	cleanup_fd int self = commit_host_self(c, op);
	if (self == -EACCES)
		return commit_failed(c, op, self, "cannot reach");
	if (self < 0) /* gone, or something else by now, which its own steps have told */
		return self == -ELOOP && !is_below_early(c, i)
			       ? drifted(c, i, "a link stands in its place, or above it", u)
			       : 0;
	if (op->kind == COMMIT_TOUCH) {
		int r = commit_close_up(self, op);
		if (r == 0)
			r = commit_set_time(self, &op->old);
		return r < 0 && r != -EPERM ? commit_failed(c, op, r, "cannot set the time of") : 0;
	}
	commit_pre_name(i, pre);
	if (fstat(self, &now) < 0 || fstatat(c->pre, pre, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return commit_failed(c, op, -errno, "cannot examine");
	bool ours = (commit_mode_is(now.st_mode, op->new.mode) &&
		     now.st_uid == op->new.uid &&now.st_gid == op->new.gid) ||
		    (commit_mode_is(now.st_mode, op->old.mode) && now.st_uid == op->old.uid &&
		     now.st_gid == op->old.gid) ||
		    !c->marks[MARK_DONE];
	if (op->kind == COMMIT_META && !ours)
		return drifted(c, i, "its owner or mode was changed since the commit", u);
	int dir = commit_host_dir(c, op, &leaf);
	int r = dir < 0 ? dir : copy_attributes(c->pre, pre, &st, dir, leaf, COPY_PLAIN);
	u->restored += r == 0 && op->kind == COMMIT_META;
	return r < 0 ? commit_failed(c, op, r, "cannot set owner and mode of") : 0;
}

/* Before the pre-images were complete nothing was changed but the modes of directories. */
static int close_again(struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	if (!S_ISDIR(op->old.mode))
		return 0;
	cleanup_fd int self = commit_host_self(c, op);
	int r = self < 0 ? 0 : commit_close_up(self, op);
	return r < 0 ? commit_failed(c, op, r, "cannot give its mode back to") : 0;
}

typedef int step_fn(struct commit *c, size_t i, struct commit_undone *u);
enum order { FORWARDS, BACKWARDS };

static int each(struct commit *c, struct commit_undone *u, enum commit_kind kind, enum order order,
		step_fn *step)
{
	int r = 0;
	for (size_t n = 0; r == 0 && n < c->plan.count; n++) {
		size_t i = order == FORWARDS ? n : c->plan.count - 1 - n;
		if (c->plan.ops[i].kind == kind)
			r = step(c, i, u);
	}
	return r;
}

/* Pre-images are kept only of what could not be brought back. */
static int clear_pre(struct commit *c)
{
	for (size_t i = 0; i < c->plan.count; i++) {
		char name[COMMIT_NAME_SIZE];
		if (c->progress[i].drifted || !c->plan.ops[i].old.mode ||
		    c->plan.ops[i].kind == COMMIT_TOUCH)
			continue;
		commit_pre_name(i, name);
		if (unlinkat(c->pre, name, 0) < 0 && errno != ENOENT &&
		    unlinkat(c->pre, name, AT_REMOVEDIR) < 0)
			return err_sys(c->err, errno, "undo: cannot remove a pre-image");
	}
	if (unlinkat(c->pre, "part", 0) < 0 && errno != ENOENT)
		unlinkat(c->pre, "part", AT_REMOVEDIR);
	return 0;
}

static int return_host(struct commit *c, struct commit_undone *u)
{
	int r = 0;
	if (!c->marks[MARK_SAVED]) {
		for (size_t i = 0; r == 0 && i < c->plan.count; i++)
			r = close_again(c, i);
		return r;
	}
	commit_open_up(c);
	r = each(c, u, COMMIT_PUT, BACKWARDS, undo_put);
	if (r == 0)
		r = each(c, u, COMMIT_MKDIR, BACKWARDS, undo_mkdir);
	commit_forget(&c->host); /* a directory removed and made again is another */
	if (r == 0)
		r = each(c, u, COMMIT_RMDIR, FORWARDS, undo_rmdir);
	if (r == 0)
		r = each(c, u, COMMIT_DELETE, FORWARDS, undo_delete);
	if (r == 0)
		r = each(c, u, COMMIT_TOUCH, BACKWARDS, undo_directory);
	if (r == 0)
		r = each(c, u, COMMIT_RMDIR, BACKWARDS, undo_directory);
	if (r == 0)
		r = each(c, u, COMMIT_META, BACKWARDS, undo_directory);
	return r == 0 ? commit_sync_dirs(c) : r;
}

int commit_take_back(struct commit *c, enum commit_take_back again, struct commit_undone *ret)
{
	*ret = (struct commit_undone){ .number = c->number, .again = again == TAKE_BACK_AGAIN };
	snprintf(ret->drift_dir, sizeof(ret->drift_dir), "commits/%u/pre", c->number);
	for (size_t i = 0; i < c->plan.count; i++)
		ret->drifted += c->progress[i].drifted;
	int r = c->marks[MARK_UNDOING] ? 0 : commit_mark(c, MARK_UNDOING, 0, NULL);
	if (r == 0 && !c->marks[MARK_RETURNED]) {
		r = return_host(c, ret);
		if (r == 0 && again == TAKE_BACK_AGAIN && ret->drifted)
			r = err_set(c->err, ESTALE, "undo: %zu paths cannot be brought back now",
				    ret->drifted);
		if (r == 0)
			r = commit_mark(c, MARK_RETURNED, 0, NULL);
	}
	if (r == 0)
		r = clear_pre(c);
	if (r == 0)
		r = commit_keep_end(c);
	if (r == 0)
		r = commit_earlier_tell(c);
	/* the layers hold the changes still: the host is told apart from them by what it is now */
	if (r == 0 && (c->plan.layers == COMMIT_KEEPS || !c->marks[MARK_DROPPED]))
		r = commit_keep_note(c, COMMIT_SIDE_OLD);
	return r == 0 ? commit_mark(c, MARK_UNDONE, 0, NULL) : r;
}

int commit_undo(int session_dirfd, struct commit_undone *ret, commit_told *told, void *arg,
		struct err *err)
{
	struct commit c;
	int r = commit_record_open(session_dirfd, &c, err);
	if (r < 0)
		return r == -ENOENT ? err_set(err, ENOENT, "there is no commit to undo") : r;
	c.told = told;
	c.arg = arg;
	r = commit_keep_siblings(&c);
	if (r == 0)
		r = commit_take_back(&c, TAKE_BACK_FINAL, ret);
	commit_record_close(&c);
	return r;
}
