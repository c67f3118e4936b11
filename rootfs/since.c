#include "rootfs/since.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/scope.h"
#include "rootfs/content.h"
#include "rootfs/journal.h"

enum { CONTENT_IS_NOW = -1 };

/* A name that a record names, or leads to one. */
struct node {
	char *name;      /* owned */
	void *children;  /* tsearch(3) tree of nodes by name; owned */
	char *now;       /* where the object is now; owned. NULL: under its name in its parent's */
	bool known;      /* st and content say what was here; else it is as now */
	struct stat st;  /* st_mode 0: there was nothing */
	int64_t content; /* index of the record that keeps it, CONTENT_IS_NOW */
};

struct since {
	int root_fd; /* borrowed */
	struct journal_reader *journal;
	struct node root;
	uint64_t dropped;
};

static int compare_nodes(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static void drop_node(void *p);

static void empty_node(struct node *n)
{
	tdestroy(n->children, drop_node);
	n->children = NULL;
	free(take_ptr(n->now));
}

static void drop_node(void *p)
{
	struct node *n = p;
	empty_node(n);
	free(n->name);
	free(n);
}

static struct node *child(struct node *parent, const char *name, size_t len, bool make)
{
	char text[NAME_MAX + 1];
	if (len >= sizeof(text))
		return NULL;
	memcpy(text, name, len);
	text[len] = '\0';
	struct node key = { .name = text };
	struct node **found = tfind(&key, &parent->children, compare_nodes);
	if (found || !make)
		return found ? *found : NULL;
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->content = CONTENT_IS_NOW;
	n->name = strdup(text);
	if (!n->name || !tsearch(n, &parent->children, compare_nodes)) {
		free(n->name);
		free(n);
		return NULL;
	}
	return n;
}

/* The node of @path. @ret_now (PATH_MAX, NULL not wanted): where its object is now, if it is anywhere. */
static struct node *find(struct since *s, const char *path, bool make, char *ret_now)
{
	struct node *n = &s->root;
	size_t used = 0;
	for (const char *at = path; *at;) {
		size_t len = strcspn(++at, "/");
		if (len && !(n = child(n, at, len, make)))
			return NULL;
		if (len && ret_now) {
			const char *name = n->now ? n->now : n->name;
			int w = snprintf(ret_now + (n->now ? 0 : used),
					 PATH_MAX - (n->now ? 0 : used), "%s%s", n->now ? "" : "/",
					 name);
			used = (n->now ? 0 : used) + (size_t)w;
			if (used >= PATH_MAX)
				return NULL;
		}
		at += len;
	}
	if (ret_now && !used)
		strcpy(ret_now, "/");
	return n;
}

static void stat_of(const struct journal_stat *was, struct stat *ret)
{
	*ret = (struct stat){
		.st_mode = was->mode,
		.st_uid = was->uid,
		.st_gid = was->gid,
		.st_size = (off_t)was->size,
		.st_nlink = was->nlink,
		.st_mtim = { was->mtime.sec, was->mtime.nsec },
		.st_atim = { was->atime.sec, was->atime.nsec },
	};
}

/* What is known below stays: it came later, and was not there either. */
static void put_nothing(struct node *n)
{
	free(take_ptr(n->now));
	n->known = true;
	n->st = (struct stat){ 0 };
	n->content = CONTENT_IS_NOW;
}

/* What the record @index says was here. A length alone, or attributes, leave the content what it is. */
static void put_before(struct node *n, const struct journal_record *r, size_t index)
{
	if (!r->before.mode) {
		put_nothing(n);
		return;
	}
	n->known = true;
	stat_of(&r->before, &n->st);
	if (r->content != JOURNAL_CONTENT_NONE && r->content != JOURNAL_CONTENT_LENGTH)
		n->content = (int64_t)index;
}

/* The names below @from that @to does not have go there, the others are dropped. */
static int merge_children(struct node *to, struct node *from)
{
	while (from->children) {
		struct node *n = *(struct node **)from->children;
		tdelete(n, &from->children, compare_nodes);
		struct node **found = tsearch(n, &to->children, compare_nodes);
		int r = found ? 0 : -ENOMEM;
		if (found && *found == n)
			continue;
		if (found)
			r = merge_children(*found, n);
		drop_node(n);
		if (r < 0)
			return r;
	}
	return 0;
}

static int undo_rename(struct since *s, const struct journal_view *v, size_t index)
{
	char now[2][PATH_MAX];
	struct node *from = find(s, v->path, true, now[0]);
	struct node *to = find(s, v->path2, true, now[1]);
	if (!from || !to)
		return -ENOMEM;
	char *moved_now = to->now ? take_ptr(to->now) : strdup(now[1]);
	char *other_now = from->now ? take_ptr(from->now) : strdup(now[0]);
	if (!moved_now || !other_now) {
		free(moved_now);
		free(other_now);
		return -ENOMEM;
	}
	struct node was = *from;
	char *from_name = from->name, *to_name = to->name;
	*from = *to;
	*to = was;
	from->name = from_name;
	to->name = to_name;
	from->now = moved_now;
	to->now = other_now;
	from->known = true;
	stat_of(&v->record->moved, &from->st);
	if (v->record->flags & JOURNAL_EXCHANGE) {
		to->known = true;
		stat_of(&v->record->before, &to->st);
	} else {
		/* names that came later where it had been: they were not there */
		int r = merge_children(from, to);
		if (r < 0)
			return r;
		put_nothing(to);
		put_before(to, v->record, index);
	}
	return 0;
}

static int undo_record(struct since *s, const struct journal_view *v, size_t index)
{
	const struct journal_record *r = v->record;
	if (r->kind != JOURNAL_ACTION || r->state == JOURNAL_FAILED || r->state == JOURNAL_UNDONE)
		return 0;
	if (r->undo == UNDO_RENAME)
		return v->path2 ? undo_rename(s, v, index) : 0;
	struct node *n = find(s, v->path, true, NULL);
	if (!n)
		return -ENOMEM;
	if (r->undo == UNDO_MAKE)
		put_nothing(n);
	else
		put_before(n, r, index);
	return 0;
}

int since_open(int session_dirfd, int root_fd, struct since **ret, struct err *err)
{
	struct since *s = calloc(1, sizeof(*s));
	if (!s)
		return err_sys(err, ENOMEM, "diff");
	s->root_fd = root_fd;
	s->root.content = CONTENT_IS_NOW;
	int r = journal_reader_open(session_dirfd, JOURNAL_READ, &s->journal, err);
	for (size_t i = r == 0 ? journal_reader_count(s->journal) : 0; r == 0 && i-- > 0;) {
		struct journal_view v;
		journal_reader_at(s->journal, i, &v);
		if (i == 0)
			s->dropped = v.record->number - 1;
		r = undo_record(s, &v, i);
		if (r < 0)
			err_sys(err, -r, "diff: the journal cannot be followed at %.300s", v.path);
	}
	if (r < 0) {
		since_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void since_close(struct since *s)
{
	if (!s)
		return;
	if (s->journal)
		journal_reader_close(s->journal);
	empty_node(&s->root);
	free(s);
}

uint64_t since_dropped(const struct since *s)
{
	return s->dropped;
}

/* The directory that @path's last name is in. O_PATH descriptor, -errno. */
static int open_parent(const struct since *s, const char *path)
{
	char parent[PATH_MAX];
	const struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
						 RESOLVE_NO_MAGICLINKS };
	const char *slash = strrchr(path, '/');
	snprintf(parent, sizeof(parent), ".%.*s", (int)(slash - path), path);
	int fd = (int)syscall(SYS_openat2, s->root_fd, parent, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* A link's text, or a record's content, as something that can be read. */
static int as_file(const void *bytes, size_t len)
{
	cleanup_fd int fd = memfd_create("content", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : content_write(fd, bytes, len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : take_fd(&fd);
}

int since_open_now(const struct since *s, const char *path)
{
	char text[PATH_MAX];
	struct stat st;
	const char *leaf = strrchr(path, '/') + 1;
	cleanup_fd int dir = open_parent(s, path);
	if (dir < 0)
		return dir;
	ssize_t n = readlinkat(dir, leaf, text, sizeof(text));
	if (n >= 0)
		return as_file(text, (size_t)n);
	cleanup_fd int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? take_fd(&fd) : -EINVAL;
}

/* The content that a record keeps. */
static int open_kept(const struct since *s, size_t index, size_t size)
{
	struct journal_view v;
	journal_reader_at(s->journal, index, &v);
	switch ((enum journal_content)v.record->content) {
	case JOURNAL_CONTENT_INLINE:
		return as_file(v.content,
			       size < v.record->content_len ? size : v.record->content_len);
	case JOURNAL_CONTENT_STASH:
		return journal_reader_stash(s->journal, v.record->stash);
	case JOURNAL_CONTENT_NONE:
	case JOURNAL_CONTENT_LENGTH:
	case JOURNAL_CONTENT_LOWER: /* there is none below real files */
	case JOURNAL_CONTENT_NAMED:
	case JOURNAL_CONTENT_LOST:
	case JOURNAL_CONTENT_END:
		break;
	}
	return -ENODATA;
}

int since_open_before(const struct since *s, const char *path)
{
	char now[PATH_MAX];
	/* looks only */
	const struct node *n = find((struct since *)(uintptr_t)s, path, false, now);
	if (!n || (n->known && !n->st.st_mode))
		return -ENOENT;
	if (n->content != CONTENT_IS_NOW)
		return open_kept(s, (size_t)n->content, (size_t)n->st.st_size);
	return since_open_now(s, now);
}

enum { COMPARE_BYTES = 65536 };

/* The first @size bytes of both. What cannot be read counts as different. */
static bool same_bytes(int a, int b, off_t size)
{
	cleanup_free char *x = malloc(COMPARE_BYTES);
	cleanup_free char *y = malloc(COMPARE_BYTES);
	for (off_t at = 0; x && y && at < size;) {
		size_t want = size - at < COMPARE_BYTES ? (size_t)(size - at) : COMPARE_BYTES;
		ssize_t n = pread(a, x, want, at);
		if (n <= 0 || pread(b, y, (size_t)n, at) != n || memcmp(x, y, (size_t)n) != 0)
			return false;
		at += n;
	}
	return x && y;
}

static bool same_content(const struct since *s, const struct node *n, const char *path,
			 const struct stat *now)
{
	if (n->st.st_size != now->st_size)
		return false;
	if (n->content == CONTENT_IS_NOW && !n->now)
		return true;
	cleanup_fd int before = since_open_before(s, path);
	cleanup_fd int after = since_open_now(s, path);
	return before >= 0 && after >= 0 && same_bytes(before, after, now->st_size);
}

/* A directory's times change with its entries, which are told one by one. */
static bool same_meta(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       (S_ISDIR(a->st_mode) || (a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
					a->st_mtim.tv_nsec == b->st_mtim.tv_nsec));
}

struct walk {
	const struct since *since;
	int (*visit)(const struct change *c, void *arg);
	void *arg;
	char path[PATH_MAX];
	size_t len;
	int result;
};

static int tell(struct walk *w, const struct node *n)
{
	struct stat now;
	struct change c = { .path = w->path, .content = true };
	cleanup_fd int dir = open_parent(w->since, w->path);
	if (dir < 0 && dir != -ENOENT && dir != -ENOTDIR && dir != -ELOOP)
		return dir;
	if (dir >= 0 && fstatat(dir, strrchr(w->path, '/') + 1, &now, AT_SYMLINK_NOFOLLOW) == 0)
		c.upper = &now;
	if (n->st.st_mode)
		c.lower = &n->st;
	if (!c.upper && !c.lower)
		return 0;
	c.kind = !c.upper ? CHANGE_DELETED : !c.lower ? CHANGE_ADDED : CHANGE_MODIFIED;
	if (c.kind == CHANGE_MODIFIED && (now.st_mode & S_IFMT) == (n->st.st_mode & S_IFMT)) {
		bool holds = S_ISREG(now.st_mode) || S_ISLNK(now.st_mode);
		c.content = holds && !same_content(w->since, n, w->path, &now);
		if (!c.content && same_meta(&now, &n->st))
			return 0;
	}
	return w->visit(&c, w->arg);
}

static void walk_node(const void *nodep, VISIT which, void *closure)
{
	struct walk *w = closure;
	const struct node *n = *(const struct node *const *)nodep;
	size_t len = w->len, more = strlen(n->name) + 1;
	if ((which != postorder && which != leaf) || w->result != 0)
		return;
	if (len + more >= sizeof(w->path)) {
		w->result = -ENAMETOOLONG;
		return;
	}
	w->path[len] = '/';
	memcpy(w->path + len + 1, n->name, more);
	w->len += more;
	if (n->known)
		w->result = tell(w, n);
	if (w->result == 0)
		twalk_r(n->children, walk_node, w);
	w->path[w->len = len] = '\0';
}

int since_walk(const struct since *s, int (*visit)(const struct change *c, void *arg), void *arg,
	       struct err *err)
{
	struct walk w = { .since = s, .visit = visit, .arg = arg };
	twalk_r(s->root.children, walk_node, &w);
	if (w.result < 0)
		return err_sys(err, -w.result, "diff");
	return w.result;
}
