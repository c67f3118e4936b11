#include "rootfs/origin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/scope.h"
#include "rootfs/overlay_plan.h"

static const char ledger_name[] = "origins";

enum { TREE_DEPTH_MAX = 2048, OVERFLOW_ID = 65534 };

/* A record: the fixed part, then the path without its end. */

static uint64_t hash_of(const char *path)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 0x100000001b3u;
	return h ^ h >> 29;
}

int origins_open(const struct overlay *o, int session_dirfd, struct origins *ret, struct err *err)
{
	ret->overlay = o;
	return origin_ledger_open(session_dirfd, &ret->ledger, err);
}

int origin_ledger_open(int session_dirfd, struct ledger *ret, struct err *err)
{
	return ledger_open(session_dirfd, ledger_name, ret, err);
}

void origins_close(struct origins *s)
{
	ledger_close(&s->ledger);
}

/* The layer @path lies on; NULL: on none, as /dev. */
static const struct overlay_layer *layer_of(const struct overlay *o, const char *path)
{
	const struct overlay_layer *found = NULL;
	for (unsigned i = 0; i < o->count; i++)
		if (path_is_within(path, o->layers[i].mount) &&
		    (!found || strlen(o->layers[i].mount) > strlen(found->mount)))
			found = &o->layers[i];
	return found;
}

static struct origin origin_of(const struct stat *st, enum origin_writer by)
{
	return (struct origin){
		.size = st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_sec = st->st_ctim.tv_sec,
		.ctime_nsec = (uint32_t)st->st_ctim.tv_nsec,
		.ino = st->st_ino,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.by = by,
	};
}

int origin_write(struct ledger *l, const char *path, const struct stat *st, enum origin_writer by)
{
	static const struct stat nothing;
	struct origin was = origin_of(st ? st : &nothing, by);
	union {
		const char *in;
		void *out;
	} text = { .in = path };
	struct iovec parts[] = { { &was, sizeof(was) }, { text.out, strlen(path) } };
	return ledger_append(l, parts, 2);
}

static void append(struct origins *s, const char *path, const struct stat *st)
{
	uint64_t h = hash_of(path);
	uint64_t *recent = &s->recent[h % ORIGIN_RECENT];
	uint64_t mark = h ^ (uint64_t)st->st_ctim.tv_sec << 30 ^ (uint64_t)st->st_ctim.tv_nsec;
	if (*recent == mark)
		return;
	int r = ledger_catch_up(&s->ledger); /* with a commit while the session ran */
	if (r == 0)
		r = origin_write(&s->ledger, path, st, ORIGIN_MONITOR);
	if (r < 0)
		s->failed = true;
	else
		*recent = mark;
}

/* Has the upper nothing at @path yet? NULL: that, or no layer has it. */
static const struct overlay_layer *only_lower(const struct origins *s, const char *path)
{
	const struct overlay_layer *l =
		*path != '/' || path_is_fresh(path) ? NULL : layer_of(s->overlay, path);
	if (!l || l->upper_fd < 0)
		return NULL;
	const char *below = path + (l->mount[1] ? strlen(l->mount) : 0);
	struct stat upper;
	if (!below[0] || !below[1] ||
	    fstatat(l->upper_fd, below + 1, &upper, AT_SYMLINK_NOFOLLOW) == 0 ||
	    (errno != ENOENT && errno != ENOTDIR))
		return NULL;
	return l;
}

void origins_forget(struct origins *s)
{
	__atomic_store_n(&s->stale, true, __ATOMIC_RELEASE);
}

void origins_forget_below(struct origins *s, const char *path)
{
	if (path_is_within(s->settled, path))
		s->settled[0] = '\0';
}

static bool is_settled(struct origins *s, const char *path, size_t len)
{
	if (__atomic_exchange_n(&s->stale, false, __ATOMIC_ACQUIRE))
		s->settled[0] = '\0';
	return strncmp(s->settled, path, len) == 0 && s->settled[len] == '\0';
}

void origins_note_parents(struct origins *s, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;
	if (len == 0 || len >= sizeof(parent) || is_settled(s, path, len))
		return;
	memcpy(parent, path, len);
	parent[len] = '\0';
	/* canonical, and this process sees what the session sees */
	if (!only_lower(s, parent)) {
		memcpy(s->settled, parent, len + 1);
		return;
	}
	do {
		struct stat st;
		if (lstat(parent, &st) < 0)
			return;
		append(s, parent, &st);
		*strrchr(parent, '/') = '\0';
	} while (*parent && only_lower(s, parent));
}

void origins_note(struct origins *s, const char *path, const struct stat *st)
{
	static const struct stat nothing;
	if (!only_lower(s, path))
		return;
	append(s, path, st ? st : &nothing);
	origins_note_parents(s, path);
}

static void note_below(struct origins *s, int parent, const char *name, char *path, size_t len,
		       unsigned depth)
{
	struct stat st;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	origins_note(s, path, &st);
	if (!S_ISDIR(st.st_mode))
		return;
	cleanup_dir DIR *d = fd_opendir(parent, name, O_NOFOLLOW);
	if (!d || depth == TREE_DEPTH_MAX) {
		s->failed = true;
		return;
	}
	for (const struct dirent *e; (e = readdir(d));) {
		size_t n = strlen(e->d_name);
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (len + n + 2 > PATH_MAX) {
			s->failed = true;
			continue;
		}
		path[len] = '/';
		memcpy(path + len + 1, e->d_name, n + 1);
		note_below(s, dirfd(d), e->d_name, path, len + 1 + n, depth + 1);
		path[len] = '\0';
	}
}

void origins_note_tree(struct origins *s, int dirfd, const char *name, const char *path)
{
	char text[PATH_MAX];
	size_t len = strlen(path);
	if (len >= sizeof(text))
		return;
	memcpy(text, path, len + 1);
	note_below(s, dirfd, name, text, len, 0);
}

static struct origin_entry *slot_of(const struct origin_table *t, const char *path)
{
	for (uint64_t i = hash_of(path);; i++) {
		struct origin_entry *e = &t->slots[i & (t->size - 1)];
		if (!e->path || strcmp(e->path, path) == 0)
			return e;
	}
}

static int grow(struct origin_table *t)
{
	struct origin_table larger = { .size = t->size ? t->size * 2 : 256, .count = t->count };
	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->size; i++)
		if (t->slots[i].path)
			*slot_of(&larger, t->slots[i].path) = t->slots[i];
	free(t->slots);
	*t = larger;
	return 0;
}

static int load_record(const void *record, size_t len, void *arg)
{
	struct origin_table *t = arg;
	const struct origin *was = record;
	if (len <= sizeof(*was))
		return -EBADMSG;
	if ((t->count + 1) * 4 > t->size * 3) {
		int r = grow(t);
		if (r < 0)
			return r;
	}
	char *path = strndup((const char *)record + sizeof(*was), len - sizeof(*was));
	if (!path)
		return -ENOMEM;
	struct origin_entry *e = slot_of(t, path);
	/* the session saw nothing where it had hidden the host's itself: what is known of that stays */
	if (e->path && e->was.mode && !was->mode && was->by == ORIGIN_MONITOR) {
		free(path);
		return 0;
	}
	t->count += !e->path;
	free(e->path);
	*e = (struct origin_entry){ .path = path, .was = *was };
	return 0;
}

int origin_table_load(int session_dirfd, struct origin_table *ret, struct err *err)
{
	*ret = (struct origin_table){ 0 };
	int r = ledger_read(session_dirfd, ledger_name, load_record, ret);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		origin_table_finish(ret);
		return err_sys(err, -r, "cannot read what the session found (origins)");
	}
	return 0;
}

const struct origin *origin_find(const struct origin_table *t, const char *path)
{
	const struct origin_entry *e = t->size ? slot_of(t, path) : NULL;
	return e && e->path ? &e->was : NULL;
}

bool origin_unseen(const struct origin_table *t, const char *path, size_t parent_len)
{
	char *parent = strndup(path, parent_len);
	const struct origin *dir = parent ? origin_find(t, parent) : NULL;
	free(parent);
	if (!dir || dir->by != ORIGIN_COMMIT_HIDING)
		return false;
	const struct origin *was = origin_find(t, path);
	return !was || !was->mode;
}

void origin_table_finish(struct origin_table *t)
{
	for (size_t i = 0; i < t->size; i++)
		free(t->slots[i].path);
	free(t->slots);
	*t = (struct origin_table){ 0 };
}

const char *origin_differs(const struct origin *was, const struct stat *now)
{
	if (!was->mode)
		return "its existence: there was nothing when the session made it";
	if ((was->mode & S_IFMT) != (now->st_mode & S_IFMT))
		return "its type";
	/* rootless, an owner that is not mapped is shown as nobody */
	if ((was->uid != OVERFLOW_ID && was->uid != now->st_uid) ||
	    (was->gid != OVERFLOW_ID && was->gid != now->st_gid))
		return "its owner";
	if (S_ISDIR(now->st_mode)) /* its times change with its entries, which are compared themselves */
		return was->mode != now->st_mode ? "its mode" : NULL;
	if (was->size != now->st_size || was->mtime_sec != now->st_mtim.tv_sec ||
	    was->mtime_nsec != now->st_mtim.tv_nsec)
		return "its content";
	if ((uint32_t)was->ino != (uint32_t)now->st_ino)
		return "its identity (another file has that name)";
	if (was->mode != now->st_mode)
		return "its mode";
	if (was->ctime_sec != now->st_ctim.tv_sec || was->ctime_nsec != now->st_ctim.tv_nsec)
		return "its attributes, or its content with the time set back";
	return NULL;
}
