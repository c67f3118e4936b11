#include "rootfs/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/linkhash.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/buf.h"
#include "base/scope.h"
#include "rootfs/remove.h"
#include "rootfs/unpack_late.h"
#include "rootfs/unpack_place.h"
#include "rootfs/upper.h"

enum { PROGRESS_EVERY = 256, TABLE_START = 1024 };

struct unpack {
	struct unpack_plan plan;
	struct lh_table *directories; /* clean path -> struct unpack_late; owned */
	struct lh_table *made;        /* clean paths of this archive, to see a name twice; owned */
	int parent;                   /* of the last entry; owned, -1 none */
	char *parent_path;            /* its clean path; owned */
	char *path;                   /* of the entry at hand; owned, limits.path_len + 1 */
	uint64_t seen;                /* entries of all passes, for the limit */
	struct unpack_counts counts;
};

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

/*
 * The directory of u->path, and its last name. The last one used is kept: entries of a directory
 * follow each other. Borrowed fd, -errno; a plain -ENOENT when it is not there and not to be made.
 */
static int parent_of(struct unpack *u, enum unpack_missing missing, const char **ret_leaf,
		     struct err *err)
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
	const struct unpack_place *p = unpack_place_of(&u->plan, u->parent_path, &rest);
	if (!p)
		return err_set(err, EBADMSG, "no layer of the session holds its directory");
	int fd = unpack_place_dir(&u->plan, p->dirfd, rest, strlen(rest), missing);
	if (fd == -ENOENT && missing == UNPACK_LEAVE)
		return -ENOENT;
	if (fd < 0)
		return unpack_place_failed(fd, err);
	u->parent = fd;
	return fd;
}

static void forget_parent(struct unpack *u)
{
	scope_close(&u->parent);
	u->parent = -1;
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
	int rc = unpack_name_clean(target, &u->plan.limits, clean, u->plan.limits.path_len + 1,
				   &why);
	if (rc == 0 && u->plan.kind == UNPACK_UPPER)
		rc = unpack_name_real(UNPACK_UPPER, clean, &what, &why);
	if (rc < 0 || !*clean || what != UNPACK_NAME_PLAIN)
		return err_set(err, EBADMSG, "it is a hard link out of the root: %s",
			       rc < 0 ? why.text : "to no file");
	const char *slash = strrchr(clean, '/'), *rest = "";
	const char *name = slash ? slash + 1 : clean;
	cleanup_free char *dir = strndup(clean, slash ? (size_t)(slash - clean) : 0);
	if (!dir)
		return err_sys(err, ENOMEM, "cannot link it");
	const struct unpack_place *p = unpack_place_of(&u->plan, dir, &rest);
	if (!p)
		return err_set(err, EBADMSG, "it is a hard link to what no layer holds");
	cleanup_fd int from =
		unpack_place_dir(&u->plan, p->dirfd, rest, strlen(rest), UNPACK_LEAVE);
	if (from < 0)
		return unpack_place_failed(from, err);
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
	struct unpack_late late = unpack_late_of(&u->plan, e, archive_entry_perm(e) & 07777);
	return unpack_late_note(u->directories, u->path, &late) < 0
		       ? err_sys(err, ENOMEM, "cannot unpack")
		       : 0;
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
	struct unpack_late l =
		unpack_late_of(&u->plan, e, type == AE_IFLNK ? UNPACK_NO_MODE : mode);
	rc = unpack_late_apply(dirfd, leaf, &l);
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
		rc = unpack_name_clean(given, &u->plan.limits, u->path, u->plan.limits.path_len + 1,
				       err);
	if (rc < 0 || is_left_out(u, e))
		return rc;
	if (!*u->path) { /* the root itself */
		if (archive_entry_filetype(e) != AE_IFDIR)
			return err_set(err, EBADMSG, "the root is no directory");
		const char *none;
		const struct unpack_place *root = unpack_place_of(&u->plan, "", &none);
		return pass == UNPACK_WHITEOUTS_ONLY || u->plan.kind == UNPACK_STAGE || !root
			       ? 0
			       : make_directory(u, e, root->dirfd, ".", err);
	}
	enum unpack_name kind = UNPACK_NAME_PLAIN;
	/* in a plain archive such a name is a file's */
	if (u->plan.kind == UNPACK_UPPER || pass != UNPACK_ALL)
		rc = unpack_name_real(u->plan.kind, u->path, &kind, err);
	bool whiteout = kind != UNPACK_NAME_PLAIN;
	if (rc < 0 || (pass == UNPACK_WHITEOUTS_ONLY && !whiteout) ||
	    (pass == UNPACK_FILES_ONLY && whiteout))
		return rc;
	bool directory = archive_entry_filetype(e) == AE_IFDIR && !archive_entry_hardlink(e);
	const char *rest, *leaf;
	const struct unpack_place *place = unpack_place_of(&u->plan, u->path, &rest);
	if (directory && place && !*rest && *place->prefix) /* the root of a layer */
		return make_directory(u, e, place->dirfd, ".", err);
	int parent = parent_of(u, pass == UNPACK_WHITEOUTS_ONLY ? UNPACK_LEAVE : UNPACK_MAKE, &leaf,
			       err);
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

int unpack_directories(struct unpack *u, struct err *err)
{
	return unpack_late_finish(&u->plan, u->directories, err);
}
