/* Calls that make, move or take away a name: of the directory that is pinned, not of a path. */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs/move.h"
#include "sandbox/emulate_private.h"
#include "sandbox/reveal.h"

/* unlink, rmdir, mkdir, mknod: a name, its last link not followed */
static int prepare_name(struct worker *w, int fixed)
{
	(void)fixed;
	int r = emulate_resolve(w, FIRST, PLACE_NOFOLLOW);
	if (r < 0)
		return r;
	emulate_describe(w, FIRST);
	if (w->row->op == OP_MKDIR || w->row->op == OP_MKNOD) {
		w->action.mode = (uint32_t)emulate_number(w, ARG_MODE);
		w->action.provenance = PROVENANCE_CREATED;
	}
	return 0;
}

/* With its last name an object goes, and its number may be another's next. */
static void lose_name(struct worker *w, const struct place *p)
{
	if (S_ISDIR(p->st.st_mode) || p->st.st_nlink <= 1)
		created_remove(&w->watch->created, &p->st);
}

static int perform_unlink(struct worker *w, int fixed)
{
	struct place *p = &w->place[FIRST];
	if (p->magic)
		return -EPERM;
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	watch_forget_dir(w->watch, p);
	int r = emulate_result(unlinkat(p->parent_fd, p->leaf, flags));
	if (r == 0 && p->exists)
		lose_name(w, p);
	return r;
}

static int perform_mkdir(struct worker *w, int fixed)
{
	(void)fixed;
	struct place *p = &w->place[FIRST];
	if (p->magic || p->parent_fd < 0)
		return -EEXIST;
	int r = worker_umask(w);
	if (r == 0)
		r = emulate_result(
			mkdirat(p->parent_fd, p->leaf, (mode_t)emulate_number(w, ARG_MODE)));
	return r;
}

static int perform_mknod(struct worker *w, int fixed)
{
	(void)fixed;
	struct place *p = &w->place[FIRST];
	mode_t mode = (mode_t)emulate_number(w, ARG_MODE);
	/* The filter refused devices by register; a whiteout (char 0:0) must never come this way. */
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return -EPERM;
	if (p->magic || p->parent_fd < 0)
		return -EEXIST;
	int r = worker_umask(w);
	if (r == 0)
		r = emulate_result(mknodat(p->parent_fd, p->leaf, mode, 0));
	return r;
}

static int prepare_symlink(struct worker *w, int fixed)
{
	(void)fixed;
	int target = emulate_arg(w, ARG_TARGET, 0);
	ssize_t len = tracee_read_string(w->task->tid, w->n.notif.data.args[target],
					 w->path[SECOND], sizeof(w->path[SECOND]));
	if (len < 0)
		return (int)len;
	int r = emulate_resolve(w, FIRST, PLACE_NOFOLLOW);
	if (r < 0)
		return r;
	emulate_describe(w, FIRST);
	w->action.provenance = PROVENANCE_CREATED;
	/* The link's text is not a file that is touched: only reading through it is judged later. */
	return 0;
}

static int perform_symlink(struct worker *w, int fixed)
{
	(void)fixed;
	struct place *p = &w->place[FIRST];
	if (p->magic || p->parent_fd < 0)
		return -EEXIST;
	return emulate_result(symlinkat(w->path[SECOND], p->parent_fd, p->leaf));
}

static int prepare_pair(struct worker *w, int fixed)
{
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	enum place_flags first = PLACE_NOFOLLOW;
	if (w->row->op == OP_LINK) {
		if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
			return -EINVAL;
		first = (flags & AT_SYMLINK_FOLLOW ? PLACE_FOLLOW : 0) |
			(flags & AT_EMPTY_PATH ? PLACE_EMPTY_PATH : 0);
	}
	int r = emulate_resolve_pair(w, first, PLACE_NOFOLLOW);
	if (r < 0)
		return r;
	if (!w->place[FIRST].exists)
		return -ENOENT;
	emulate_describe(w, FIRST);
	w->action.resource2 = w->place[SECOND].path;
	/* "." and ".." are the kernel's to refuse */
	if (w->row->op == OP_RENAME && S_ISDIR(w->place[FIRST].st.st_mode) &&
	    strspn(w->place[FIRST].leaf, "./") != strlen(w->place[FIRST].leaf)) {
		r = reveal_check(w);
		if (r < 0)
			return r;
	}
	/* Moving onto a found file destroys that file: the graver of the two counts. */
	if (w->row->op == OP_RENAME && w->place[SECOND].exists &&
	    watch_provenance(w->watch, &w->place[SECOND]) != PROVENANCE_CREATED)
		w->action.provenance = watch_provenance(w->watch, &w->place[SECOND]);
	return 0;
}

static int perform_rename(struct worker *w, int fixed)
{
	(void)fixed;
	struct place *from = &w->place[FIRST], *to = &w->place[SECOND];
	unsigned flags = (unsigned)emulate_number(w, ARG_ATFLAGS);
	if (from->magic || to->magic || from->parent_fd < 0 || to->parent_fd < 0)
		return -EBUSY;
	if (flags & RENAME_WHITEOUT)
		return -EINVAL;
	watch_forget_dir(w->watch, from);
	watch_forget_dir(w->watch, to);
	int r = emulate_result(
		renameat2(from->parent_fd, from->leaf, to->parent_fd, to->leaf, flags));
	/* Rootless, the overlay can take two names of one file for two files, and trips over them. */
	if (r == -ESTALE && !(flags & RENAME_EXCHANGE) &&
	    capture_same_file(w->watch->capture, from, to))
		return 0; /* rename(2): then it does nothing */
	if (r == -EXDEV && S_ISDIR(from->st.st_mode) && !(flags & RENAME_EXCHANGE)) {
		origins_note_tree(&w->watch->origins, from->parent_fd, from->leaf, from->path);
		r = move_tree(from->parent_fd, from->leaf, to->parent_fd, to->leaf, flags);
	}
	if (r == 0 && to->exists && !(flags & RENAME_EXCHANGE) && to->st.st_ino != from->st.st_ino)
		lose_name(w, to);
	return r;
}

/*
 * Rootless, an overlay cannot decode where a copied-up file came from, so a new link to a
 * lower file shows another inode number than the old name did, and git takes that for a swapped file.
 * The name that was renamed keeps the number: so the file is moved to the new name and linked back.
 */
static int swap_names(const struct place *from, const struct place *to)
{
	if (unlinkat(to->parent_fd, to->leaf, 0) < 0 ||
	    renameat(from->parent_fd, from->leaf, to->parent_fd, to->leaf) < 0)
		return emulate_errno();
	if (linkat(to->parent_fd, to->leaf, from->parent_fd, from->leaf, 0) == 0)
		return 0;
	int r = emulate_errno();
	renameat(to->parent_fd, to->leaf, from->parent_fd, from->leaf);
	return r;
}

static int keep_number(const struct place *from, const struct place *to)
{
	struct stat st, dir;
	if (!S_ISREG(from->st.st_mode) ||
	    fstatat(to->parent_fd, to->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    st.st_ino == from->st.st_ino)
		return 0;
	if (fstat(from->parent_fd, &dir) < 0 || fstat(to->parent_fd, &st) < 0)
		return emulate_errno();
	int r = swap_names(from, to);
	/* a link touches the time of the directory it is made in, not of the one that has the old name */
	const struct timespec times[2] = { dir.st_atim, dir.st_mtim };
	if (st.st_ino != dir.st_ino || st.st_dev != dir.st_dev)
		utimensat(from->parent_fd, "", times, AT_EMPTY_PATH);
	return r;
}

static int perform_link(struct worker *w, int fixed)
{
	struct place *from = &w->place[FIRST], *to = &w->place[SECOND];
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	if (to->magic || to->parent_fd < 0)
		return -EEXIST;
	if (!from->magic) {
		int r = emulate_result(
			linkat(from->parent_fd, from->leaf, to->parent_fd, to->leaf, 0));
		return r == 0 ? keep_number(from, to) : r;
	}
	/* A descriptor's object has no name to link from; its /proc link does what the caller asked. */
	char name[16];
	snprintf(name, sizeof(name), "%d", from->object_fd);
	int r = emulate_result(linkat(AT_FDCWD, name, to->parent_fd, to->leaf, AT_SYMLINK_FOLLOW));
	/* made without a name (O_TMPFILE), which it gets now; of a file that has one this is but another */
	if (r == 0 && (flags & (AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)) && from->st.st_nlink == 0)
		created_add(&w->watch->created, &from->st);
	return r;
}

static const struct responder names[] = {
// clang-format off
#ifdef __NR_unlink
	[__NR_unlink]      = {prepare_name, perform_unlink, 0},
	[__NR_rmdir]       = {prepare_name, perform_unlink, AT_REMOVEDIR},
	[__NR_mkdir]       = {prepare_name, perform_mkdir, 0},
	[__NR_mknod]       = {prepare_name, perform_mknod, 0},
	[__NR_symlink]     = {prepare_symlink, perform_symlink, 0},
	[__NR_link]        = {prepare_pair, perform_link, 0},
	[__NR_rename]      = {prepare_pair, perform_rename, 0},
#endif
#ifdef __NR_renameat
	[__NR_renameat]    = {prepare_pair, perform_rename, 0},
#endif
	[__NR_unlinkat]    = {prepare_name, perform_unlink, 0},
	[__NR_mkdirat]     = {prepare_name, perform_mkdir, 0},
	[__NR_mknodat]     = {prepare_name, perform_mknod, 0},
	[__NR_symlinkat]   = {prepare_symlink, perform_symlink, 0},
	[__NR_linkat]      = {prepare_pair, perform_link, 0},
	[__NR_renameat2]   = {prepare_pair, perform_rename, 0},
	// clang-format on
};

const struct responder *emulate_names(size_t nr)
{
	return nr < sizeof(names) / sizeof(*names) && names[nr].prepare ? &names[nr] : NULL;
}
