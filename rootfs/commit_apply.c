/* Carrying out a plan, from wherever it was interrupted: each step looks whether it was made already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_private.h"
#include "rootfs/copy.h"
#include "rootfs/upper.h"

static const char session_went_on[] = "the session went on since, and changed it";

/* ---- 1. pre-images ---- */

/* A copy that is there whole or not at all. */
static int save_copy(int dir, const char *leaf, const struct stat *st, int pre, const char *name)
{
	static const char part[] = "part";
	if (unlinkat(pre, part, 0) < 0 && errno != ENOENT && unlinkat(pre, part, AT_REMOVEDIR) < 0)
		return -errno;
	int r = S_ISDIR(st->st_mode) ? (mkdirat(pre, part, 0700) < 0 ? -errno : 0)
				     : copy_object(dir, leaf, st, pre, part);
	if (r == 0)
		r = copy_attributes(dir, leaf, st, pre, part, COPY_PLAIN);
	if (r == 0 && S_ISREG(st->st_mode)) {
		cleanup_fd int fd = openat(pre, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fsync(fd) < 0)
			r = -errno;
	}
	if (r == 0 && renameat(pre, part, pre, name) < 0)
		r = -errno;
	return r;
}

static int save(struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	char name[COMMIT_NAME_SIZE];
	const char *leaf;
	struct stat st;
	if (!op->old.mode || op->kind == COMMIT_TOUCH)
		return 0;
	commit_pre_name(i, name);
	if (fstatat(c->pre, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	int dir = commit_host_dir(c, op, &leaf);
	if (dir < 0)
		return commit_failed(c, op, dir, "cannot reach");
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return commit_failed(c, op, errno == ENOENT ? -ESTALE : -errno,
				     "it was deleted meanwhile");
	if (!commit_state_is(&op->old, &st))
		return commit_failed(c, op, -ESTALE, "it was changed meanwhile");
	int r = -EXDEV;
	if (S_ISDIR(st.st_mode)) {
		st.st_mode = op->old.mode; /* it may have been opened up */
	} else {
		r = linkat(dir, leaf, c->pre, name, 0) < 0 ? -errno : 0;
		if (r == 0 && (fstatat(c->pre, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			       !commit_state_is(&op->old, &st))) {
			unlinkat(c->pre, name, 0);
			return commit_failed(c, op, -ESTALE, "it was changed meanwhile");
		}
	}
	/* another filesystem, one without links, or a file that only its owner may link */
	if (r == -EXDEV || r == -EPERM || r == -EMLINK || r == -EOPNOTSUPP)
		r = save_copy(dir, leaf, &st, c->pre, name);
	return r < 0 ? commit_failed(c, op, r, "cannot save the old") : 0;
}

static int save_all(struct commit *c)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->plan.count; i++)
		r = save(c, i);
	if (r == 0 && fsync(c->pre) < 0)
		r = err_sys(c->err, errno, "commit: cannot sync the record");
	return r == 0 ? commit_mark(c, MARK_SAVED, 0, NULL) : r;
}

/* ---- 2. to 4. new objects under temporary names ---- */

/* Is the object of this step at its own name already? */
static bool is_placed(const struct commit *c, size_t i, int dir, const char *leaf)
{
	struct stat st;
	const struct commit_state *staged = &c->progress[i].staged;
	return staged->mode && fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ino == staged->ino && st.st_dev == staged->dev;
}

static bool is_staged(const struct commit *c, size_t i, int dir, const char *temp)
{
	return is_placed(c, i, dir, temp);
}

/* Whatever a killed attempt left under the name. */
static int clear_temp(int dir, const char *temp)
{
	if (unlinkat(dir, temp, 0) == 0 || errno == ENOENT)
		return 0;
	return unlinkat(dir, temp, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* The marks of the overlay do not belong to a file of the host. */
static int strip_marks(int dir, const char *name)
{
	char path[NAME_MAX + 64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	ssize_t size = llistxattr(path, NULL, 0);
	if (size <= 0)
		return size == 0 || errno == EOPNOTSUPP ? 0 : -errno;
	cleanup_free char *names = malloc((size_t)size);
	size = names ? llistxattr(path, names, (size_t)size) : -1;
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
		if (upper_is_overlay_xattr(names + at) && lremovexattr(path, names + at) < 0)
			return -errno;
	return names ? 0 : -ENOMEM;
}

/* Another name of a file that an earlier step has put. -ENOENT: it did not. */
static int link_to_group(struct commit *c, const struct commit_op *op, int dir, const char *temp)
{
	const struct commit_op *first = &c->plan.ops[op->group];
	char name[COMMIT_NAME_SIZE];
	const char *leaf = strrchr(first->path, '/') + 1;
	cleanup_fd int root = beneath_root(first->root_len ? first->path : "/",
					   first->root_len ? first->root_len : 1);
	if (root < 0)
		return root;
	cleanup_fd int from =
		beneath_dir(root, commit_below(first), beneath_parent_len(commit_below(first)));
	if (from < 0)
		return from;
	commit_temp_name(c, op->group, name);
	if (is_placed(c, op->group, from, leaf))
		return linkat(from, leaf, dir, temp, 0) < 0 ? -errno : 0;
	if (is_staged(c, op->group, from, name))
		return linkat(from, name, dir, temp, 0) < 0 ? -errno : 0;
	return -ENOENT;
}

static int stage_file(struct commit *c, size_t i, int dir, const char *temp)
{
	const struct commit_op *op = &c->plan.ops[i];
	const char *leaf;
	struct stat st;
	int upper = commit_upper_dir(c, op, &leaf);
	if (upper < 0 || fstatat(upper, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return upper < 0 ? upper : -errno;
	int r = commit_keep_check(c, i, &st);
	if (r < 0)
		return r;
	r = -EXDEV;
	if (op->link) {
		r = linkat(upper, leaf, dir, temp, 0) < 0 ? -errno : strip_marks(dir, temp);
		if (r == -EACCES && fchmodat(dir, temp, (op->new.mode & 07777) | 0600, 0) == 0)
			r = strip_marks(dir, temp); /* its owner may not write it */
		if (r == 0 && fstatat(dir, temp, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_mode != op->new.mode && fchmodat(dir, temp, op->new.mode & 07777, 0) < 0)
			r = -errno;
	}
	if (r != -EXDEV && r != -EPERM && r != -EMLINK && r != -EOPNOTSUPP)
		return r;
	if (op->group != i) {
		r = link_to_group(c, op, dir, temp);
		if (r != -EXDEV && r != -ENOENT)
			return r;
	}
	r = copy_object(upper, leaf, &st, dir, temp);
	if (r == 0) /* a directory above it may have been opened up: the plan knows the mode */
		st.st_mode = op->new.mode;
	return r < 0 ? r
		     : copy_attributes(upper, leaf, &st, dir, temp,
				       c->plan.keep_setuid ? COPY_PLAIN : COPY_NO_SETUID);
}

static int stage(struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	char temp[COMMIT_NAME_SIZE];
	const char *leaf;
	struct stat st;
	struct commit_state state;
	int dir = commit_host_dir(c, op, &leaf);
	if (dir < 0)
		return commit_failed(c, op, dir, "cannot reach the directory of");
	commit_temp_name(c, i, temp);
	if (is_placed(c, i, dir, leaf) || is_staged(c, i, dir, temp))
		return 0;
	int r = clear_temp(dir, temp);
	if (r == 0 && op->kind == COMMIT_MKDIR)
		r = mkdirat(dir, temp, 0700) < 0 ? -errno : 0;
	else if (r == 0)
		r = stage_file(c, i, dir, temp);
	if (r == 0 && fstatat(dir, temp, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r < 0)
		return commit_failed(c, op, r, r == -ESTALE ? session_went_on : "cannot write");
	commit_state_of(&st, &state);
	return commit_mark(c, MARK_STAGED, i, &state);
}

static int sync_staged(struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	char temp[COMMIT_NAME_SIZE];
	const char *leaf;
	int dir = commit_host_dir(c, op, &leaf);
	if (dir < 0)
		return commit_failed(c, op, dir, "cannot reach the directory of");
	commit_temp_name(c, i, temp);
	const char *name = is_staged(c, i, dir, temp) ? temp : leaf;
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r = 0;
	if (fd >= 0) {
		r = fsync(fd) < 0 ? -errno : 0;
	} else if (errno == EACCES) { /* a file its owner cannot read: with all of its filesystem */
		cleanup_fd int all = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = all >= 0 && syncfs(all) < 0 ? -errno : 0;
	} else {
		r = -errno;
	}
	return r < 0 ? commit_failed(c, op, r, "cannot sync") : 0;
}

/* ---- 5. and 6. names ---- */

static int place(struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	char temp[COMMIT_NAME_SIZE];
	const char *leaf;
	int dir = commit_host_dir(c, op, &leaf);
	if (dir < 0)
		return commit_failed(c, op, dir, "cannot reach the directory of");
	commit_temp_name(c, i, temp);
	int r = !is_placed(c, i, dir, leaf) ? commit_exchange(dir, temp, dir, leaf, &op->old)
		: op->old.mode              ? commit_exchange_finish(dir, temp, leaf, &op->old)
					    : clear_temp(dir, temp);
	return r < 0 ? commit_failed(c, op, r,
				     r == -ESTALE ? "it was changed meanwhile" : "cannot replace")
		     : 0;
}

static int delete (struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	const char *leaf;
	int r, dir = commit_host_dir(c, op, &leaf);
	if (dir == -ENOENT || dir == -ENOTDIR)
		return 0; /* gone with its directory, before an interruption */
	if (dir < 0)
		return commit_failed(c, op, dir, "cannot reach the directory of");
	if (op->kind == COMMIT_DELETE) {
		/* where the new thing of another type has its name by now */
		r = op->early && is_placed(c, i + 1, dir, leaf)
			    ? 0
			    : commit_take_away(c, i, dir, leaf, &op->old);
	} else {
		struct stat st;
		r = fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
		if (r == -ENOENT || (r == 0 && op->early && !S_ISDIR(st.st_mode)))
			return 0;
		if (r == 0)
			r = unlinkat(dir, leaf, AT_REMOVEDIR) < 0 ? -errno : 0;
		if (r == -ENOTEMPTY || r == -ENOTDIR)
			r = -ESTALE;
	}
	return r < 0 ? commit_failed(c, op, r,
				     r == -ESTALE ? "it was changed meanwhile" : "cannot delete")
		     : 0;
}

/* ---- 7. directories ---- */

static int settle(struct commit *c, size_t i)
{
	const struct commit_op *op = &c->plan.ops[i];
	const char *leaf;
	struct stat st;
	if (op->kind == COMMIT_TOUCH) {
		cleanup_fd int self = commit_host_self(c, op);
		int r = self < 0 ? self : commit_close_up(self, op);
		if (r == 0 && op->new.mode)
			r = commit_set_time(self, &op->new);
		/* the time of a directory that is not one's own */
		return r < 0 && r != -EPERM ? commit_failed(c, op, r, "cannot set the time of") : 0;
	}
	int dir = commit_host_dir(c, op, &leaf);
	int upper = dir < 0 ? dir : commit_upper_dir(c, op, &leaf);
	int r = upper < 0 ? upper : 0;
	if (r == 0 && fstatat(upper, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	if (r == 0)
		r = commit_keep_check(c, i, &st);
	if (r == 0) { /* its mode in the layer may be another by now: see beneath_dir_forced */
		st.st_mode = op->new.mode;
		r = copy_attributes(upper, leaf, &st, dir, leaf, COPY_PLAIN);
	}
	return r < 0 ? commit_failed(c, op, r,
				     r == -ESTALE ? session_went_on
						  : "cannot set owner and mode of")
		     : 0;
}

/* ---- 8. out of the layers, or into the origins ---- */

static int drop_part(struct commit *c)
{
	/* files and whiteouts first, then what is empty: the list backwards is bottom-up */
	for (size_t i = c->plan.count; i-- > 0;) {
		const struct commit_op *op = &c->plan.ops[i];
		const char *leaf;
		struct stat st;
		if (op->kind == COMMIT_TOUCH)
			continue;
		int dir = commit_upper_dir(c, op, &leaf);
		if (dir < 0 || fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* below an opaque directory, or a whiteout: nothing of its own */
		int r = 0;
		if (!S_ISDIR(st.st_mode))
			r = unlinkat(dir, leaf, 0) < 0 ? -errno : 0;
		else if (unlinkat(dir, leaf, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY)
			r = -errno;
		else if (op->kind == COMMIT_MKDIR || op->kind == COMMIT_META) {
			/* something stays in it: it keeps its mode, and hides nothing of the host's */
			if (op->kind == COMMIT_MKDIR)
				r = strip_marks(dir, leaf);
			if (fchmodat(dir, leaf, op->new.mode & 07777, 0) < 0 && errno != ENOENT)
				r = -errno;
		}
		if (r < 0 && r != -ENOENT)
			return commit_failed(c, op, r, "cannot take out of the session:");
	}
	return 0;
}

static int drop(struct commit *c)
{
	int r = c->plan.layers == COMMIT_KEEPS ? commit_keep_note(c, COMMIT_SIDE_NEW)
		: c->plan.whole                ? overlay_discard(c->session_dirfd, c->err)
					       : drop_part(c);
	return r < 0 ? r : commit_mark(c, MARK_DROPPED, 0, NULL);
}

/* ---- the whole ---- */

static bool makes_dir(const struct commit_op *op)
{
	return op->kind == COMMIT_MKDIR;
}

static bool removes(const struct commit_op *op)
{
	return op->kind == COMMIT_DELETE || op->kind == COMMIT_RMDIR;
}

static int apply_steps(struct commit *c)
{
	const struct commit_plan *p = &c->plan;
	commit_open_up(c);
	int r = c->marks[MARK_SAVED] ? 0 : save_all(c);
	if (r == 0 && p->layers == COMMIT_KEEPS)
		r = commit_keep_begin(c);
	for (size_t i = p->count; r == 0 && i-- > 0;)
		if (removes(&p->ops[i]) && p->ops[i].early)
			r = delete (c, i);
	for (size_t i = 0; r == 0 && i < p->count; i++)
		if (makes_dir(&p->ops[i])) {
			r = stage(c, i);
			if (r == 0)
				r = place(c, i);
		}
	for (size_t i = 0; r == 0 && i < p->count; i++)
		if (p->ops[i].kind == COMMIT_PUT)
			r = stage(c, i);
	for (size_t i = 0; r == 0 && i < p->count; i++)
		if (p->ops[i].kind == COMMIT_PUT && S_ISREG(p->ops[i].new.mode) &&
		    p->ops[i].group == i)
			r = sync_staged(c, i);
	if (r == 0 && ledger_sync(&c->ledger) < 0)
		r = err_sys(c->err, EIO, "commit: cannot sync the record");
	for (size_t i = 0; r == 0 && i < p->count; i++)
		if (p->ops[i].kind == COMMIT_PUT)
			r = place(c, i);
	for (size_t i = p->count; r == 0 && i-- > 0;)
		if (removes(&p->ops[i]) && !p->ops[i].early)
			r = delete (c, i);
	for (size_t i = p->count; r == 0 && i-- > 0;)
		if (p->ops[i].kind == COMMIT_TOUCH)
			r = settle(c, i);
	for (size_t i = p->count; r == 0 && i-- > 0;)
		if (makes_dir(&p->ops[i]) || p->ops[i].kind == COMMIT_META)
			r = settle(c, i);
	if (r == 0)
		r = commit_sync_dirs(c);
	return r == 0 ? commit_mark(c, MARK_DONE, 0, NULL) : r;
}

static int apply(struct commit *c)
{
	int r = c->marks[MARK_DONE] ? 0 : apply_steps(c);
	if (r == 0)
		return c->marks[MARK_DROPPED] ? 0 : drop(c);
	if (c->marks[MARK_DONE])
		return r;
	/* all or nothing; what went wrong is what the person is told */
	struct err later = { "" }, *first = c->err;
	struct commit_undone undone;
	c->err = &later;
	int back = commit_take_back(c, TAKE_BACK_AGAIN, &undone);
	c->err = first;
	if (back < 0)
		return err_set(first, -r,
			       "%.250s; not all could be taken back (%.150s): vsandbox undo",
			       first ? first->text : "commit failed", later.text);
	return r;
}

int commit_run(int session_dirfd, const struct overlay *o, const struct commit_plan *p,
	       commit_told *told, void *arg, struct err *err)
{
	struct err own;
	struct commit c = commit_record_none(session_dirfd, err ? err : &own);
	c.overlay = o;
	c.plan = *p; /* lent until the end */
	c.told = told;
	c.arg = arg;
	c.progress = calloc(p->count + 1, sizeof(*c.progress));
	int r = c.progress ? commit_record_write(&c) : err_sys(err, ENOMEM, "commit");
	if (r == 0)
		r = apply(&c);
	c.plan = (struct commit_plan){ 0 };
	commit_record_close(&c);
	return r;
}

int commit_resume(int session_dirfd, const struct overlay *o, commit_told *told, void *arg,
		  struct err *err)
{
	struct commit c;
	int r = commit_record_open(session_dirfd, &c, err);
	if (r < 0)
		return r == -ENOENT ? err_set(err, ENOENT, "commit: there is nothing to resume")
				    : r;
	c.overlay = o;
	c.told = told;
	c.arg = arg;
	c.resumed = true;
	if (c.marks[MARK_UNDOING])
		r = err_set(err, EINVAL, "commit: its undo has begun; go on with: vsandbox undo");
	else if (c.marks[MARK_DROPPED])
		r = err_set(err, ENOENT, "commit: there is nothing to resume");
	else
		r = apply(&c);
	commit_record_close(&c);
	return r;
}
