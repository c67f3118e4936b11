/*
 * vsandbox-patch: what a session changed, as a patch that `patch -p1` and `git apply` take.
 *
 *   vsandbox-patch overlay|real BASE BELOW     descriptor 3: the session's directory
 *
 * The first word says where the changes are: in the session's overlay, or in the real files. Paths are relative to BASE ("" for /); only what is at or below BELOW is shown ("" all). What a patch
 * cannot say (directories, owners, other modes, attributes, contents of binaries) stands in lines that begin
 * with '#', which both programs skip. A program of its own for libgit2, which makes the hunks.
 */
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include "base/hash.h"
#include "base/path.h"
#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/overlay.h"
#include "rootfs/since.h"
#include "rootfs/upper.h"

enum {
	SESSION_FD = 3,
	TEXT_MAX = 64 << 20, /* larger ones are told by size and digest */
	PROBE_BYTES = 8000,  /* as git: a NUL byte in these makes a binary */
};

struct item {
	char *path; /* owned */
	enum change_kind kind;
	bool content;
	unsigned layer;
	struct stat upper, lower; /* mode 0: none */
	struct item *renamed;     /* the other end */
	char digest[HASH_HEX];
};

struct list {
	const struct overlay *overlay; /* NULL: the changes are in the real files */
	const struct since *since;     /* then; else NULL */
	const char *base, *below;
	struct item *items; /* owned */
	size_t count, room;
};

/* Bytes of a file or a link; not NUL-terminated. */
struct bytes {
	char *data;
	size_t len;
	bool mapped, missing;
};

static void drop_bytes(struct bytes *b)
{
	if (b->mapped)
		munmap(b->data, b->len);
	else
		free(b->data);
}
#define cleanup_bytes __attribute__((cleanup(drop_bytes)))

static int collect(const struct change *c, void *arg)
{
	struct list *l = arg;
	if (*l->below && !path_is_within(c->path, l->below))
		return 0;
	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct item *grown = reallocarray(l->items, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->items = grown;
		l->room = room;
	}
	struct item *i = &l->items[l->count];
	*i = (struct item){ .path = strdup(c->path), .kind = c->kind, .layer = c->layer };
	i->content = c->content;
	if (c->upper)
		i->upper = *c->upper;
	if (c->lower)
		i->lower = *c->lower;
	l->count++;
	return i->path ? 0 : -ENOMEM;
}

static int open_parent(const struct list *l, const struct item *i, bool upper)
{
	const struct overlay_layer *layer = &l->overlay->layers[i->layer];
	const char *below = i->path + (layer->mount[1] ? strlen(layer->mount) : 0) + 1;
	if (upper)
		return beneath_dir(layer->upper_fd, below, beneath_parent_len(below));
	cleanup_fd int root = beneath_root(layer->lower, strlen(layer->lower));
	return root < 0 ? root : beneath_dir(root, below, beneath_parent_len(below));
}

/* At most @size bytes: of a file that only grew, what was there before is its beginning. */
static struct bytes read_file(int fd, off_t size)
{
	struct bytes b = { .missing = true };
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return b;
	b.len = (size_t)(st.st_size < size ? st.st_size : size);
	b.missing = false;
	if (b.len == 0)
		return b;
	b.data = mmap(NULL, b.len, PROT_READ, MAP_PRIVATE, fd, 0);
	b.mapped = b.data != MAP_FAILED;
	b.missing = !b.mapped;
	return b;
}

static struct bytes read_side(const struct list *l, const struct item *i, bool upper)
{
	const struct stat *st = upper ? &i->upper : &i->lower;
	struct bytes b = { 0 };
	const char *leaf = strrchr(i->path, '/') + 1;
	if (l->since) {
		cleanup_fd int file = upper ? since_open_now(l->since, i->path)
					    : since_open_before(l->since, i->path);
		return read_file(file, st->st_size);
	}
	cleanup_fd int dir = open_parent(l, i, upper);
	b.missing = true;
	if (dir < 0)
		return b;
	if (S_ISLNK(st->st_mode)) {
		b.data = calloc(1, PATH_MAX);
		ssize_t n = b.data ? readlinkat(dir, leaf, b.data, PATH_MAX) : -1;
		b.len = n > 0 ? (size_t)n : 0;
		b.missing = n < 0;
		return b;
	}
	cleanup_fd int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return read_file(fd, st->st_size);
}

static bool is_binary(const struct bytes *b)
{
	return b->len > TEXT_MAX ||
	       (b->data && memchr(b->data, 0, b->len < PROBE_BYTES ? b->len : PROBE_BYTES));
}

static const char *digest(const struct list *l, struct item *i, bool upper)
{
	cleanup_bytes struct bytes b = read_side(l, i, upper);
	if (b.missing)
		return "unreadable";
	hash_hex(b.data ? b.data : "", b.len, i->digest);
	return i->digest;
}

/* A name as git quotes it: what is not plain ASCII as an escape, in double quotes. */
static void put_name(const char *prefix, const char *name)
{
	bool plain = true;
	for (const char *p = name; *p; p++)
		plain &= *p > ' ' && *p < 0x7f && *p != '"' && *p != '\\';
	if (plain) {
		printf("%s%s", prefix, name);
		return;
	}
	printf("\"%s", prefix);
	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if (*p >= ' ' && *p < 0x7f)
			putchar(*p);
		else
			printf("\\%03o", *p);
	}
	putchar('"');
}

static const char *relative(const struct list *l, const struct item *i)
{
	size_t len = strlen(l->base);
	return i->path + (path_is_within(i->path, l->base) ? len : 0) + 1;
}

static bool is_patchable(mode_t mode)
{
	return S_ISREG(mode) || S_ISLNK(mode);
}

/* The modes that git knows. */
static unsigned git_mode(mode_t mode)
{
	return S_ISLNK(mode) ? 0120000 : mode & 0100 ? 0100755 : 0100644;
}

static const char *type_name(mode_t mode)
{
	return S_ISDIR(mode)    ? "directory"
	       : S_ISFIFO(mode) ? "fifo"
	       : S_ISSOCK(mode) ? "socket"
	       : S_ISLNK(mode)  ? "link"
	       : S_ISREG(mode)  ? "file"
				: "device";
}

static void put_head(const char *from, const char *to)
{
	fputs("diff --git ", stdout);
	put_name("a/", from);
	putchar(' ');
	put_name("b/", to);
	putchar('\n');
}

/* git's name for the content; zeros for nothing. */
static void put_id(const struct bytes *b)
{
	git_oid id = { { 0 } };
	char text[8];
	if (b && git_odb_hash(&id, b->data ? b->data : "", b->len, GIT_OBJECT_BLOB) < 0)
		id = (git_oid){ { 0 } };
	git_oid_tostr(text, sizeof(text), &id);
	fputs(text, stdout);
}

/* patch(1) believes this line when it asks whether a file is a link, or comes, or goes. */
static void put_index(const struct bytes *old, const struct bytes *new, unsigned mode)
{
	fputs("index ", stdout);
	put_id(old);
	fputs("..", stdout);
	put_id(new);
	if (mode)
		printf(" %06o", mode);
	putchar('\n');
}

/* The hunks between two texts, with their --- and +++ lines. NULL is /dev/null. */
static int put_hunks(const char *from, const struct bytes *old, const char *to,
		     const struct bytes *new)
{
	git_patch *patch = NULL;
	git_diff_options options = GIT_DIFF_OPTIONS_INIT;
	options.flags = GIT_DIFF_FORCE_TEXT;
	if (git_patch_from_buffers(&patch, old->data, old->len, NULL, new->data, new->len, NULL,
				   &options) < 0)
		return -EIO;
	size_t hunks = git_patch_num_hunks(patch);
	if (hunks) {
		fputs("--- ", stdout);
		from ? put_name("a/", from) : (void)fputs("/dev/null", stdout);
		fputs("\n+++ ", stdout);
		to ? put_name("b/", to) : (void)fputs("/dev/null", stdout);
		putchar('\n');
	}
	for (size_t h = 0; h < hunks; h++) {
		const git_diff_hunk *hunk;
		size_t lines;
		if (git_patch_get_hunk(&hunk, &lines, patch, h) < 0)
			break;
		fwrite(hunk->header, 1, hunk->header_len, stdout);
		for (size_t n = 0; n < lines; n++) {
			const git_diff_line *line;
			if (git_patch_get_line_in_hunk(&line, patch, h, n) < 0)
				break;
			if (line->origin == GIT_DIFF_LINE_CONTEXT ||
			    line->origin == GIT_DIFF_LINE_ADDITION ||
			    line->origin == GIT_DIFF_LINE_DELETION)
				putchar(line->origin);
			fwrite(line->content, 1, line->content_len, stdout);
		}
	}
	git_patch_free(patch);
	return 0;
}

/* A file or link that comes or goes. */
static int put_whole(const struct list *l, struct item *i, bool upper)
{
	const char *name = relative(l, i);
	const struct stat *st = upper ? &i->upper : &i->lower;
	cleanup_bytes struct bytes b = read_side(l, i, upper);
	struct bytes nothing = { 0 };
	bool binary = is_binary(&b);
	if (b.missing || binary) {
		printf("# %s %s: ", upper ? "new" : "deleted", b.missing ? "unreadable" : "binary");
		put_name("", name);
		printf(", %lld bytes, sha256 %s\n", (long long)st->st_size, digest(l, i, upper));
		return 0;
	}
	put_head(name, name);
	printf("%s file mode %06o\n", upper ? "new" : "deleted", git_mode(st->st_mode));
	put_index(upper ? NULL : &b, upper ? &b : NULL, 0);
	return upper ? put_hunks(NULL, &nothing, name, &b) : put_hunks(name, &b, NULL, &nothing);
}

static void put_xattrs(const struct list *l, const struct item *i)
{
	char path[2][NAME_MAX + 64];
	const char *leaf = strrchr(i->path, '/') + 1;
	cleanup_fd int upper = open_parent(l, i, true);
	cleanup_fd int lower = open_parent(l, i, false);
	snprintf(path[0], sizeof(path[0]), "/proc/self/fd/%d/%s", lower, leaf);
	snprintf(path[1], sizeof(path[1]), "/proc/self/fd/%d/%s", upper, leaf);
	cleanup_free char *names = malloc(XATTR_LIST_MAX);
	for (unsigned side = 0; names && side < 2; side++) {
		ssize_t size = llistxattr(path[side], names, XATTR_LIST_MAX);
		for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
			char mine[4096], other[4096];
			if (upper_is_overlay_xattr(names + at))
				continue;
			ssize_t n = lgetxattr(path[side], names + at, mine, sizeof(mine));
			ssize_t m = lgetxattr(path[!side], names + at, other, sizeof(other));
			if (m >= 0 &&
			    (side == 1 || (n == m && memcmp(mine, other, (size_t)n) == 0)))
				continue;
			fputs("# attribute ", stdout);
			put_name("", names + at);
			printf(" %s: ", m >= 0 ? "changed" : side ? "set" : "removed");
			put_name("", relative(l, i));
			putchar('\n');
		}
	}
}

/* What changed of a thing that stays, but for its content. */
static void put_notes(const struct list *l, const struct item *i)
{
	const struct stat *a = &i->lower, *b = &i->upper;
	bool told = is_patchable(b->st_mode) && git_mode(a->st_mode) != git_mode(b->st_mode) &&
		    ((a->st_mode ^ b->st_mode) & 07777) == 0111;
	if (((a->st_mode ^ b->st_mode) & 07777) && !told) {
		printf("# mode %04o -> %04o: ", a->st_mode & 07777, b->st_mode & 07777);
		put_name("", relative(l, i));
		putchar('\n');
	}
	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid) {
		printf("# owner %u:%u -> %u:%u: ", a->st_uid, a->st_gid, b->st_uid, b->st_gid);
		put_name("", relative(l, i));
		putchar('\n');
	}
	if (l->overlay) {
		put_xattrs(l, i);
	} else if (!i->content && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
		   a->st_gid == b->st_gid) {
		fputs("# only times or attributes: ", stdout);
		put_name("", relative(l, i));
		putchar('\n');
	}
}

static int put_modified(const struct list *l, struct item *i)
{
	const char *name = relative(l, i);
	mode_t was = i->lower.st_mode, is = i->upper.st_mode;
	if ((was & S_IFMT) != (is & S_IFMT)) { /* as git: one goes, another comes */
		int r = 0;
		printf("# %s becomes %s: ", type_name(was), type_name(is));
		put_name("", name);
		putchar('\n');
		if (is_patchable(was))
			r = put_whole(l, i, false);
		if (r == 0 && is_patchable(is))
			r = put_whole(l, i, true);
		return r;
	}
	put_notes(l, i);
	bool mode = S_ISREG(is) && git_mode(was) != git_mode(is);
	if (!is_patchable(is) || (!i->content && !mode))
		return 0;
	cleanup_bytes struct bytes old = read_side(l, i, false);
	cleanup_bytes struct bytes new = read_side(l, i, true);
	bool binary =
		i->content && (old.missing || new.missing || is_binary(&old) || is_binary(&new));
	if (binary) {
		fputs("# binary: ", stdout);
		put_name("", name);
		printf(", %lld bytes, sha256 %s", (long long)i->lower.st_size, digest(l, i, false));
		printf(" -> %lld bytes, sha256 %s\n", (long long)i->upper.st_size,
		       digest(l, i, true));
	}
	if (!binary || mode)
		put_head(name, name);
	if (mode)
		printf("old mode %06o\nnew mode %06o\n", git_mode(was), git_mode(is));
	if (binary)
		return 0;
	if (i->content)
		put_index(&old, &new, mode ? 0 : git_mode(is));
	return i->content ? put_hunks(name, &old, name, &new) : 0;
}

static int put_item(const struct list *l, struct item *i)
{
	if (i->kind == CHANGE_MODIFIED)
		return put_modified(l, i);
	bool added = i->kind == CHANGE_ADDED;
	const struct stat *st = added ? &i->upper : &i->lower;
	if (!is_patchable(st->st_mode)) {
		printf("# %s %s: ", added ? "new" : "deleted", type_name(st->st_mode));
		put_name("", relative(l, i));
		putchar('\n');
		return 0;
	}
	if (!i->renamed)
		return put_whole(l, i, added);
	if (!added)
		return 0; /* told with the new name */
	const char *from = relative(l, i->renamed), *to = relative(l, i);
	unsigned was = git_mode(i->renamed->lower.st_mode), is = git_mode(i->upper.st_mode);
	put_head(from, to);
	if (was != is)
		printf("old mode %06o\nnew mode %06o\n", was, is);
	fputs("similarity index 100%\nrename from ", stdout);
	put_name("", from);
	fputs("\nrename to ", stdout);
	put_name("", to);
	putchar('\n');
	return 0;
}

static int by_size(const void *a, const void *b)
{
	const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
	off_t p = x->kind == CHANGE_DELETED ? x->lower.st_size : x->upper.st_size;
	off_t q = y->kind == CHANGE_DELETED ? y->lower.st_size : y->upper.st_size;
	if (p != q)
		return p < q ? -1 : 1;
	return x->kind != y->kind ? (x->kind == CHANGE_DELETED ? -1 : 1) : strcmp(x->path, y->path);
}

/* A file may have shrunk since it was listed with the size of the other. */
static bool same_bytes(const struct bytes *a, const struct bytes *b)
{
	return a->data && b->data && !a->missing && !b->missing && a->len == b->len &&
	       memcmp(a->data, b->data, a->len) == 0;
}

/* What went under one name and came under another with the same content. Only equal sizes are read. */
static int find_renames(struct list *l)
{
	cleanup_free struct item **files = calloc(l->count + 1, sizeof(*files));
	size_t n = 0;
	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < l->count; i++) {
		struct item *f = &l->items[i];
		if ((f->kind == CHANGE_DELETED && S_ISREG(f->lower.st_mode) && f->lower.st_size) ||
		    (f->kind == CHANGE_ADDED && S_ISREG(f->upper.st_mode) && f->upper.st_size))
			files[n++] = f;
	}
	if (n)
		qsort(files, n, sizeof(*files), by_size);
	for (size_t d = 0; d < n; d++) {
		struct item *gone = files[d];
		if (gone->kind != CHANGE_DELETED)
			continue;
		for (size_t a = d + 1; a < n && !gone->renamed; a++) {
			struct item *come = files[a];
			if (come->kind == CHANGE_DELETED || come->renamed)
				continue;
			if (come->upper.st_size != gone->lower.st_size)
				break;
			cleanup_bytes struct bytes x = read_side(l, gone, false);
			cleanup_bytes struct bytes y = read_side(l, come, true);
			if (same_bytes(&x, &y)) {
				gone->renamed = come;
				come->renamed = gone;
			}
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct overlay overlay; /* large for a stack */
	struct since *since = NULL;
	struct err err = { "" };
	if (argc != 4)
		return 125;
	bool real = !strcmp(argv[1], "real");
	struct list l = { .base = argv[2], .below = argv[3] };
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = real ? since_open(SESSION_FD, root, &since, &err)
		     : overlay_load(SESSION_FD, &overlay, &err);
	if (real)
		l.since = since;
	else
		l.overlay = &overlay;
	if (r == 0)
		r = real ? since_walk(since, collect, &l, &err)
			 : upper_walk(&overlay, collect, &l, &err);
	if (r == 0 && git_libgit2_init() < 0)
		r = err_set(&err, EIO, "libgit2 cannot be used");
	if (r == 0)
		r = find_renames(&l);
	/* deletions first: they are what cannot be seen any more by looking */
	for (unsigned deletions = 1; r == 0 && deletions < 2; deletions--) {
		for (size_t i = 0; r == 0 && i < l.count; i++)
			if ((l.items[i].kind == CHANGE_DELETED) == deletions)
				r = put_item(&l, &l.items[i]);
	}
	if (fflush(stdout) != 0)
		r = -EIO;
	for (size_t i = 0; i < l.count; i++)
		free(l.items[i].path);
	free(l.items);
	if (!real)
		overlay_finish(&overlay);
	since_close(since);
	git_libgit2_shutdown();
	if (r < 0)
		fprintf(stderr, "vsandbox-patch: %s\n",
			err.text[0] ? err.text : strerrordesc_np(-r));
	return r < 0 ? 125 : 0;
}
