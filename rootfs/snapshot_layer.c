/* The uppers of a session as the entries of one tar. */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <json-c/linkhash.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/scope.h"
#include "rootfs/snapshot.h"
#include "rootfs/upper.h"

enum {
	PATH_ROOM = 1 << 17, /* an agent can nest deeper than PATH_MAX */
	CHUNK = 1 << 20,
	PROGRESS_EVERY = 256,
};

struct layer {
	struct archive *archive;     /* borrowed */
	struct archive_entry *entry; /* owned */
	struct lh_table *links;      /* "dev:ino" of files with several names -> the first; owned */
	char *path;                  /* of the entry at hand; owned, PATH_ROOM */
	size_t len;
	char *chunk; /* owned, CHUNK */
	char *value; /* of an attribute; owned, XATTR_SIZE_MAX */
	char *names; /* of attributes; owned, XATTR_LIST_MAX */
	snapshot_progress *progress;
	void *arg;
	struct snapshot_made *made;
	struct err *err;
};

static void free_link(struct lh_entry *e)
{
	union {
		const void *in;
		void *out;
	} key = { .in = lh_entry_k(e) };
	free(key.out);
	free(lh_entry_v(e));
}

static int fail(const struct layer *l, int errnum, const char *what)
{
	return err_sys(l->err, errnum, "snapshot: cannot %s /%.300s", what, l->path);
}

static int archive_failed(const struct layer *l)
{
	const char *text = archive_error_string(l->archive);
	return err_set(l->err, EIO, "snapshot: cannot write /%.200s: %.200s", l->path,
		       text ? text : "no reason given");
}

/* Appends "/name", escaped where it would be read as a whiteout; the caller sets l->len back. */
static int push(struct layer *l, const char *mark, const char *name)
{
	bool escape =
		!*mark && (strncmp(name, ".wh.", 4) == 0 ||
			   strncmp(name, UNPACK_NAME_ESCAPE, sizeof(UNPACK_NAME_ESCAPE) - 1) == 0);
	int n = snprintf(l->path + l->len, PATH_ROOM - l->len, "%s%s%s%s", l->len ? "/" : "", mark,
			 escape ? UNPACK_NAME_ESCAPE : "", name);
	if (n < 0 || l->len + (size_t)n >= PATH_ROOM)
		return fail(l, ENAMETOOLONG, "name what is below");
	l->len += (size_t)n;
	return 0;
}

/* Everything but overlayfs's own and the label that the host's own policy would set. */
static int add_attributes(struct layer *l, int dirfd, const char *name)
{
	char path[NAME_MAX + 64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	ssize_t len = llistxattr(path, l->names, XATTR_LIST_MAX);
	if (len < 0)
		return errno == ENOTSUP ? 0 : fail(l, errno, "list the attributes of");
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(l->names + at) + 1) {
		const char *key = l->names + at;
		if (upper_is_overlay_xattr(key) || strcmp(key, "security.selinux") == 0)
			continue;
		ssize_t n = lgetxattr(path, key, l->value, XATTR_SIZE_MAX);
		if (n < 0)
			return fail(l, errno, "read an attribute of");
		archive_entry_xattr_add_entry(l->entry, key, l->value, (size_t)n);
	}
	return 0;
}

static void fill(struct layer *l, const struct stat *st)
{
	struct archive_entry *e = l->entry;
	archive_entry_clear(e);
	archive_entry_set_pathname(e, l->len ? l->path : "./");
	archive_entry_set_filetype(e, st->st_mode & S_IFMT);
	archive_entry_set_perm(e, st->st_mode & 07777);
	archive_entry_set_uid(e, st->st_uid);
	archive_entry_set_gid(e, st->st_gid);
	archive_entry_set_mtime(e, st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	archive_entry_set_size(e, 0);
	l->made->entries++;
	if (l->progress && l->made->entries % PROGRESS_EVERY == 0)
		l->progress(l->made->entries, l->made->bytes, l->arg);
}

static int put(struct layer *l)
{
	/* a warning: the name is no UTF-8 and goes as it is */
	int r = archive_write_header(l->archive, l->entry);
	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 0 : archive_failed(l);
}

/* A mark with nothing in it: whiteout or opaque. Of no time, so that the same upper gives the same bytes. */
static int put_mark(struct layer *l, const char *mark, const char *name)
{
	size_t len = l->len;
	int rc = push(l, mark, name);
	if (rc == 0) {
		const struct stat st = { .st_mode = S_IFREG | 0600 };
		fill(l, &st);
		rc = put(l);
	}
	l->path[l->len = len] = '\0';
	return rc;
}

/* The holes, where the file system knows them. */
static void add_sparse(struct layer *l, int fd, off_t size)
{
	bool holes = false;
	for (off_t at = 0; at < size;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0) {
			if (errno != ENXIO)
				return;
			/* nothing but a hole to the end: an extent of no length says where that is */
			archive_entry_sparse_add_entry(l->entry, size, 0);
			return;
		}
		holes |= data > at;
		off_t hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || (!holes && hole >= size))
			break;
		archive_entry_sparse_add_entry(l->entry, data, hole - data);
		holes = true;
		at = hole;
	}
	lseek(fd, 0, SEEK_SET);
}

static int write_bytes(struct layer *l, int fd, off_t size)
{
	for (off_t at = 0; at < size;) {
		size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		ssize_t n = pread(fd, l->chunk, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(l, n < 0 ? errno : ESTALE, "read");
		if (archive_write_data(l->archive, l->chunk, (size_t)n) != n)
			return archive_failed(l);
		at += n;
	}
	l->made->bytes += (uint64_t)size;
	return 0;
}

/* The owner can read what the agent left without permissions; the mode is given back at once. */
static int open_file(int dirfd, const char *name, const struct stat *st)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME;
	int fd = openat(dirfd, name, flags);
	if (fd < 0 && errno == EPERM)
		fd = openat(dirfd, name, flags & ~O_NOATIME);
	if (fd >= 0 || errno != EACCES)
		return fd < 0 ? -errno : fd;
	if (fchmodat(dirfd, name, (st->st_mode & 07777) | 0400, 0) < 0)
		return -errno;
	fd = openat(dirfd, name, flags);
	int rc = fd < 0 ? -errno : fd;
	if (fchmodat(dirfd, name, st->st_mode & 07777, 0) < 0 && fd >= 0) {
		rc = -errno;
		close(fd);
	}
	return rc;
}

/* True when the file was written under another name already: then only a link is. */
static int put_link(struct layer *l, const struct stat *st)
{
	char key[64];
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino);
	const struct lh_entry *first = lh_table_lookup_entry(l->links, key);
	if (first) {
		fill(l, st);
		archive_entry_set_hardlink(l->entry, lh_entry_v(first));
		int rc = put(l);
		return rc < 0 ? rc : 1;
	}
	char *k = strdup(key), *v = strdup(l->path);
	if (!k || !v || lh_table_insert(l->links, k, v) < 0) {
		free(k);
		free(v);
		return fail(l, ENOMEM, "remember");
	}
	return 0;
}

static int put_file(struct layer *l, int dirfd, const char *name, const struct stat *st)
{
	cleanup_fd int fd = open_file(dirfd, name, st);
	struct stat now;
	if (fd < 0)
		return fail(l, -fd, "open");
	if (fstat(fd, &now) < 0 || now.st_ino != st->st_ino || !S_ISREG(now.st_mode))
		return fail(l, ESTALE, "hold on to");
	fill(l, st);
	int rc = add_attributes(l, dirfd, name);
	if (rc < 0)
		return rc;
	archive_entry_set_size(l->entry, now.st_size);
	add_sparse(l, fd, now.st_size);
	rc = put(l);
	return rc < 0 ? rc : write_bytes(l, fd, now.st_size);
}

static int put_symlink(struct layer *l, int dirfd, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
	if (n < 0)
		return fail(l, errno, "read the link");
	target[n] = '\0';
	fill(l, st);
	archive_entry_set_symlink(l->entry, target);
	int rc = add_attributes(l, dirfd, name);
	return rc < 0 ? rc : put(l);
}

static int walk(struct layer *l, int dirfd);

static int put_directory(struct layer *l, int dirfd, const char *name, const struct stat *st)
{
	bool restore;
	cleanup_fd int fd = upper_open_dir(dirfd, name, &restore);
	if (fd < 0)
		return fail(l, -fd, "open");
	fill(l, st);
	int rc = add_attributes(l, dirfd, name);
	if (rc == 0)
		rc = put(l);
	if (rc == 0 && upper_is_opaque(dirfd, name))
		rc = put_mark(l, ".wh..wh..opq", "");
	if (rc == 0)
		rc = walk(l, fd);
	if (restore && fchmod(fd, st->st_mode & 07777) < 0 && rc == 0)
		rc = fail(l, errno, "give its mode back to");
	return rc;
}

static int put_entry(struct layer *l, int dirfd, const char *name, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return put_directory(l, dirfd, name, st);
	if (S_ISSOCK(st->st_mode)) { /* dead without its process, and no archive can hold one */
		l->made->sockets++;
		return 0;
	}
	if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode) && !S_ISFIFO(st->st_mode))
		return err_set(l->err, EBADMSG,
			       "snapshot: /%.300s is a device node, which no sandbox makes",
			       l->path);
	int rc = st->st_nlink > 1 ? put_link(l, st) : 0;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (S_ISREG(st->st_mode))
		return put_file(l, dirfd, name, st);
	if (S_ISLNK(st->st_mode))
		return put_symlink(l, dirfd, name, st);
	fill(l, st);
	rc = add_attributes(l, dirfd, name);
	return rc < 0 ? rc : put(l);
}

static int walk(struct layer *l, int dirfd)
{
	struct upper_names names = { 0 };
	int rc = upper_names_read(dirfd, &names);
	if (rc < 0)
		rc = fail(l, -rc, "list");
	for (size_t i = 0; rc == 0 && i < names.count; i++) {
		const char *name = names.items[i];
		size_t len = l->len;
		struct stat st;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			rc = fail(l, errno, "examine what is in");
		} else if (upper_is_whiteout(dirfd, name, &st)) {
			rc = put_mark(l, ".wh.", name);
		} else {
			rc = push(l, "", name);
			if (rc == 0)
				rc = put_entry(l, dirfd, name, &st);
		}
		l->path[l->len = len] = '\0';
	}
	upper_names_finish(&names);
	return rc;
}

/* Component by component, since what a component is called decides how it is written. */
static int push_mount(struct layer *l, const char *mount)
{
	int rc = 0;
	l->path[l->len = 0] = '\0';
	for (const char *at = mount; rc == 0 && *at;) {
		size_t n = strcspn(at, "/");
		char name[NAME_MAX + 1];
		if (n > NAME_MAX)
			return fail(l, ENAMETOOLONG, "name");
		memcpy(name, at, n);
		name[n] = '\0';
		if (n)
			rc = push(l, "", name);
		at += n;
		at += *at == '/';
	}
	return rc;
}

static int put_upper(struct layer *l, const struct overlay_layer *o)
{
	struct stat st;
	cleanup_fd int fd = openat(o->upper_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct upper_names names = { 0 };
	int rc = push_mount(l, o->mount);
	if (rc < 0)
		return rc;
	if (fd < 0 && errno == EACCES) {
		bool restore;
		fd = upper_open_dir(o->upper_fd, ".", &restore);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(l, errno, "open the layer of");
	rc = upper_names_read(fd, &names);
	size_t count = names.count;
	upper_names_finish(&names);
	if (rc < 0)
		return fail(l, -rc, "list");
	return count ? put_directory(l, fd, ".", &st) : 0;
}

int snapshot_layer_write(const struct overlay *o, int fd, snapshot_progress *progress, void *arg,
			 struct snapshot_made *ret, struct err *err)
{
	struct layer l = { .progress = progress, .arg = arg, .made = ret, .err = err };
	struct oci_blob_writer *blob = NULL;
	int rc = oci_blob_create(fd, &blob, &l.archive, err);
	if (rc < 0)
		return rc;
	l.entry = archive_entry_new();
	l.links = lh_kchar_table_new(256, free_link);
	l.path = calloc(1, PATH_ROOM);
	l.chunk = malloc(CHUNK);
	l.value = malloc(XATTR_SIZE_MAX);
	l.names = malloc(XATTR_LIST_MAX);
	if (!l.entry || !l.links || !l.path || !l.chunk || !l.value || !l.names)
		rc = err_sys(err, ENOMEM, "snapshot");
	for (unsigned i = 0; rc == 0 && i < o->count; i++)
		if (o->layers[i].upper_fd >= 0)
			rc = put_upper(&l, &o->layers[i]);
	struct err ignored;
	int end = oci_blob_close(blob, &ret->layer, rc < 0 ? &ignored : err);
	archive_entry_free(l.entry);
	if (l.links)
		lh_table_free(l.links);
	free(l.path);
	free(l.chunk);
	free(l.value);
	free(l.names);
	return rc < 0 ? rc : end;
}
