#include "rootfs/unpack_late.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/linkhash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scope.h"
#include "rootfs/unpack_place.h"

struct unpack_late unpack_late_of(const struct unpack_plan *plan, struct archive_entry *e,
				  mode_t mode)
{
	struct unpack_late l = { .mode = mode,
				 .uid = (uid_t)-1,
				 .gid = (gid_t)-1,
				 .times = { { .tv_nsec = UTIME_OMIT },
					    { .tv_nsec = UTIME_OMIT } } };
	if (plan->owners) {
		l.uid = (uid_t)archive_entry_uid(e);
		l.gid = (gid_t)archive_entry_gid(e);
	}
	if (archive_entry_mtime_is_set(e)) {
		l.times[1] =
			(struct timespec){ archive_entry_mtime(e), archive_entry_mtime_nsec(e) };
		l.times[0] = l.times[1];
	}
	return l;
}

/* Owner before mode: giving a file away strips its setuid bits. */
int unpack_late_apply(int dirfd, const char *leaf, const struct unpack_late *l)
{
	if (l->uid != (uid_t)-1 && fchownat(dirfd, leaf, l->uid, l->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (l->mode != UNPACK_NO_MODE && fchmodat(dirfd, leaf, l->mode, 0) < 0)
		return -errno;
	if (utimensat(dirfd, leaf, l->times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int unpack_late_note(struct lh_table *directories, const char *path, const struct unpack_late *late)
{
	struct unpack_late *l = malloc(sizeof(*l));
	char *key = strdup(path);
	struct lh_entry *old = lh_table_lookup_entry(directories, path);
	if (old)
		lh_table_delete_entry(directories, old);
	if (l)
		*l = *late;
	if (l && key && lh_table_insert(directories, key, l) == 0)
		return 0;
	free(key);
	free(l);
	return -ENOMEM;
}

/* The directory itself, not what a later layer put in its place. Owned fd, -errno. */
static int open_made(const struct unpack_plan *plan, const char *path)
{
	const char *rest = "";
	const struct unpack_place *p = unpack_place_of(plan, path, &rest);
	if (!p)
		return -ENOENT;
	const char *slash = strrchr(rest, '/');
	cleanup_fd int parent = unpack_place_dir(plan, p->dirfd, rest,
						 slash ? (size_t)(slash - rest) : 0, UNPACK_LEAVE);
	if (parent < 0)
		return parent;
	return unpack_place_open(plan, parent,
				 !*rest  ? "."
				 : slash ? slash + 1
					 : rest,
				 O_PATH | O_NOFOLLOW);
}

static int finish_directory(int fd, const struct unpack_late *l)
{
	char own[64];
	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	if (l->uid != (uid_t)-1 && chown(own, l->uid, l->gid) < 0)
		return -errno;
	if (chmod(own, l->mode) < 0 || utimensat(AT_FDCWD, own, l->times, 0) < 0)
		return -errno;
	return 0;
}

/* Children before parents: one without permissions would not let us in any more. */
static int deepest_first(const void *a, const void *b)
{
	struct lh_entry *const *x = a, *const *y = b;
	return strcmp(lh_entry_k(*y), lh_entry_k(*x));
}

int unpack_late_finish(const struct unpack_plan *plan, struct lh_table *directories,
		       struct err *err)
{
	size_t count = 0;
	cleanup_free struct lh_entry **list =
		calloc((size_t)lh_table_length(directories) + 1, sizeof(*list));
	if (!list)
		return err_sys(err, ENOMEM, "cannot unpack");
	for (struct lh_entry *e = directories->head; e; e = e->next)
		list[count++] = e;
	qsort(list, count, sizeof(*list), deepest_first);
	for (size_t i = 0; i < count; i++) {
		cleanup_fd int fd = open_made(plan, lh_entry_k(list[i]));
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue; /* a later layer replaced it */
		int rc = fd < 0 ? fd : finish_directory(fd, lh_entry_v(list[i]));
		if (rc < 0)
			return err_sys(err, -rc, "cannot finish the directory %.200s",
				       (const char *)lh_entry_k(list[i]));
	}
	return 0;
}
