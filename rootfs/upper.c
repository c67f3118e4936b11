#include "rootfs/upper.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/origin.h"

enum {
	WALK_PATH_MAX = 65536, /* an agent can nest deeper than PATH_MAX */
	COMPARE_BYTES = 65536,
};

struct walk {
	int (*visit)(const struct change *c, void *arg);
	void *arg;
	struct err *err;
	const struct origin_table *origins; /* borrowed; NULL none */
	bool rootful;
	bool names; /* upper_walk_names */
	uid_t uid;
	char *path; /* of what is being looked at, as inside; owned, WALK_PATH_MAX */
	size_t len;
	unsigned layer;
};

void upper_names_finish(struct upper_names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->items[i]);
	free(n->items);
}
#define cleanup_names __attribute__((cleanup(upper_names_finish)))

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int upper_names_read(int dirfd, struct upper_names *ret)
{
	cleanup_dir DIR *d = fd_opendir(dirfd, ".", 0);
	if (!d)
		return -errno;
	size_t room = 0;
	const struct dirent *e;
	while ((errno = 0, e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (ret->count == room) {
			room = room ? room * 2 : 32;
			char **grown = reallocarray(ret->items, room, sizeof(*grown));
			if (!grown)
				return -ENOMEM;
			ret->items = grown;
		}
		ret->items[ret->count] = strdup(e->d_name);
		if (!ret->items[ret->count++])
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(ret->items[0]), compare_names);
	return 0;
}

/* Appends "/name" to the path; the caller sets w->len back. */
static int push(struct walk *w, const char *name)
{
	size_t n = strlen(name);
	if (w->len + n + 2 > WALK_PATH_MAX)
		return err_set(w->err, ENAMETOOLONG, "diff: a path below %.200s is too long",
			       w->path);
	w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, n + 1);
	w->len += n;
	return 0;
}

static int tell(struct walk *w, enum change_kind kind, const struct stat *upper,
		const struct stat *lower, bool content)
{
	struct change c = { .kind = kind,
			    .path = w->path,
			    .layer = w->layer,
			    .upper = upper,
			    .lower = lower,
			    .content = content };
	return w->visit(&c, w->arg);
}

static int tell_same(struct walk *w, const struct stat *upper, const struct stat *lower)
{
	struct change c = { .kind = CHANGE_MODIFIED,
			    .path = w->path,
			    .layer = w->layer,
			    .upper = upper,
			    .lower = lower,
			    .same = true };
	return w->visit(&c, w->arg);
}

/* The name of a descriptor for the calls that have no *at form. */
static void fd_path(int dirfd, const char *name, char *ret, size_t size)
{
	snprintf(ret, size, "/proc/self/fd/%d/%s", dirfd, name);
}

static bool has_mark(int dirfd, const char *name, const char *const keys[2], const char *value)
{
	char path[NAME_MAX + 64], text[8];
	fd_path(dirfd, name, path, sizeof(path));
	for (unsigned i = 0; i < 2; i++) {
		ssize_t n = lgetxattr(path, keys[i], text, value ? sizeof(text) : 0);
		if (n >= 0 && (!value || (n == (ssize_t)strlen(value) &&
					  memcmp(text, value, (size_t)n) == 0)))
			return true;
	}
	return false;
}

bool upper_is_whiteout(int dirfd, const char *name, const struct stat *st)
{
	static const char *const keys[2] = { "user.overlay.whiteout", "trusted.overlay.whiteout" };
	if (S_ISCHR(st->st_mode))
		return st->st_rdev == makedev(0, 0);
	return S_ISREG(st->st_mode) && st->st_size == 0 && has_mark(dirfd, name, keys, NULL);
}

bool upper_is_opaque(int dirfd, const char *name)
{
	static const char *const keys[2] = { "user.overlay.opaque", "trusted.overlay.opaque" };
	return has_mark(dirfd, name, keys, "y");
}

bool upper_is_copied(int dirfd, const char *name)
{
	static const char *const keys[2] = { "user.overlay.origin", "trusted.overlay.origin" };
	return has_mark(dirfd, name, keys, NULL);
}

bool upper_is_overlay_xattr(const char *name)
{
	return strncmp(name, "user.overlay.", 13) == 0 ||
	       strncmp(name, "trusted.overlay.", 16) == 0;
}

/* Every attribute of @a, but overlayfs's own, is there with the same value in @b. */
static bool xattrs_within(const char *a, const char *b)
{
	cleanup_free char *list = malloc(XATTR_LIST_MAX);
	cleanup_free char *value_a = malloc(XATTR_SIZE_MAX);
	cleanup_free char *value_b = malloc(XATTR_SIZE_MAX);
	if (!list || !value_a || !value_b)
		return false;
	ssize_t len = llistxattr(a, list, XATTR_LIST_MAX);
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1) {
		if (upper_is_overlay_xattr(list + at))
			continue;
		ssize_t n = lgetxattr(a, list + at, value_a, XATTR_SIZE_MAX);
		ssize_t m = lgetxattr(b, list + at, value_b, XATTR_SIZE_MAX);
		if (n != m || (n > 0 && memcmp(value_a, value_b, (size_t)n) != 0))
			return false;
	}
	return true;
}

static bool same_xattrs(int upper_dir, int lower_dir, const char *name)
{
	char upper[NAME_MAX + 64], lower[NAME_MAX + 64];
	fd_path(upper_dir, name, upper, sizeof(upper));
	fd_path(lower_dir, name, lower, sizeof(lower));
	/* mostly there are none: two calls and no memory */
	if (llistxattr(upper, NULL, 0) <= 0 && llistxattr(lower, NULL, 0) <= 0)
		return true;
	return xattrs_within(upper, lower) && xattrs_within(lower, upper);
}

/* A directory's time changes with its entries, which are told one by one. */
static bool same_meta(const struct walk *w, const struct stat *u, const struct stat *l)
{
	/* rootless, the skeleton and the roots of layers are ours whoever owned the original */
	if (!w->rootful && S_ISDIR(u->st_mode) && l->st_uid != w->uid)
		return true;
	if (u->st_mode != l->st_mode || u->st_uid != l->st_uid || u->st_gid != l->st_gid)
		return false;
	return S_ISDIR(u->st_mode) ||
	       (u->st_mtim.tv_sec == l->st_mtim.tv_sec && u->st_mtim.tv_nsec == l->st_mtim.tv_nsec);
}

/* Unreadable counts as different: the safe side. */
static bool same_bytes(int upper_dir, int lower_dir, const char *name)
{
	cleanup_fd int u = openat(upper_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_fd int l = openat(lower_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_free char *a = malloc(COMPARE_BYTES);
	cleanup_free char *b = malloc(COMPARE_BYTES);
	if (u < 0 || l < 0 || !a || !b)
		return false;
	for (;;) {
		ssize_t n = fd_read_all(u, a, COMPARE_BYTES);
		ssize_t m = fd_read_all(l, b, COMPARE_BYTES);
		if (n < 0 || n != m || memcmp(a, b, (size_t)n) != 0)
			return false;
		if (n == 0)
			return true;
	}
}

static bool same_content(int upper_dir, int lower_dir, const char *name, const struct stat *u,
			 const struct stat *l)
{
	if ((u->st_mode & S_IFMT) != (l->st_mode & S_IFMT))
		return false;
	if (S_ISREG(u->st_mode))
		return u->st_size == l->st_size && same_bytes(upper_dir, lower_dir, name);
	if (S_ISLNK(u->st_mode)) {
		char a[PATH_MAX], b[PATH_MAX];
		ssize_t n = readlinkat(upper_dir, name, a, sizeof(a));
		ssize_t m = readlinkat(lower_dir, name, b, sizeof(b));
		return n >= 0 && n == m && memcmp(a, b, (size_t)n) == 0;
	}
	return u->st_rdev == l->st_rdev;
}

int upper_open_dir(int dirfd, const char *name, bool *ret_restore)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	*ret_restore = false;
	if (faccessat(dirfd, name, R_OK | X_OK, AT_EACCESS) < 0 && errno == EACCES)
		*ret_restore = fchmodat(dirfd, name, 0700, 0) == 0;
	int fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

/* Everything at and below a name that only the lower has: gone. */
static int walk_deleted(struct walk *w, int lower_dir, const char *name)
{
	struct stat st;
	if (fstatat(lower_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(w->err, errno, "diff: %.300s", w->path);
	int rc = tell(w, CHANGE_DELETED, NULL, &st, true);
	if (rc != 0 || !S_ISDIR(st.st_mode))
		return rc;
	cleanup_fd int dir =
		openat(lower_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == EACCES ? 0 : err_sys(w->err, errno, "diff: %.300s", w->path);
	cleanup_names struct upper_names names = { 0 };
	rc = upper_names_read(dir, &names);
	if (rc < 0)
		return err_sys(w->err, -rc, "diff: cannot list %.300s", w->path);
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		size_t len = w->len;
		rc = push(w, names.items[i]);
		if (rc == 0)
			rc = walk_deleted(w, dir, names.items[i]);
		w->path[w->len = len] = '\0';
	}
	return rc;
}

static int walk_directory(struct walk *w, int upper, int lower, bool opaque);

/* One name of an upper. @lower_dir -1: there is no directory below. */
static int walk_entry(struct walk *w, int upper_dir, int lower_dir, const char *name)
{
	struct stat u, l;
	if (fstatat(upper_dir, name, &u, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(w->err, errno, "diff: %.300s", w->path);
	bool found = lower_dir >= 0 && fstatat(lower_dir, name, &l, AT_SYMLINK_NOFOLLOW) == 0;
	if (upper_is_whiteout(upper_dir, name, &u))
		return found ? walk_deleted(w, lower_dir, name) : 0;
	int rc = 0;
	if (!found) {
		rc = tell(w, CHANGE_ADDED, &u, NULL, true);
	} else if (S_ISDIR(u.st_mode) && S_ISDIR(l.st_mode)) {
		if (!same_meta(w, &u, &l) || !same_xattrs(upper_dir, lower_dir, name))
			rc = tell(w, CHANGE_MODIFIED, &u, &l, false);
	} else {
		bool content = !same_content(upper_dir, lower_dir, name, &u, &l);
		/*
		 * One of several names of a file now: it is to be so on the host as well. More names there are
		 * none of the session's: a pre-image of another one is kept by such.
		 */
		bool linked = S_ISREG(u.st_mode) && u.st_nlink > l.st_nlink;
		if (content || linked || !same_meta(w, &u, &l) ||
		    !same_xattrs(upper_dir, lower_dir, name))
			rc = tell(w, CHANGE_MODIFIED, &u, &l, content);
		else if (w->names && S_ISREG(u.st_mode) && u.st_nlink > 1)
			rc = tell_same(w, &u, &l);
		/* a directory that became a file took what was in it along */
		if (rc == 0 && S_ISDIR(l.st_mode)) {
			cleanup_fd int gone = openat(
				lower_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			cleanup_names struct upper_names names = { 0 };
			rc = gone < 0 ? 0 : upper_names_read(gone, &names);
			for (size_t i = 0; rc == 0 && i < names.count; i++) {
				size_t len = w->len;
				rc = push(w, names.items[i]);
				if (rc == 0)
					rc = walk_deleted(w, gone, names.items[i]);
				w->path[w->len = len] = '\0';
			}
		}
	}
	if (rc != 0 || !S_ISDIR(u.st_mode))
		return rc;
	bool restore;
	cleanup_fd int upper = upper_open_dir(upper_dir, name, &restore);
	if (upper < 0)
		return err_sys(w->err, -upper, "diff: cannot open %.300s", w->path);
	cleanup_fd int lower =
		found && S_ISDIR(l.st_mode)
			? openat(lower_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
			: -1;
	rc = walk_directory(w, upper, lower, upper_is_opaque(upper_dir, name));
	if (restore && fchmod(upper, u.st_mode & 07777) < 0 && rc == 0)
		rc = err_sys(w->err, errno, "diff: cannot give %.300s its mode back", w->path);
	return rc;
}

/* Both halves of one directory, in the order of names. */
static int walk_directory(struct walk *w, int upper, int lower, bool opaque)
{
	cleanup_names struct upper_names above = { 0 };
	cleanup_names struct upper_names below = { 0 };
	int rc = upper_names_read(upper, &above);
	/* an opaque directory hides all that is below it, without whiteouts; else the lower is not listed */
	if (rc == 0 && opaque && lower >= 0)
		rc = upper_names_read(lower, &below);
	if (rc < 0)
		return err_sys(w->err, -rc, "diff: cannot list %.300s", w->path);
	size_t i = 0, j = 0;
	while (rc == 0 && (i < above.count || j < below.count)) {
		int order = i == above.count   ? 1
			    : j == below.count ? -1
					       : strcmp(above.items[i], below.items[j]);
		const char *name = order <= 0 ? above.items[i] : below.items[j];
		size_t len = w->len;
		rc = push(w, name);
		if (rc == 0 && order <= 0)
			rc = walk_entry(w, upper, lower, name);
		else if (rc == 0 && !(w->origins && origin_unseen(w->origins, w->path, len)))
			rc = walk_deleted(w, lower, name);
		w->path[w->len = len] = '\0';
		i += order <= 0;
		j += order >= 0;
	}
	return rc;
}

static int walk(const struct overlay *o, const struct walk *given)
{
	struct err *err = given->err;
	cleanup_free char *path = calloc(1, WALK_PATH_MAX);
	if (!path)
		return err_sys(err, ENOMEM, "diff");
	struct walk w = *given;
	w.origins = o->origins;
	w.rootful = o->rootful;
	w.uid = geteuid();
	w.path = path;
	int rc = 0;
	for (unsigned i = 0; rc == 0 && i < o->count; i++) {
		const struct overlay_layer *l = &o->layers[i];
		if (l->upper_fd < 0)
			continue;
		/* its root has the mode that the caller has natively: he may have no right to list it */
		struct stat root;
		bool restore = false;
		cleanup_fd int upper = fstat(l->upper_fd, &root) < 0
					       ? -errno
					       : upper_open_dir(l->upper_fd, ".", &restore);
		cleanup_fd int lower = open(l->lower, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (upper < 0)
			return err_sys(err, -upper, "diff: cannot open the layer of %s", l->mount);
		w.len = strlen(l->mount);
		if (w.len == 1)
			w.len = 0;
		memcpy(path, l->mount, w.len);
		w.layer = i;
		path[w.len] = '\0';
		rc = walk_directory(&w, upper, lower, false);
		if (restore && fchmod(upper, root.st_mode & 07777) < 0 && rc == 0)
			rc = err_sys(err, errno, "diff: cannot give the layer of %s its mode back",
				     l->mount);
	}
	return rc;
}

int upper_walk(const struct overlay *o, int (*visit)(const struct change *c, void *arg), void *arg,
	       struct err *err)
{
	return walk(o, &(struct walk){ .visit = visit, .arg = arg, .err = err });
}

int upper_walk_names(const struct overlay *o, int (*visit)(const struct change *c, void *arg),
		     void *arg, struct err *err)
{
	return walk(o, &(struct walk){ .visit = visit, .arg = arg, .err = err, .names = true });
}
