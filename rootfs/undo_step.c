/*
 * One record undone: is it as the action left it, put back, look again.
 *
 * A record that is PENDING may have happened or not (its writer died), one that is
 * UNDOING may be put back in part: both are told from what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/move.h"
#include "rootfs/undo_private.h"

int undo_why(struct undo_run *u, int errnum, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(u->why, sizeof(u->why), fmt, ap);
	va_end(ap);
	if (errnum != ESTALE && errnum != ENODATA && n >= 0 && (size_t)n < sizeof(u->why))
		snprintf(u->why + n, sizeof(u->why) - (size_t)n, ": %s", strerrordesc_np(errnum));
	return -errnum;
}

int undo_place_open(const struct undo_run *u, const char *path, struct undo_place *ret)
{
	char parent[PATH_MAX];
	struct statx sx;
	const char *slash = strrchr(path, '/');
	*ret = (struct undo_place){ .parent_fd = -1, .leaf = slash + 1, .path = path };
	if (!ret->leaf[0]) /* the root of the sandbox itself: its attributes can have changed */
		ret->leaf = ".";
	snprintf(parent, sizeof(parent), ".%.*s", (int)(slash - path), path);
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, u->root_fd, parent, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	ret->parent_fd = fd;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &sx) == 0)
		ret->layer = undo_layer_by_mount(u->layers, sx.stx_mnt_id);
	ret->exists = fstatat(fd, ret->leaf, &ret->st, AT_SYMLINK_NOFOLLOW) == 0;
	return ret->exists || errno == ENOENT ? 0 : -errno;
}

void undo_place_close(struct undo_place *p)
{
	scope_close(&p->parent_fd);
	p->parent_fd = -1;
}

static bool same_type(const struct stat *st, const struct journal_stat *s)
{
	return (st->st_mode & S_IFMT) == (s->mode & S_IFMT);
}

/* Is it that object? By number where numbers say so (the record knows), else by kind. */
static bool is_object(const struct undo_run *u, const struct undo_place *p,
		      const struct journal_stat *s, const struct journal_record *r)
{
	return p->exists && same_type(&p->st, s) &&
	       ((r->flags & JOURNAL_FOUND) || undo_number(u, s->ino, r->number) == p->st.st_ino);
}

/* The same, when a number says nothing: by all that a rename keeps. */
static bool resembles(const struct undo_run *u, const struct undo_place *p,
		      const struct journal_stat *s, const struct journal_record *r)
{
	return is_object(u, p, s, r) &&
	       (!(r->flags & JOURNAL_FOUND) || S_ISDIR(p->st.st_mode) ||
		((uint64_t)p->st.st_size == s->size && p->st.st_mtim.tv_sec == s->mtime.sec &&
		 (uint32_t)p->st.st_mtim.tv_nsec == s->mtime.nsec));
}

static enum undo_outcome drifted(struct undo_run *u, const char *how)
{
	snprintf(u->why, sizeof(u->why), "%s", how);
	return UNDO_DRIFTED;
}

static enum undo_outcome outcome_of(int r)
{
	return r == 0 ? UNDO_RESTORED : r == -ESTALE || r == -ENODATA ? UNDO_PAST : UNDO_FAILED;
}

/* Afterwards: is it what the record says it was? */
static enum undo_outcome verify(struct undo_run *u, const struct journal_view *v, const char *path)
{
	const struct journal_stat *was = &v->record->before;
	cleanup_place struct undo_place p = { .parent_fd = -1 };
	if (undo_place_open(u, path, &p) < 0 || p.exists != (was->mode != 0))
		return drifted(u, "it is not as it was, though it was put back");
	if (!p.exists)
		return UNDO_RESTORED;
	const char *differs = NULL;
	if (p.st.st_mode != was->mode)
		differs = "its mode";
	else if (p.st.st_uid != was->uid || p.st.st_gid != was->gid)
		differs = "its owner";
	else if (S_ISREG(was->mode) && (uint64_t)p.st.st_size != was->size)
		differs = "its length";
	else if (p.st.st_mtim.tv_sec != was->mtime.sec ||
		 (uint32_t)p.st.st_mtim.tv_nsec != was->mtime.nsec)
		differs = "its time";
	if (!differs)
		return UNDO_RESTORED;
	snprintf(u->why, sizeof(u->why), "%s could not be restored", differs);
	return UNDO_FAILED;
}

/* A half-made object of an undo that was interrupted; what is in a directory stays. */
static int clear_place(struct undo_run *u, struct undo_place *p)
{
	if (!p->exists)
		return 0;
	if (unlinkat(p->parent_fd, p->leaf, S_ISDIR(p->st.st_mode) ? AT_REMOVEDIR : 0) < 0)
		return undo_why(u, errno, "what an interrupted rollback left cannot be removed");
	p->exists = false;
	return 0;
}

/* A name that the action made goes. */
static enum undo_outcome undo_made(struct undo_run *u, const struct journal_view *v,
				   struct undo_place *p)
{
	const struct journal_record *r = v->record;
	if (!p->exists)
		return u->state == JOURNAL_DONE ? drifted(u, "it is gone") : UNDO_NOTHING;
	if (journal_has_after(r) && !is_object(u, p, &r->after, r))
		return drifted(u, "something else has its name now");
	if (unlinkat(p->parent_fd, p->leaf, S_ISDIR(p->st.st_mode) ? AT_REMOVEDIR : 0) < 0)
		return errno == ENOTEMPTY ? drifted(u, "it holds what the journal knows nothing of")
					  : outcome_of(undo_why(u, errno, "it cannot be removed"));
	undo_times(p->parent_fd, r->dir[0]);
	return verify(u, v, p->path);
}

/* The object that lay at @p before comes back. */
static enum undo_outcome undo_removed(struct undo_run *u, const struct journal_view *v,
				      struct undo_place *p, const struct journal_time dir[2])
{
	const struct journal_record *r = v->record;
	if (p->exists && u->state == JOURNAL_PENDING && resembles(u, p, &r->before, r))
		return UNDO_NOTHING;
	if (p->exists && !u->continued)
		return drifted(u, "its name is taken");
	int rc = clear_place(u, p);
	if (rc == 0)
		rc = undo_make(u, v, p);
	undo_times(p->parent_fd, dir);
	return rc < 0 ? outcome_of(rc) : verify(u, v, p->path);
}

static enum undo_outcome undo_content(struct undo_run *u, const struct journal_view *v,
				      struct undo_place *p)
{
	const struct journal_record *r = v->record;
	if (!is_object(u, p, &r->before, r))
		return drifted(u, p->exists ? "something else has its name now" : "it is gone");
	int rc = undo_rewrite(u, v, p);
	return rc < 0 ? outcome_of(rc) : verify(u, v, p->path);
}

static enum undo_outcome undo_meta(struct undo_run *u, const struct journal_view *v,
				   struct undo_place *p)
{
	const struct journal_record *r = v->record;
	if (!is_object(u, p, &r->before, r))
		return drifted(u, p->exists ? "something else has its name now" : "it is gone");
	if (u->state == JOURNAL_DONE && journal_has_after(r)) {
		if (r->op == OP_CHMOD && p->st.st_mode != r->after.mode)
			return drifted(u, "its mode was changed again");
		if (r->op == OP_CHOWN &&
		    (p->st.st_uid != r->after.uid || p->st.st_gid != r->after.gid))
			return drifted(u, "its owner was changed again");
	}
	/* what was written through descriptors meanwhile belongs to their opens: not this action's length */
	int rc = undo_attributes(u, v, p);
	return rc < 0 ? outcome_of(rc) : UNDO_RESTORED;
}

static int move_back(const struct undo_place *from, const struct undo_place *to, unsigned flags)
{
	if (renameat2(to->parent_fd, to->leaf, from->parent_fd, from->leaf, flags) == 0)
		return 0;
	if (errno == EXDEV && S_ISDIR(to->st.st_mode) && !(flags & RENAME_EXCHANGE))
		return move_tree(to->parent_fd, to->leaf, from->parent_fd, from->leaf, flags);
	return -errno;
}

/* What moving by pieces may have changed of the directory itself. */
static void settle_moved(const struct undo_place *p, const struct journal_stat *was)
{
	struct timespec times[2] = { { was->atime.sec, was->atime.nsec },
				     { was->mtime.sec, was->mtime.nsec } };
	/* best effort: its entries are back, which is what counts */
	if (fchmodat(p->parent_fd, p->leaf, was->mode & 07777, 0) == 0)
		utimensat(p->parent_fd, p->leaf, times, AT_SYMLINK_NOFOLLOW);
}

static enum undo_outcome undo_rename(struct undo_run *u, const struct journal_view *v,
				     struct undo_place *from, struct undo_place *to)
{
	const struct journal_record *r = v->record;
	const struct journal_stat *left = journal_has_after(r) ? &r->after : &r->moved;
	bool exchange = r->flags & JOURNAL_EXCHANGE;
	bool halved = false;
	bool fresh = u->state == JOURNAL_DONE;
	/* a directory that the overlay cannot rename is moved by pieces: both may be there */
	if (!fresh && !exchange && S_ISDIR(r->moved.mode) && from->exists && to->exists &&
	    S_ISDIR(from->st.st_mode) && S_ISDIR(to->st.st_mode)) {
		int rc = move_merge(to->parent_fd, to->leaf, from->parent_fd, from->leaf);
		if (rc < 0)
			return outcome_of(undo_why(u, -rc, "half of it cannot be moved back"));
		to->exists = false;
		halved = true;
	}
	bool back = !fresh &&
		    (exchange ? resembles(u, from, &r->moved, r) && resembles(u, to, &r->before, r)
			      : from->exists);
	if (!back) {
		if (!is_object(u, to, left, r))
			return drifted(u, to->exists ? "something else has its new name now"
						     : "it is gone from its new name");
		if (from->exists != exchange)
			return drifted(u,
				       exchange ? "its old name is gone" : "its old name is taken");
		int rc = move_back(from, to, exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE);
		if (rc < 0)
			return outcome_of(undo_why(u, -rc, "it cannot be moved back"));
		to->exists = exchange;
	} else if (u->state == JOURNAL_PENDING && !halved &&
		   (exchange || !r->before.mode || to->exists)) {
		return UNDO_NOTHING;
	}
	if (S_ISDIR(r->moved.mode) && !exchange && (halved || !fresh))
		settle_moved(from, &r->moved);
	enum undo_outcome outcome = UNDO_RESTORED;
	if (r->before.mode && !exchange)
		outcome = undo_removed(u, v, to, r->dir[1]);
	undo_times(to->parent_fd, r->dir[1]);
	undo_times(from->parent_fd, r->dir[0]);
	return outcome;
}

enum undo_outcome undo_record(struct undo_run *u, const struct journal_view *v)
{
	const struct journal_record *r = v->record;
	cleanup_place struct undo_place p = { .parent_fd = -1 }, p2 = { .parent_fd = -1 };
	u->why[0] = '\0';
	int rc = undo_place_open(u, v->path, &p);
	if (rc == 0 && v->path2)
		rc = undo_place_open(u, v->path2, &p2);
	if (rc < 0)
		return drifted(u, "its directory is gone");
	if (!p.layer)
		return drifted(u, "its layer is not mounted any more");
	enum undo_outcome outcome = UNDO_FAILED;
	switch ((enum undo)r->undo) {
	case UNDO_OPEN:
		outcome = r->before.mode ? undo_content(u, v, &p) : undo_made(u, v, &p);
		break;
	case UNDO_CONTENT:
		outcome = undo_content(u, v, &p);
		break;
	case UNDO_MAKE:
		outcome = undo_made(u, v, &p);
		if (v->path2) /* a link's source: see emulate_names.c, keep_number */
			undo_times(p2.parent_fd, r->dir[1]);
		break;
	case UNDO_UNLINK:
	case UNDO_RMDIR:
		outcome = undo_removed(u, v, &p, r->dir[0]);
		break;
	case UNDO_RENAME:
		outcome = undo_rename(u, v, &p, &p2);
		break;
	case UNDO_META:
		outcome = undo_meta(u, v, &p);
		break;
	case UNDO_NONE:
	case UNDO_EXTERNAL:
	case UNDO_COUNT:
		return drifted(u, "a record of no kind");
	}
	if (outcome == UNDO_NOTHING && r->content == JOURNAL_CONTENT_STASH)
		journal_reader_stash_drop(u->reader, r->stash);
	return outcome;
}
