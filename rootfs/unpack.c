#include "rootfs/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/linkhash.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/buf.h"
#include "base/scope.h"
#include "rootfs/remove.h"
#include "rootfs/upper.h"

enum { PROGRESS_EVERY = 256, TABLE_START = 1024 };

/* What a directory gets when all is there. */
struct late {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec times[2];
};

struct unpack {
	struct unpack_plan plan;
	struct lh_table *directories; /* clean path -> struct late; owned */
	struct lh_table *made;        /* clean paths of this archive, to see a name twice; owned */
	int parent;                   /* of the last entry; owned, -1 none */
	char *parent_path;            /* its clean path; owned */
	char *path;                   /* of the entry at hand; owned, limits.path_len + 1 */
	uint64_t seen;                /* entries of all passes, for the limit */
	struct unpack_counts counts;
};

int unpack_clean_path(const char *path, const struct unpack_limits *limits, char *ret, size_t size,
		      struct err *err)
{
	size_t len = 0;
	unsigned depth = 0;
	if (path[0] == '/')
		return err_set(err, EBADMSG, "its name is absolute");
	for (const char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		if (n == 2 && at[0] == '.' && at[1] == '.')
			return err_set(err, EBADMSG, "its name has '..' in it");
		if (n > NAME_MAX)
			return err_set(err, EBADMSG, "a name in it is longer than %d bytes",
				       NAME_MAX);
		if (n > 0 && !(n == 1 && at[0] == '.')) {
			if (len + n + 2 > size || len + n + 1 > limits->path_len)
				return err_set(err, EBADMSG, "its name is longer than %zu bytes",
					       limits->path_len);
			if (++depth > limits->depth)
				return err_set(err, EBADMSG, "it lies deeper than %u directories",
					       limits->depth);
			if (len)
				ret[len++] = '/';
			memcpy(ret + len, at, n);
			len += n;
		}
		at += n;
		at += *at == '/';
	}
	ret[len] = '\0';
	return 0;
}

enum unpack_name unpack_name_of(const char *leaf, const char **ret)
{
	const size_t escape = sizeof(UNPACK_NAME_ESCAPE) - 1;
	*ret = leaf;
	if (strncmp(leaf, UNPACK_NAME_ESCAPE, escape) == 0) {
		*ret = leaf + escape;
		return UNPACK_NAME_PLAIN;
	}
	if (strncmp(leaf, ".wh.", 4) != 0)
		return UNPACK_NAME_PLAIN;
	*ret = leaf + 4;
	if (strcmp(leaf, ".wh..wh..opq") == 0)
		return UNPACK_NAME_OPAQUE;
	if (!leaf[4] || strcmp(leaf + 4, ".") == 0 || strcmp(leaf + 4, "..") == 0 ||
	    strncmp(leaf + 4, ".wh.", 4) == 0)
		return UNPACK_NAME_BAD;
	return UNPACK_NAME_WHITEOUT;
}

int unpack_real_path(enum unpack_kind kind, char *path, enum unpack_name *ret, struct err *err)
{
	char *out = path;
	for (char *at = path; *at;) {
		size_t n = strcspn(at, "/");
		bool last = !at[n];
		char name[NAME_MAX + 1];
		const char *real;
		memcpy(name, at, n);
		name[n] = '\0';
		enum unpack_name what = unpack_name_of(name, &real);
		/* foreign names mean what they say, but for the last one's mark */
		if (what == UNPACK_NAME_PLAIN && kind != UNPACK_UPPER)
			real = name;
		if (what == UNPACK_NAME_BAD ||
		    (kind == UNPACK_UPPER && !last && what != UNPACK_NAME_PLAIN))
			return err_set(err, EBADMSG, "it is a whiteout of nothing");
		/* what stood behind the escape was not seen by unpack_clean_path */
		if (!*real || strcmp(real, ".") == 0 || strcmp(real, "..") == 0)
			return err_set(err, EBADMSG, "it is an escaped name of no file");
		if (!last && what != UNPACK_NAME_PLAIN)
			real = name;
		if (last)
			*ret = what;
		size_t len = strlen(real);
		at += n + !last;
		memmove(out, real, len);
		out += len;
		if (!last)
			*out++ = '/';
	}
	*out = '\0';
	return 0;
}

static void free_key(struct lh_entry *e)
{
	union {
		const void *in;
		void *out;
	} key = { .in = lh_entry_k(e) };
	free(key.out);
	free(lh_entry_v(e));
}

int unpack_new(const struct unpack_plan *plan, struct unpack **ret, struct err *err)
{
	struct unpack *u = calloc(1, sizeof(*u));
	if (!u)
		return err_sys(err, ENOMEM, "cannot unpack");
	u->plan = *plan;
	u->parent = -1;
	u->directories = lh_kchar_table_new(TABLE_START, free_key);
	u->made = lh_kchar_table_new(TABLE_START, free_key);
	u->path = malloc(plan->limits.path_len + 1);
	u->parent_path = malloc(plan->limits.path_len + 1);
	if (!u->directories || !u->made || !u->path || !u->parent_path) {
		unpack_free(u);
		return err_sys(err, ENOMEM, "cannot unpack");
	}
	*ret = u;
	return 0;
}

void unpack_free(struct unpack *u)
{
	if (!u)
		return;
	if (u->directories)
		lh_table_free(u->directories);
	if (u->made)
		lh_table_free(u->made);
	scope_close(&u->parent);
	free(u->parent_path);
	free(u->path);
	free(u);
}

const struct unpack_counts *unpack_counted(const struct unpack *u)
{
	return &u->counts;
}

/* @path is @prefix or below it; what is left of it. NULL it is not. */
static const char *within(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	if (!len)
		return path;
	if (strncmp(path, prefix, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path + len + (path[len] == '/');
}

static const struct unpack_place *place_of(const struct unpack *u, const char *path,
					   const char **ret_rest)
{
	const struct unpack_place *found = NULL;
	for (unsigned i = 0; i < u->plan.place_count; i++) {
		const struct unpack_place *p = &u->plan.places[i];
		const char *rest = within(path, p->prefix);
		if (!rest || (found && strlen(p->prefix) < strlen(found->prefix)))
			continue;
		found = p;
		*ret_rest = rest;
	}
	return found;
}

/* Owned fd of a directory beneath @dirfd. Links are followed only in images, and only inside. */
static int open_beneath(const struct unpack *u, int dirfd, const char *name, uint64_t flags)
{
	struct open_how how = {
		.flags = O_DIRECTORY | O_CLOEXEC | flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
			   (u->plan.kind == UNPACK_IMAGE ? 0 : RESOLVE_NO_SYMLINKS),
	};
	int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* The parent of @rest below a place, made where it is missing. Owned fd, -errno. */
static int open_parents(const struct unpack *u, int dirfd, const char *rest, size_t len, bool make)
{
	char part[PATH_MAX];
	cleanup_fd int at = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	if (len == 0)
		return take_fd(&at);
	if (len < sizeof(part)) {
		memcpy(part, rest, len);
		part[len] = '\0';
		int fd = open_beneath(u, at, part, O_PATH);
		if (fd >= 0 || fd != -ENOENT || !make)
			return fd;
	}
	/* step by step: something is missing, or the whole is longer than a path may be */
	for (size_t from = 0; from < len;) {
		size_t n = strcspn(rest + from, "/");
		if (from + n > len)
			n = len - from;
		memcpy(part, rest + from, n);
		part[n] = '\0';
		if (make && mkdirat(at, part, 0755) < 0 && errno != EEXIST)
			return -errno;
		int fd = open_beneath(u, at, part, O_PATH);
		if (fd < 0)
			return fd;
		close(at);
		at = fd;
		from += n + 1;
	}
	return take_fd(&at);
}

/* How a failure to reach a parent reads. */
static int parent_failed(int rc, struct err *err)
{
	if (rc == -EXDEV)
		return err_set(err, EBADMSG, "its directory is a link that leaves the root");
	if (rc == -ELOOP)
		return err_set(err, EBADMSG, "its directory is reached through a link");
	if (rc == -ENOTDIR)
		return err_set(err, EBADMSG, "what should be its directory is none");
	return err_sys(err, -rc, "cannot open its directory");
}

/*
 * The directory of u->path, and its last name. The last one used is kept: entries of a directory
 * follow each other. Borrowed fd, -errno; a plain -ENOENT when it is not there and not to be made.
 */
static int parent_of(struct unpack *u, bool make, const char **ret_leaf, struct err *err)
{
	const char *slash = strrchr(u->path, '/');
	size_t len = slash ? (size_t)(slash - u->path) : 0;
	*ret_leaf = slash ? slash + 1 : u->path;
	if (u->parent >= 0 && strlen(u->parent_path) == len &&
	    memcmp(u->parent_path, u->path, len) == 0)
		return u->parent;
	scope_close(&u->parent);
	u->parent = -1;
	memcpy(u->parent_path, u->path, len);
	u->parent_path[len] = '\0';
	const char *rest = "";
	const struct unpack_place *p = place_of(u, u->parent_path, &rest);
	if (!p)
		return err_set(err, EBADMSG, "no layer of the session holds its directory");
	int fd = open_parents(u, p->dirfd, rest, strlen(rest), make);
	if (fd == -ENOENT && !make)
		return -ENOENT;
	if (fd < 0)
		return parent_failed(fd, err);
	u->parent = fd;
	return fd;
}

static void forget_parent(struct unpack *u)
{
	scope_close(&u->parent);
	u->parent = -1;
}

static struct late late_of(const struct unpack *u, struct archive_entry *e, mode_t mode)
{
	struct late l = { .mode = mode,
			  .uid = (uid_t)-1,
			  .gid = (gid_t)-1,
			  .times = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } } };
	if (u->plan.owners) {
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
static int apply_late(int dirfd, const char *leaf, const struct late *l, bool is_link)
{
	if (l->uid != (uid_t)-1 && fchownat(dirfd, leaf, l->uid, l->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!is_link && fchmodat(dirfd, leaf, l->mode, 0) < 0)
		return -errno;
	if (utimensat(dirfd, leaf, l->times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

/* The attributes that may be given; the others are counted, overlayfs's own refused. */
static int copy_attributes(struct unpack *u, struct archive_entry *e, int dirfd, const char *leaf,
			   struct err *err)
{
	const char *name;
	const void *value;
	size_t size;
	char path[NAME_MAX + 64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, leaf);
	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
		if (!name)
			return err_set(err, EBADMSG, "an attribute of it has no name");
		if (upper_is_overlay_xattr(name))
			return err_set(err, EBADMSG,
				       "it carries %.100s, by which overlayfs would be deceived",
				       name);
		if (u->plan.kind != UNPACK_UPPER && strncmp(name, "user.", 5) != 0) {
			u->counts.attributes++;
			continue;
		}
		if (lsetxattr(path, name, value, size, 0) < 0) {
			if (u->plan.kind == UNPACK_UPPER)
				return err_sys(err, errno, "cannot set its attribute %.100s", name);
			u->counts.attributes++;
		}
	}
	return 0;
}

static int write_data(struct unpack *u, struct archive *a, int fd, int64_t size, struct err *err)
{
	const void *bytes;
	size_t len;
	la_int64_t offset = 0, end = 0;
	int r;
	while ((r = archive_read_data_block(a, &bytes, &len, &offset)) == ARCHIVE_OK) {
		if (offset < end || offset + (la_int64_t)len > size)
			return err_set(err, EBADMSG, "its data are longer than it says");
		end = offset + (la_int64_t)len;
		for (size_t done = 0; done < len;) {
			ssize_t n = pwrite(fd, (const char *)bytes + done, len - done,
					   offset + (off_t)done);
			if (n < 0 && errno != EINTR)
				return err_sys(err, errno, "cannot write it");
			done += n > 0 ? (size_t)n : 0;
		}
	}
	if (r != ARCHIVE_EOF)
		return -EIO; /* the reader knows why */
	if (ftruncate(fd, size) < 0)
		return err_sys(err, errno, "cannot write it");
	u->counts.bytes += (uint64_t)size;
	return 0;
}

static int make_file(struct unpack *u, struct archive *a, struct archive_entry *e, int dirfd,
		     const char *leaf, struct err *err)
{
	cleanup_fd int fd =
		openat(dirfd, leaf, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "cannot make it");
	return write_data(u, a, fd, archive_entry_size(e), err);
}

/* A second name for what an earlier entry made: the same rules for its first name. */
static int make_hard_link(struct unpack *u, const char *target, int dirfd, const char *leaf,
			  struct err *err)
{
	cleanup_free char *clean = malloc(u->plan.limits.path_len + 1);
	struct err why;
	struct stat st;
	if (!clean)
		return err_sys(err, ENOMEM, "cannot link it");
	enum unpack_name what = UNPACK_NAME_PLAIN;
	int rc = unpack_clean_path(target, &u->plan.limits, clean, u->plan.limits.path_len + 1,
				   &why);
	if (rc == 0 && u->plan.kind == UNPACK_UPPER)
		rc = unpack_real_path(UNPACK_UPPER, clean, &what, &why);
	if (rc < 0 || !*clean || what != UNPACK_NAME_PLAIN)
		return err_set(err, EBADMSG, "it is a hard link out of the root: %s",
			       rc < 0 ? why.text : "to no file");
	const char *slash = strrchr(clean, '/'), *rest = "";
	const char *name = slash ? slash + 1 : clean;
	cleanup_free char *dir = strndup(clean, slash ? (size_t)(slash - clean) : 0);
	if (!dir)
		return err_sys(err, ENOMEM, "cannot link it");
	const struct unpack_place *p = place_of(u, dir, &rest);
	if (!p)
		return err_set(err, EBADMSG, "it is a hard link to what no layer holds");
	cleanup_fd int from = open_parents(u, p->dirfd, rest, strlen(rest), false);
	if (from < 0)
		return parent_failed(from, err);
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "it is a hard link to what is not there");
	if (S_ISDIR(st.st_mode))
		return err_set(err, EBADMSG, "it is a hard link to a directory");
	if (linkat(from, name, dirfd, leaf, 0) < 0)
		return err_sys(err, errno, "cannot link it");
	return 0;
}

static int make_directory(struct unpack *u, struct archive_entry *e, int dirfd, const char *leaf,
			  struct err *err)
{
	if (mkdirat(dirfd, leaf, 0700) < 0 && errno != EEXIST)
		return err_sys(err, errno, "cannot make it");
	if (fchmodat(dirfd, leaf, 0700, 0) < 0)
		return err_sys(err, errno, "cannot open it to its entries");
	int rc = copy_attributes(u, e, dirfd, leaf, err);
	if (rc < 0)
		return rc;
	struct late *l = malloc(sizeof(*l));
	char *key = strdup(u->path);
	if (!l || !key) {
		free(l);
		free(key);
		return err_sys(err, ENOMEM, "cannot unpack");
	}
	*l = late_of(u, e, archive_entry_perm(e) & 07777);
	struct lh_entry *old = lh_table_lookup_entry(u->directories, u->path);
	if (old)
		lh_table_delete_entry(u->directories, old);
	if (lh_table_insert(u->directories, key, l) < 0) {
		free(key);
		free(l);
		return err_sys(err, ENOMEM, "cannot unpack");
	}
	return 0;
}

/* What stands where an entry goes is removed; of two directories one is made. */
static int make_room(struct unpack *u, int dirfd, const char *leaf, bool directory, struct err *err)
{
	struct stat st;
	if (fstatat(dirfd, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot examine its place");
	if (directory && S_ISDIR(st.st_mode))
		return 0;
	forget_parent(u); /* it may have been below what goes; @dirfd is the caller's copy */
	int rc = remove_tree(dirfd, leaf);
	return rc < 0 ? err_sys(err, -rc, "cannot replace what is there") : 0;
}

static int make_entry(struct unpack *u, struct archive *a, struct archive_entry *e, int dirfd,
		      const char *leaf, struct err *err)
{
	const char *hard = archive_entry_hardlink(e);
	mode_t type = archive_entry_filetype(e);
	if (hard)
		return make_hard_link(u, hard, dirfd, leaf, err);
	if (type == AE_IFDIR)
		return make_directory(u, e, dirfd, leaf, err);
	int rc = 0;
	if (type == AE_IFREG) {
		rc = make_file(u, a, e, dirfd, leaf, err);
	} else if (type == AE_IFLNK) {
		const char *target = archive_entry_symlink(e);
		if (!target || !*target || strlen(target) >= PATH_MAX)
			return err_set(err, EBADMSG,
				       "it is a link to nothing, or to too long a "
				       "name");
		if (symlinkat(target, dirfd, leaf) < 0)
			return err_sys(err, errno, "cannot make it");
	} else if (type == AE_IFIFO) {
		if (mknodat(dirfd, leaf, S_IFIFO | 0600, 0) < 0)
			return err_sys(err, errno, "cannot make it");
	} else {
		return err_set(err, EBADMSG, "it is of an unknown type");
	}
	if (rc == 0)
		rc = copy_attributes(u, e, dirfd, leaf, err);
	if (rc < 0)
		return rc;
	mode_t mode = archive_entry_perm(e) & 07777;
	if (u->plan.kind != UNPACK_UPPER && (mode & 06000)) {
		u->counts.setuid++;
		mode &= 01777;
	}
	struct late l = late_of(u, e, mode);
	rc = apply_late(dirfd, leaf, &l, type == AE_IFLNK);
	return rc < 0 ? err_sys(err, -rc, "cannot give it its owner, mode or time") : 0;
}

static int set_opaque(const struct unpack *u, int dirfd, struct err *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", dirfd);
	const char *key = u->plan.trusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
	if (setxattr(path, key, "y", 1, 0) < 0)
		return err_sys(err, errno, "cannot mark its directory opaque");
	return 0;
}

static int make_whiteout(struct unpack *u, enum unpack_name kind, int dirfd, const char *name,
			 struct err *err)
{
	if (u->plan.kind == UNPACK_UPPER) {
		if (kind == UNPACK_NAME_OPAQUE)
			return set_opaque(u, dirfd, err);
		int rc = make_room(u, dirfd, name, false, err);
		if (rc == 0 && mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) < 0)
			rc = err_sys(err, errno, "cannot make the whiteout");
		return rc;
	}
	forget_parent(u);
	int rc = kind == UNPACK_NAME_OPAQUE ? remove_below(dirfd) : remove_tree(dirfd, name);
	return rc < 0 ? err_sys(err, -rc, "cannot carry the whiteout out") : 0;
}

/* The same name twice in one archive: which of them counts depends on who reads it. */
static int note_made(struct unpack *u, bool directory, struct err *err)
{
	if (lh_table_lookup_entry(u->made, u->path))
		return directory ? 0 : err_set(err, EBADMSG, "it is there twice");
	char *key = strdup(u->path);
	if (!key || lh_table_insert(u->made, key, NULL) < 0) {
		free(key);
		return err_sys(err, ENOMEM, "cannot unpack");
	}
	return 0;
}

static int check_size(struct unpack *u, struct archive_entry *e, struct err *err)
{
	const struct unpack_limits *l = &u->plan.limits;
	if (++u->seen > l->entries)
		return err_set(err, EBADMSG, "it is one of more than %" PRIu64 " entries",
			       l->entries);
	if (archive_entry_size_is_set(e) &&
	    (archive_entry_size(e) < 0 || (uint64_t)archive_entry_size(e) > l->bytes ||
	     u->counts.bytes + (uint64_t)archive_entry_size(e) > l->bytes))
		return err_set(err, EBADMSG,
			       "it claims %" PRId64 " bytes; %" PRIu64 " are allowed in all",
			       (int64_t)archive_entry_size(e), l->bytes);
	return 0;
}

/* Entries that are left out on purpose. */
static bool is_left_out(struct unpack *u, struct archive_entry *e)
{
	mode_t type = archive_entry_filetype(e);
	if (u->plan.kind == UNPACK_STAGE)
		return type != AE_IFREG || archive_entry_hardlink(e);
	if (archive_entry_hardlink(e) || (type != AE_IFCHR && type != AE_IFBLK))
		return false;
	u->counts.devices++;
	return true;
}

static int unpack_entry(struct unpack *u, struct archive *a, struct archive_entry *e,
			enum unpack_pass pass, struct err *err)
{
	const char *given = archive_entry_pathname(e);
	if (!given || !*given)
		return err_set(err, EBADMSG, "it has no name that can be read");
	int rc = check_size(u, e, err);
	if (rc == 0)
		rc = unpack_clean_path(given, &u->plan.limits, u->path, u->plan.limits.path_len + 1,
				       err);
	if (rc < 0 || is_left_out(u, e))
		return rc;
	if (!*u->path) { /* the root itself */
		if (archive_entry_filetype(e) != AE_IFDIR)
			return err_set(err, EBADMSG, "the root is no directory");
		const char *none;
		const struct unpack_place *root = place_of(u, "", &none);
		return pass == UNPACK_WHITEOUTS_ONLY || u->plan.kind == UNPACK_STAGE || !root
			       ? 0
			       : make_directory(u, e, root->dirfd, ".", err);
	}
	enum unpack_name kind = UNPACK_NAME_PLAIN;
	/* in a plain archive such a name is a file's */
	if (u->plan.kind == UNPACK_UPPER || pass != UNPACK_ALL)
		rc = unpack_real_path(u->plan.kind, u->path, &kind, err);
	bool whiteout = kind != UNPACK_NAME_PLAIN;
	if (rc < 0 || (pass == UNPACK_WHITEOUTS_ONLY && !whiteout) ||
	    (pass == UNPACK_FILES_ONLY && whiteout))
		return rc;
	bool directory = archive_entry_filetype(e) == AE_IFDIR && !archive_entry_hardlink(e);
	const char *rest, *leaf;
	const struct unpack_place *place = place_of(u, u->path, &rest);
	if (directory && place && !*rest && *place->prefix) /* the root of a layer */
		return make_directory(u, e, place->dirfd, ".", err);
	int parent = parent_of(u, pass != UNPACK_WHITEOUTS_ONLY, &leaf, err);
	if (parent < 0)
		return parent == -ENOENT && pass == UNPACK_WHITEOUTS_ONLY ? 0 : parent;
	cleanup_fd int dirfd = fcntl(parent, F_DUPFD_CLOEXEC, 0);
	if (dirfd < 0)
		return err_sys(err, errno, "cannot unpack");
	if (whiteout)
		return make_whiteout(u, kind, dirfd, leaf, err);
	u->counts.entries++;
	rc = note_made(u, directory, err);
	if (rc == 0)
		rc = make_room(u, dirfd, leaf, directory, err);
	return rc < 0 ? rc : make_entry(u, a, e, dirfd, leaf, err);
}

/* "entry NAME: why", the name made harmless. */
static int entry_failed(int rc, struct archive_entry *e, const struct err *why, struct err *err)
{
	char name[200];
	struct buf b;
	const char *path = archive_entry_pathname(e);
	buf_init(&b, name, sizeof(name));
	buf_term(&b, path ? path : "?", path ? strnlen(path, 120) : 1);
	return err_set(err, -rc, "entry %s%s: %s", name, path && strlen(path) > 120 ? "…" : "",
		       why->text);
}

int unpack_archive(struct unpack *u, struct archive *a, enum unpack_pass pass, struct err *err)
{
	struct archive_entry *e;
	int r;
	lh_table_free(u->made);
	u->made = lh_kchar_table_new(TABLE_START, free_key);
	if (!u->made)
		return err_sys(err, ENOMEM, "cannot unpack");
	while ((r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
		struct err why = { "" };
		int rc = unpack_entry(u, a, e, pass, &why);
		if (rc < 0 && !why.text[0])
			err_set(&why, -rc, "%.200s",
				archive_error_string(a) ? archive_error_string(a) : "damaged");
		if (rc < 0)
			return entry_failed(rc, e, &why, err);
		if (u->plan.progress && u->counts.entries % PROGRESS_EVERY == 0)
			u->plan.progress(u->counts.entries, u->counts.bytes, u->plan.arg);
	}
	forget_parent(u);
	if (r != ARCHIVE_EOF)
		return err_set(err, EBADMSG, "%.200s",
			       archive_error_string(a) ? archive_error_string(a) : "no tar");
	return 0;
}

/* The directory itself, not what a later layer put in its place. Owned fd, -errno. */
static int open_made(const struct unpack *u, const char *path)
{
	const char *rest = "";
	const struct unpack_place *p = place_of(u, path, &rest);
	if (!p)
		return -ENOENT;
	const char *slash = strrchr(rest, '/');
	cleanup_fd int parent =
		open_parents(u, p->dirfd, rest, slash ? (size_t)(slash - rest) : 0, false);
	if (parent < 0)
		return parent;
	return open_beneath(u, parent,
			    !*rest  ? "."
			    : slash ? slash + 1
				    : rest,
			    O_PATH | O_NOFOLLOW);
}

static int finish_directory(int fd, const struct late *l)
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

int unpack_directories(struct unpack *u, struct err *err)
{
	size_t count = 0;
	cleanup_free struct lh_entry **list =
		calloc((size_t)lh_table_length(u->directories) + 1, sizeof(*list));
	if (!list)
		return err_sys(err, ENOMEM, "cannot unpack");
	for (struct lh_entry *e = u->directories->head; e; e = e->next)
		list[count++] = e;
	qsort(list, count, sizeof(*list), deepest_first);
	for (size_t i = 0; i < count; i++) {
		cleanup_fd int fd = open_made(u, lh_entry_k(list[i]));
		if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
			continue; /* a later layer replaced it */
		int rc = fd < 0 ? fd : finish_directory(fd, lh_entry_v(list[i]));
		if (rc < 0)
			return err_sys(err, -rc, "cannot finish the directory %.200s",
				       (const char *)lh_entry_k(list[i]));
	}
	return 0;
}
