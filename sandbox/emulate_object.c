/* Calls that change an object: its mode, owner, times, attributes, size. It is pinned, whatever its names become. */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/emulate_private.h"

/* chmod, chown, utimes, xattrs, truncate: an object */
static int prepare_object(struct worker *w, int fixed)
{
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	enum place_flags how = PLACE_OBJECT;
	if (!(flags & AT_SYMLINK_NOFOLLOW))
		how |= PLACE_FOLLOW;
	if (flags & AT_EMPTY_PATH)
		how |= PLACE_EMPTY_PATH;
	int r = emulate_resolve(w, FIRST, how);
	if (r < 0)
		return r;
	if (!w->place[FIRST].exists)
		return -ENOENT;
	emulate_describe(w, FIRST);
	if (w->row->op == OP_CHMOD)
		w->action.mode = (uint32_t)emulate_number(w, ARG_MODE);
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
	emulate_describe(w, FIRST);
	if (w->row->op == OP_CHMOD)
		w->action.mode = (uint32_t)emulate_number(w, ARG_MODE);
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
	int i = emulate_arg(w, ARG_PATH, 0);
	return i >= 0 && w->n.notif.data.args[i] == 0;
}

/* setxattrat(2), removexattrat(2) */
static int prepare_object_at(struct worker *w, int fixed)
{
	int flags = emulate_number(w, ARG_ATFLAGS);
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
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (S_ISLNK(w->place[FIRST].st.st_mode))
		return -EOPNOTSUPP;
	char name[16];
	object_name(w, name);
	return emulate_result(
		fchmodat(AT_FDCWD, name, (mode_t)emulate_number(w, ARG_MODE) & 07777, 0));
}

static int perform_chown(struct worker *w, int fixed)
{
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int r = emulate_result(fchownat(w->place[FIRST].object_fd, "",
					(uid_t)emulate_number(w, ARG_UID),
					(gid_t)emulate_number(w, ARG_GID), AT_EMPTY_PATH));
	/* an owner outside the id map; where there is but one id, natively it is not permitted */
	return r == -EINVAL && w->watch->creds_fixed ? -EPERM : r;
}

static int perform_truncate(struct worker *w, int fixed)
{
	(void)fixed;
	char name[16];
	object_name(w, name);
	int i = emulate_arg(w, ARG_SIZE, 0);
	return emulate_result(truncate(name, (off_t)w->n.notif.data.args[i]));
}

/* Times in any of the four historical shapes, as two timespecs; NULL means now. */
static int read_times(struct worker *w, struct timespec ts[2], bool *ret_now)
{
	static const enum arg kinds[] = { ARG_TIMESPECS, ARG_TIMEVALS, ARG_UTIMBUF };
	struct timeval tv[2];
	struct utimbuf ub;
	for (unsigned k = 0; k < 3; k++) {
		int i = emulate_arg(w, kinds[k], 0);
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
	if (!path_is_null(w) || emulate_dirfd(w, emulate_arg(w, ARG_PATH, 0)) == AT_FDCWD)
		return prepare_object(w, fixed);
	return emulate_number(w, ARG_ATFLAGS) ? -EINVAL : prepare_descriptor(w, fixed);
}

static int perform_utime(struct worker *w, int fixed)
{
	int flags = fixed | emulate_number(w, ARG_ATFLAGS);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	struct timespec ts[2];
	bool now = false;
	int r = read_times(w, ts, &now);
	if (r < 0)
		return r;
	return emulate_result(syscall(SYS_utimensat, w->place[FIRST].object_fd, "", now ? NULL : ts,
				      AT_EMPTY_PATH));
}

static int xattr_name(struct worker *w, char name[static XATTR_NAME_MAX + 2])
{
	int i = emulate_arg(w, ARG_XATTR_NAME, 0);
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
	int at = emulate_arg(w, ARG_XATTR_ARGS, 0);
	if (at >= 0) { /* setxattrat: value, size and flags come in a structure */
		if (w->n.notif.data.args[at + 1] < sizeof(args))
			return -EINVAL;
		if (w->n.notif.data.args[at + 1] > sizeof(args))
			return -E2BIG;
		r = tracee_read(w->task->tid, w->n.notif.data.args[at], &args, sizeof(args));
		if (r < 0)
			return r;
	} else {
		int v = emulate_arg(w, ARG_XATTR_VALUE, 0);
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
	return emulate_result(setxattr(object, name, value, args.size, (int)args.flags));
}

static int perform_removexattr(struct worker *w, int fixed)
{
	(void)fixed;
	char name[XATTR_NAME_MAX + 2], object[16];
	int r = xattr_name(w, name);
	if (r < 0)
		return r;
	object_name(w, object);
	return emulate_result(removexattr(object, name));
}

static const struct responder objects[] = {
// clang-format off
#ifdef __NR_chmod
	[__NR_chmod]       = {prepare_object, perform_chmod, 0},
	[__NR_chown]       = {prepare_object, perform_chown, 0},
	[__NR_lchown]      = {prepare_object, perform_chown, AT_SYMLINK_NOFOLLOW},
	[__NR_utime]       = {prepare_utime, perform_utime, 0},
	[__NR_utimes]      = {prepare_utime, perform_utime, 0},
	[__NR_futimesat]   = {prepare_utime, perform_utime, 0},
#endif
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

const struct responder *emulate_object(size_t nr)
{
	return nr < sizeof(objects) / sizeof(*objects) && objects[nr].prepare ? &objects[nr] : NULL;
}
