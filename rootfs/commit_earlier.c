/*
 * The commits before one that is undone. What it brings back may be another object than they had left: a directory is
 * made anew, a pre-image on another filesystem copied. They are told, or their own undo would take it for
 * somebody else's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/scope.h"
#include "rootfs/commit_private.h"

struct brought_back {
	const char *path; /* borrowed */
	struct commit_state was, is;
};

static int compare(const void *a, const void *b)
{
	const struct brought_back *x = a, *y = b;
	if (x->was.ino != y->was.ino)
		return x->was.ino < y->was.ino ? -1 : 1;
	if (x->was.dev != y->was.dev)
		return x->was.dev < y->was.dev ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* What is not the object that the commit had found. Number of them, -ENOMEM. */
static ssize_t find(struct commit *c, struct brought_back **ret)
{
	cleanup_free struct brought_back *list = calloc(c->plan.count + 1, sizeof(*list));
	size_t count = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < c->plan.count; i++) {
		const struct commit_op *op = &c->plan.ops[i];
		const char *leaf;
		struct stat st;
		if (!op->old.mode || op->kind == COMMIT_TOUCH || c->progress[i].drifted)
			continue;
		int dir = commit_host_dir(c, op, &leaf);
		if (dir < 0 || fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    (st.st_mode & S_IFMT) != (op->old.mode & S_IFMT) ||
		    (st.st_ino == op->old.ino && st.st_dev == op->old.dev))
			continue;
		struct brought_back *b = &list[count++];
		*b = (struct brought_back){ .path = op->path, .was = op->old };
		commit_state_of(&st, &b->is);
	}
	if (count)
		qsort(list, count, sizeof(*list), compare);
	*ret = take_ptr(list);
	return (ssize_t)count;
}

static int tell(struct commit *earlier, const struct brought_back *list, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < earlier->plan.count; i++) {
		const struct commit_state *left = &earlier->progress[i].staged;
		struct brought_back key = { .path = earlier->plan.ops[i].path, .was = *left };
		const struct brought_back *b =
			left->mode ? bsearch(&key, list, count, sizeof(*list), compare) : NULL;
		if (b)
			r = commit_mark(earlier, MARK_STAGED, i, &b->is);
	}
	return r == 0 ? ledger_sync(&earlier->ledger) : r;
}

int commit_earlier_tell(struct commit *c)
{
	cleanup_free struct brought_back *list = NULL;
	commit_forget(&c->host);
	ssize_t count = find(c, &list);
	int r = count < 0 ? (int)count : 0;
	for (unsigned n = c->number; r == 0 && count > 0;) {
		struct commit earlier;
		r = commit_record_before(c->session_dirfd, n, &earlier, c->err);
		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return r;
		n = earlier.number;
		r = tell(&earlier, list, (size_t)count);
		commit_record_close(&earlier);
	}
	return r < 0 ? err_sys(c->err, -r,
			       "undo: the record of an earlier commit cannot be written")
		     : 0;
}
