/*
 * Calls that change names and attributes: resolved, judged and made here, on
 * pinned directories and objects. The program's own memory is never looked at twice.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/move.h"
#include "sandbox/fence.h"
#include "sandbox/outside.h"
#include "sandbox/reveal.h"
#include "sandbox/watch.h"

enum { FIRST, SECOND };

/* Reads the arguments, resolves the places, fills the action. 0, or the errno to answer. */
typedef int prepare_fn(struct worker *w, int fixed);
/* Makes the call. 0 or -errno. */
typedef int perform_fn(struct worker *w, int fixed);

/* The kernel says EOVERFLOW where a copy-up meets an owner outside the id map; nobody expects that. */
static int kernel_errno(void)
{
	return errno == EOVERFLOW ? -EACCES : -errno;
}

static int result_of(long r)
{
	return r < 0 ? kernel_errno() : 0;
}

/* Argument index of the @n-th argument of @kind; -1 none. The row knows, not the code. */
static int arg_of(const struct worker *w, enum arg kind, unsigned n)
{
	for (int i = 0; i < SYSCALL_ARGS; i++)
		if (w->row->args[i] == kind && n-- == 0)
			return i;
	return -1;
}

/* The directory that goes with path argument @path_arg: the argument before it, or the cwd. */
static int dirfd_for(const struct worker *w, int path_arg)
{
	if (path_arg > 0 && w->row->args[path_arg - 1] == ARG_DIRFD)
		return worker_int(w, (unsigned)path_arg - 1);
	return AT_FDCWD;
}

static int number_arg(const struct worker *w, enum arg kind)
{
	int i = arg_of(w, kind, 0);
	return i < 0 ? 0 : worker_int(w, (unsigned)i);
}

/* The path argument of which w->path[@which] is the copy. */
static int resolve_read(struct worker *w, unsigned which, enum place_flags flags)
{
	return place_resolve(&w->watch->env, w->task, dirfd_for(w, arg_of(w, ARG_PATH, which)),
			     w->path[which], flags, &w->place[which]);
}

static int resolve(struct worker *w, unsigned which, enum place_flags flags)
{
	int i = arg_of(w, ARG_PATH, which);
	if (i < 0)
		return -ENOSYS;
	int r = worker_path(w, (unsigned)i, which);
	return r < 0 ? r : resolve_read(w, which, flags);
}

/* Both paths of a call, before either is resolved, as the kernel takes them. */
static int read_paths(struct worker *w)
{
	const __u64 *args = w->n.notif.data.args;
	int first = arg_of(w, ARG_PATH, FIRST), second = arg_of(w, ARG_PATH, SECOND);
	if (first < 0 || second < 0)
		return -ENOSYS;
	const uint64_t addr[2] = { args[first], args[second] };
	char *const buf[2] = { w->path[FIRST], w->path[SECOND] };
	return tracee_read_strings(w->task->tid, addr, buf, sizeof(w->path[FIRST]));
}

static void describe(struct worker *w, unsigned which)
{
	const struct place *p = &w->place[which];
	w->action.provenance = watch_provenance(w->watch, p);
	w->action.resource = p->path;
	w->action.alias = *p->alias ? p->alias : NULL;
	w->action.size_bytes = p->exists && S_ISREG(p->st.st_mode) ? p->st.st_size : -1;
	w->action.mode = p->exists ? p->st.st_mode : 0;
}

/* unlink, rmdir, mkdir, mknod: a name, its last link not followed */
static int prepare_name(struct worker *w, int fixed)
{
	(void)fixed;
	int r = resolve(w, FIRST, PLACE_NOFOLLOW);
	if (r < 0)
		return r;
	describe(w, FIRST);
	if (w->row->op == OP_MKDIR || w->row->op == OP_MKNOD) {
		w->action.mode = (uint32_t)number_arg(w, ARG_MODE);
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
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	watch_forget_dir(w->watch, p);
	int r = result_of(unlinkat(p->parent_fd, p->leaf, flags));
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
		r = result_of(mkdirat(p->parent_fd, p->leaf, (mode_t)number_arg(w, ARG_MODE)));
	return r;
}

static int perform_mknod(struct worker *w, int fixed)
{
	(void)fixed;
	struct place *p = &w->place[FIRST];
	mode_t mode = (mode_t)number_arg(w, ARG_MODE);
	/* The filter refused devices by register; a whiteout (char 0:0) must never come this way. */
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return -EPERM;
	if (p->magic || p->parent_fd < 0)
		return -EEXIST;
	int r = worker_umask(w);
	if (r == 0)
		r = result_of(mknodat(p->parent_fd, p->leaf, mode, 0));
	return r;
}

static int prepare_symlink(struct worker *w, int fixed)
{
	(void)fixed;
	int target = arg_of(w, ARG_TARGET, 0);
	ssize_t len = tracee_read_string(w->task->tid, w->n.notif.data.args[target],
					 w->path[SECOND], sizeof(w->path[SECOND]));
	if (len < 0)
		return (int)len;
	int r = resolve(w, FIRST, PLACE_NOFOLLOW);
	if (r < 0)
		return r;
	describe(w, FIRST);
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
	return result_of(symlinkat(w->path[SECOND], p->parent_fd, p->leaf));
}

static int prepare_pair(struct worker *w, int fixed)
{
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	enum place_flags first = PLACE_NOFOLLOW;
	if (w->row->op == OP_LINK) {
		if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
			return -EINVAL;
		first = (flags & AT_SYMLINK_FOLLOW ? PLACE_FOLLOW : 0) |
			(flags & AT_EMPTY_PATH ? PLACE_EMPTY_PATH : 0);
	}
	int r = read_paths(w);
	if (r == 0)
		r = resolve_read(w, FIRST, first);
	if (r == 0)
		r = resolve_read(w, SECOND, PLACE_NOFOLLOW);
	if (r < 0)
		return r;
	if (!w->place[FIRST].exists)
		return -ENOENT;
	describe(w, FIRST);
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
	unsigned flags = (unsigned)number_arg(w, ARG_ATFLAGS);
	if (from->magic || to->magic || from->parent_fd < 0 || to->parent_fd < 0)
		return -EBUSY;
	if (flags & RENAME_WHITEOUT)
		return -EINVAL;
	watch_forget_dir(w->watch, from);
	watch_forget_dir(w->watch, to);
	int r = result_of(renameat2(from->parent_fd, from->leaf, to->parent_fd, to->leaf, flags));
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
		return kernel_errno();
	if (linkat(to->parent_fd, to->leaf, from->parent_fd, from->leaf, 0) == 0)
		return 0;
	int r = kernel_errno();
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
		return kernel_errno();
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
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	if (to->magic || to->parent_fd < 0)
		return -EEXIST;
	if (!from->magic) {
		int r = result_of(linkat(from->parent_fd, from->leaf, to->parent_fd, to->leaf, 0));
		return r == 0 ? keep_number(from, to) : r;
	}
	/* A descriptor's object has no name to link from; its /proc link does what the caller asked. */
	char name[16];
	snprintf(name, sizeof(name), "%d", from->object_fd);
	int r = result_of(linkat(AT_FDCWD, name, to->parent_fd, to->leaf, AT_SYMLINK_FOLLOW));
	/* made without a name (O_TMPFILE), which it gets now; of a file that has one this is but another */
	if (r == 0 && (flags & (AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)) && from->st.st_nlink == 0)
		created_add(&w->watch->created, &from->st);
	return r;
}

/* chmod, chown, utimes, xattrs, truncate: an object */
static int prepare_object(struct worker *w, int fixed)
{
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	enum place_flags how = PLACE_OBJECT;
	if (!(flags & AT_SYMLINK_NOFOLLOW))
		how |= PLACE_FOLLOW;
	if (flags & AT_EMPTY_PATH)
		how |= PLACE_EMPTY_PATH;
	int r = resolve(w, FIRST, how);
	if (r < 0)
		return r;
	if (!w->place[FIRST].exists)
		return -ENOENT;
	describe(w, FIRST);
	if (w->row->op == OP_CHMOD)
		w->action.mode = (uint32_t)number_arg(w, ARG_MODE);
	return 0;
}

/* The object of the caller's descriptor @number, which may be open for reading only. */
static int pin_descriptor(struct worker *w, int number)
{
	int flags = number == AT_FDCWD ? 0 : tracee_fd_flags(w->task, number);
	if (flags < 0 || (flags & O_PATH))
		return flags < 0 ? flags : -EBADF;
	int fd = tracee_dirfd(w->task, number);
	if (fd < 0)
		return fd;
	int r = place_from_fd(&w->watch->env, fd, &w->place[FIRST]);
	if (r < 0)
		return r;
	describe(w, FIRST);
	if (w->row->op == OP_CHMOD)
		w->action.mode = (uint32_t)number_arg(w, ARG_MODE);
	return 0;
}

/* fchmod, fchown, fsetxattr, fremovexattr */
static int prepare_descriptor(struct worker *w, int fixed)
{
	(void)fixed;
	int number = worker_int(w, 0);
	return number < 0 ? -EBADF : pin_descriptor(w, number);
}

static bool path_is_null(const struct worker *w)
{
	int i = arg_of(w, ARG_PATH, 0);
	return i >= 0 && w->n.notif.data.args[i] == 0;
}

/* setxattrat(2), removexattrat(2) */
static int prepare_object_at(struct worker *w, int fixed)
{
	int flags = number_arg(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH) && path_is_null(w))
		return pin_descriptor(w, worker_int(w, 0));
	return prepare_object(w, fixed);
}

/* The name of our pinned object in /proc/self/fd, which is every worker's directory. */
static void object_name(const struct worker *w, char name[static 16])
{
	snprintf(name, 16, "%d", w->place[FIRST].object_fd);
}

static int perform_chmod(struct worker *w, int fixed)
{
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (S_ISLNK(w->place[FIRST].st.st_mode))
		return -EOPNOTSUPP;
	char name[16];
	object_name(w, name);
	return result_of(fchmodat(AT_FDCWD, name, (mode_t)number_arg(w, ARG_MODE) & 07777, 0));
}

static int perform_chown(struct worker *w, int fixed)
{
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int r = result_of(fchownat(w->place[FIRST].object_fd, "", (uid_t)number_arg(w, ARG_UID),
				   (gid_t)number_arg(w, ARG_GID), AT_EMPTY_PATH));
	/* an owner outside the id map; where there is but one id, natively it is not permitted */
	return r == -EINVAL && w->watch->creds_fixed ? -EPERM : r;
}

static int perform_truncate(struct worker *w, int fixed)
{
	(void)fixed;
	char name[16];
	object_name(w, name);
	int i = arg_of(w, ARG_SIZE, 0);
	return result_of(truncate(name, (off_t)w->n.notif.data.args[i]));
}

/* Times in any of the four historical shapes, as two timespecs; NULL means now. */
static int read_times(struct worker *w, struct timespec ts[2], bool *ret_now)
{
	static const enum arg kinds[] = { ARG_TIMESPECS, ARG_TIMEVALS, ARG_UTIMBUF };
	struct timeval tv[2];
	struct utimbuf ub;
	for (unsigned k = 0; k < 3; k++) {
		int i = arg_of(w, kinds[k], 0);
		if (i < 0)
			continue;
		uint64_t addr = w->n.notif.data.args[i];
		*ret_now = addr == 0;
		if (addr == 0)
			return 0;
		if (kinds[k] == ARG_TIMESPECS)
			return tracee_read(w->task->tid, addr, ts, 2 * sizeof(*ts));
		if (kinds[k] == ARG_UTIMBUF) {
			int r = tracee_read(w->task->tid, addr, &ub, sizeof(ub));
			ts[0] = (struct timespec){ .tv_sec = ub.actime };
			ts[1] = (struct timespec){ .tv_sec = ub.modtime };
			return r;
		}
		int r = tracee_read(w->task->tid, addr, tv, sizeof(tv));
		for (unsigned j = 0; r == 0 && j < 2; j++) {
			if (tv[j].tv_usec < 0 || tv[j].tv_usec >= 1000000)
				return -EINVAL;
			ts[j] = (struct timespec){ .tv_sec = tv[j].tv_sec,
						   .tv_nsec = tv[j].tv_usec * 1000 };
		}
		return r;
	}
	return -ENOSYS;
}

static int prepare_utime(struct worker *w, int fixed)
{
	/* futimens: no path means the descriptor itself */
	if (!path_is_null(w) || dirfd_for(w, arg_of(w, ARG_PATH, 0)) == AT_FDCWD)
		return prepare_object(w, fixed);
	return number_arg(w, ARG_ATFLAGS) ? -EINVAL : prepare_descriptor(w, fixed);
}

static int perform_utime(struct worker *w, int fixed)
{
	int flags = fixed | number_arg(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	struct timespec ts[2];
	bool now = false;
	int r = read_times(w, ts, &now);
	if (r < 0)
		return r;
	return result_of(syscall(SYS_utimensat, w->place[FIRST].object_fd, "", now ? NULL : ts,
				 AT_EMPTY_PATH));
}

static int xattr_name(struct worker *w, char name[static XATTR_NAME_MAX + 2])
{
	int i = arg_of(w, ARG_XATTR_NAME, 0);
	ssize_t len =
		tracee_read_string(w->task->tid, w->n.notif.data.args[i], name, XATTR_NAME_MAX + 2);
	if (len == -ENAMETOOLONG || len == 0 || len > XATTR_NAME_MAX)
		return -ERANGE;
	if (len < 0)
		return (int)len;
	/* marks of the overlay and of the system are not the agent's to make */
	if (strncmp(name, "user.overlay.", 13) == 0 || strncmp(name, "trusted.", 8) == 0)
		return -EPERM;
	return 0;
}

static int perform_setxattr(struct worker *w, int fixed)
{
	(void)fixed;
	char name[XATTR_NAME_MAX + 2];
	int r = xattr_name(w, name);
	if (r < 0)
		return r;
	struct kernel_xattr_args args = { 0 };
	int at = arg_of(w, ARG_XATTR_ARGS, 0);
	if (at >= 0) { /* setxattrat: value, size and flags come in a structure */
		if (w->n.notif.data.args[at + 1] < sizeof(args))
			return -EINVAL;
		if (w->n.notif.data.args[at + 1] > sizeof(args))
			return -E2BIG;
		r = tracee_read(w->task->tid, w->n.notif.data.args[at], &args, sizeof(args));
		if (r < 0)
			return r;
	} else {
		int v = arg_of(w, ARG_XATTR_VALUE, 0);
		args.value = w->n.notif.data.args[v];
		uint64_t size = w->n.notif.data.args[v + 1];
		args.size = size > XATTR_SIZE_MAX ? XATTR_SIZE_MAX + 1 : (uint32_t)size;
		args.flags = (uint32_t)worker_int(w, (unsigned)v + 2);
	}
	if (args.size > XATTR_SIZE_MAX)
		return -E2BIG;
	cleanup_free char *value = malloc(args.size ? args.size : 1);
	if (!value)
		return -ENOMEM;
	r = tracee_read(w->task->tid, args.value, value, args.size);
	if (r < 0)
		return r;
	char object[16];
	object_name(w, object);
	return result_of(setxattr(object, name, value, args.size, (int)args.flags));
}

static int perform_removexattr(struct worker *w, int fixed)
{
	(void)fixed;
	char name[XATTR_NAME_MAX + 2], object[16];
	int r = xattr_name(w, name);
	if (r < 0)
		return r;
	object_name(w, object);
	return result_of(removexattr(object, name));
}

/* Who carries out which row, and the flags that an older form of a call implies. */
static const struct responder {
	prepare_fn *prepare;
	perform_fn *perform;
	int fixed;
} responders[] = {
// clang-format off
#ifdef __NR_unlink
	[__NR_unlink]      = {prepare_name, perform_unlink, 0},
	[__NR_rmdir]       = {prepare_name, perform_unlink, AT_REMOVEDIR},
	[__NR_mkdir]       = {prepare_name, perform_mkdir, 0},
	[__NR_mknod]       = {prepare_name, perform_mknod, 0},
	[__NR_symlink]     = {prepare_symlink, perform_symlink, 0},
	[__NR_link]        = {prepare_pair, perform_link, 0},
	[__NR_rename]      = {prepare_pair, perform_rename, 0},
	[__NR_chmod]       = {prepare_object, perform_chmod, 0},
	[__NR_chown]       = {prepare_object, perform_chown, 0},
	[__NR_lchown]      = {prepare_object, perform_chown, AT_SYMLINK_NOFOLLOW},
	[__NR_utime]       = {prepare_utime, perform_utime, 0},
	[__NR_utimes]      = {prepare_utime, perform_utime, 0},
	[__NR_futimesat]   = {prepare_utime, perform_utime, 0},
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
	[__NR_truncate]    = {prepare_object, perform_truncate, 0},
	[__NR_fchmod]      = {prepare_descriptor, perform_chmod, 0},
	[__NR_fchown]      = {prepare_descriptor, perform_chown, 0},
	[__NR_fremovexattr] = {prepare_descriptor, perform_removexattr, 0},
	[__NR_fchmodat]    = {prepare_object, perform_chmod, 0},
	[__NR_fchmodat2]   = {prepare_object, perform_chmod, 0},
	[__NR_fchownat]    = {prepare_object, perform_chown, 0},
	[__NR_utimensat]   = {prepare_utime, perform_utime, 0},
	[__NR_setxattr]    = {prepare_object, perform_setxattr, 0},
	[__NR_lsetxattr]   = {prepare_object, perform_setxattr, AT_SYMLINK_NOFOLLOW},
	[__NR_fsetxattr]   = {prepare_descriptor, perform_setxattr, 0},
	[__NR_setxattrat]  = {prepare_object_at, perform_setxattr, 0},
	[__NR_removexattr] = {prepare_object, perform_removexattr, 0},
	[__NR_lremovexattr] = {prepare_object, perform_removexattr, AT_SYMLINK_NOFOLLOW},
	[__NR_removexattrat] = {prepare_object_at, perform_removexattr, 0},
	// clang-format on
};

/*
 * What a rename takes from its place is gone from there: for a found file that is a deletion as well,
 * or a policy against deletions would be a policy against unlink(2) alone.
 */
static int judge_removal(struct worker *w)
{
	const struct place *from = &w->place[FIRST];
	struct action a = w->action;
	a.provenance = watch_provenance(w->watch, from);
	if (w->row->op != OP_RENAME || a.provenance == PROVENANCE_CREATED ||
	    ((unsigned)number_arg(w, ARG_ATFLAGS) & RENAME_EXCHANGE))
		return 0;
	a.type = ACTION_FILE_DELETE;
	a.op = OP_RENAME;
	return watch_decide_also(w, &a);
}

/* "." and "..", a slash behind or not: the kernel removes neither. */
static bool ends_in_dots(const char *path)
{
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	size_t start = len;
	while (start && path[start - 1] != '/')
		start--;
	len -= start;
	return (len == 1 || len == 2) && strncmp(path + start, "..", len) == 0;
}

/* Does the call take away, put in place or make a name that leads to our own directories? */
static bool is_fenced(const struct worker *w)
{
	const struct fence *f = w->watch->plan->box->fence;
	const struct place *first = &w->place[FIRST], *second = &w->place[SECOND];
	enum action_op op = w->row->op;
	bool makes = op == OP_MKDIR || op == OP_MKNOD || op == OP_SYMLINK;
	/* making one that is there is the kernel's to refuse */
	bool takes = op == OP_RENAME || (op == OP_DELETE && !ends_in_dots(w->path[0]));
	if (takes || (makes && !first->exists))
		if (fence_has(f, first->path))
			return true;
	return (op == OP_RENAME || (op == OP_LINK && !second->exists)) &&
	       fence_has(f, second->path);
}

/* An object that was not there before: mkdir, mknod, symlink. A link is a name more. */
static bool see_made(const struct worker *w, struct stat *ret)
{
	const struct place *p = &w->place[FIRST];
	return w->row->undo == UNDO_MAKE && w->row->op != OP_LINK &&
	       fstatat(p->parent_fd, p->leaf, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Can it take from somebody, or give, the way through a directory? By its mode, its owner or an access list. */
static bool op_closes(enum action_op op)
{
	return op == OP_CHMOD || op == OP_CHOWN || op == OP_XATTR;
}

static int emulate(struct worker *w, const struct responder *s)
{
	int r = s->prepare(w, s->fixed);
	if (r < 0)
		return r;
	w->action.type = w->row->type;
	w->action.op = w->row->op;
	if (w->row->undo == UNDO_META || w->row->undo == UNDO_CONTENT)
		r = outside_check(w, &w->place[FIRST],
				  w->row->undo == UNDO_META ? OUTSIDE_META : OUTSIDE_CONTENT);
	if (r < 0)
		return r;
	/* Everything was read by number: is it still the task that asked? */
	r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = judge_removal(w);
	/* a pipe, a memfd: the sandbox's own. Only a link would give such a thing a name. */
	bool names = w->row->op == OP_LINK || !w->place[FIRST].nameless;
	if (r == 0 && names)
		r = watch_decide(w);
	if (r < 0)
		return r;
	if (is_fenced(w)) {
		watch_done(w, -EBUSY);
		return -EBUSY;
	}
	if (names)
		watch_touch(w);
	r = capture_before(w);
	if (r == 0)
		r = creds_assume(w);
	/* who may go through a directory was found out for what is remembered behind it */
	if (op_closes(w->row->op) && S_ISDIR(w->place[FIRST].st.st_mode))
		dirs_forget_below(&w->watch->dirs, w->place[FIRST].path);
	if (r == 0)
		r = s->perform(w, s->fixed);
	creds_resume(w);
	struct stat st;
	bool made = r == 0 && see_made(w, &st);
	if (made)
		created_add(&w->watch->created, &st);
	capture_after(w, r, made ? &st : NULL);
	watch_done(w, r);
	return r;
}

void carry_emulate(struct worker *w)
{
	size_t nr = (size_t)w->n.notif.data.nr;
	const struct responder *s =
		nr < sizeof(responders) / sizeof(*responders) ? &responders[nr] : NULL;
	worker_answer(w, s && s->prepare ? emulate(w, s) : -ENOSYS);
}
