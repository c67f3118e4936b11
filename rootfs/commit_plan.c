/* The uppers as a list of steps. */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/path.h"
#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_planner.h"

void commit_plan_finish(struct commit_plan *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->ops[i].path);
	for (size_t i = 0; i < p->problem_count; i++) {
		free(p->problems[i].path);
		free(p->problems[i].why);
	}
	free(p->ops);
	free(p->problems);
	*p = (struct commit_plan){ 0 };
}

unsigned commit_plan_problems(const struct commit_plan *p, enum commit_problem_kind kind)
{
	unsigned n = 0;
	for (size_t i = 0; i < p->problem_count; i++)
		n += p->problems[i].kind == kind;
	return n;
}

static int grow(void **items, size_t *room, size_t count, size_t size)
{
	if (count < *room)
		return 0;
	size_t larger = *room ? *room * 2 : 64;
	void *grown = reallocarray(*items, larger, size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*room = larger;
	return 0;
}

void commit_problem(struct planner *p, enum commit_problem_kind kind, const char *path,
		    const char *fmt, ...)
{
	struct commit_plan *plan = p->plan;
	char *why = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&why, fmt, ap);
	va_end(ap);
	if (n < 0 || grow((void **)&plan->problems, &plan->problem_room, plan->problem_count,
			  sizeof(*plan->problems)) < 0) {
		p->failed = true;
		return;
	}
	plan->problems[plan->problem_count++] =
		(struct commit_problem){ .kind = kind, .path = strdup(path), .why = why };
}

static int note_change(const struct change *c, void *arg)
{
	struct planner *p = arg;
	if (grow((void **)&p->seen, &p->room, p->count, sizeof(*p->seen)) < 0)
		return -ENOMEM;
	struct seen *s = &p->seen[p->count];
	*s = (struct seen){
		.path = strdup(c->path), .kind = c->kind, .layer = c->layer, .same = c->same
	};
	if (!s->path)
		return -ENOMEM;
	p->count++;
	s->letter = "AMD"[c->kind];
	if (c->upper)
		s->upper = *c->upper;
	if (c->lower)
		s->lower = *c->lower;
	return 0;
}

static int compare_files(const void *a, const void *b)
{
	const struct seen *x = *(const struct seen *const *)a, *y = *(const struct seen *const *)b;
	if (x->upper.st_dev != y->upper.st_dev)
		return x->upper.st_dev < y->upper.st_dev ? -1 : 1;
	if (x->upper.st_ino != y->upper.st_ino)
		return x->upper.st_ino < y->upper.st_ino ? -1 : 1;
	return 0;
}

/*
 * Names of one file are to be so on the host: where one of them changes, or they are those of several files there, the
 * others are put again with it. Of the rest that nothing differs at is no change.
 */
static int join_names(struct planner *p)
{
	cleanup_free struct seen **files = calloc(p->count + 1, sizeof(struct seen *));
	size_t n = 0, kept = 0;
	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < p->count; i++)
		if (p->seen[i].kind != CHANGE_DELETED && S_ISREG(p->seen[i].upper.st_mode) &&
		    p->seen[i].upper.st_nlink > 1)
			files[n++] = &p->seen[i];
	if (n)
		qsort(files, n, sizeof(struct seen *), compare_files);
	for (size_t i = 0, end; i < n; i = end) {
		bool joined = true;
		for (end = i; end < n && compare_files(&files[i], &files[end]) == 0; end++)
			joined &= files[end]->same &&
				  files[end]->lower.st_ino == files[i]->lower.st_ino &&
				  files[end]->lower.st_dev == files[i]->lower.st_dev;
		for (size_t j = i; j < end; j++)
			files[j]->same = joined;
	}
	for (size_t i = 0; i < p->count; i++) {
		if (p->seen[i].same)
			free(p->seen[i].path);
		else
			p->seen[kept++] = p->seen[i];
	}
	p->count = kept;
	return 0;
}

static bool excluded(const struct commit_request *req, const char *path)
{
	const char *leaf = strrchr(path, '/') + 1;
	for (unsigned i = 0; req->excludes && req->excludes[i]; i++) {
		const char *pattern = req->excludes[i];
		if (fnmatch(pattern, leaf, 0) == 0 || fnmatch(pattern, path, FNM_LEADING_DIR) == 0)
			return true;
		/* a directory that is left out takes what is in it along */
		for (const char *at = path; (at = strchr(at + 1, '/'));) {
			char part[NAME_MAX + 1];
			const char *begin = at;
			while (begin > path && begin[-1] != '/')
				begin--;
			if ((size_t)(at - begin) > NAME_MAX)
				continue;
			memcpy(part, begin, (size_t)(at - begin));
			part[at - begin] = '\0';
			if (fnmatch(pattern, part, 0) == 0)
				return true;
		}
	}
	return false;
}

static bool asked_for(const struct commit_request *req, const char *path)
{
	bool named = !req->paths || !req->paths[0];
	for (unsigned i = 0; req->paths && req->paths[i]; i++)
		named |= path_is_within(path, req->paths[i]);
	return named && !excluded(req, path);
}

/* Is @s a step towards @path: a directory that is new, or new in its type, above it? */
static bool makes_room_for(const struct seen *s, const char *path)
{
	return s->kind != CHANGE_DELETED && S_ISDIR(s->upper.st_mode) &&
	       !(s->kind == CHANGE_MODIFIED && S_ISDIR(s->lower.st_mode)) &&
	       strcmp(s->path, path) != 0 && path_is_within(path, s->path);
}

/* Which changes are wanted; with a wanted one, the new directories above it. */
static void choose(struct planner *p)
{
	const struct commit_request *req = p->req;
	p->plan->whole = true;
	for (size_t i = 0; i < p->count; i++) {
		struct seen *s = &p->seen[i];
		s->wanted = asked_for(req, s->path);
		if (s->wanted && req->want)
			s->wanted = req->want(s->path, s->letter, req->want_arg);
	}
	/* parents come before children: the chain of open directories is a stack */
	size_t *stack = calloc(p->count + 1, sizeof(*stack)), depth = 0;
	if (!stack) {
		p->failed = true;
		return;
	}
	for (size_t i = 0; i < p->count; i++) {
		struct seen *s = &p->seen[i];
		while (depth && !path_is_within(s->path, p->seen[stack[depth - 1]].path))
			depth--;
		for (size_t d = 0; s->wanted && d < depth; d++)
			if (makes_room_for(&p->seen[stack[d]], s->path))
				p->seen[stack[d]].wanted = true;
		stack[depth++] = i;
	}
	/* a directory that goes must be empty; one that becomes a file likewise */
	depth = 0;
	for (size_t i = 0; i < p->count; i++) {
		struct seen *s = &p->seen[i];
		while (depth && !path_is_within(s->path, p->seen[stack[depth - 1]].path))
			depth--;
		for (size_t d = 0; !s->wanted && d < depth; d++) {
			struct seen *above = &p->seen[stack[d]];
			if (above->wanted && s->kind == CHANGE_DELETED &&
			    (above->kind == CHANGE_DELETED || !S_ISDIR(above->upper.st_mode)))
				commit_problem(p, COMMIT_REFUSED, above->path,
					       "%s in it is left out, and would go with it",
					       s->path);
		}
		stack[depth++] = i;
	}
	free(stack);
	for (size_t i = 0; i < p->count; i++)
		p->plan->whole &= p->seen[i].wanted;
}

static struct commit_op *add_op(struct planner *p, enum commit_kind kind, const char *path,
				unsigned layer)
{
	struct commit_plan *plan = p->plan;
	const struct overlay_layer *l = &p->req->overlay->layers[layer];
	char *copy = strdup(path);
	if (!copy || plan->count >= UINT32_MAX - 1 ||
	    grow((void **)&plan->ops, &plan->room, plan->count, sizeof(*plan->ops)) < 0) {
		free(copy);
		p->failed = true;
		return NULL;
	}
	struct commit_op *op = &plan->ops[plan->count];
	*op = (struct commit_op){ .kind = kind,
				  .group = (uint32_t)plan->count,
				  .layer = l->index,
				  .root_len = (uint32_t)(l->mount[1] ? strlen(l->mount) : 0),
				  .path = copy };
	plan->count++;
	return op;
}

static void add_removal(struct planner *p, const struct seen *s, bool early)
{
	struct commit_op *op = add_op(p, S_ISDIR(s->lower.st_mode) ? COMMIT_RMDIR : COMMIT_DELETE,
				      s->path, s->layer);
	if (!op)
		return;
	op->early = early;
	commit_state_of(&s->lower, &op->old);
}

static void add_steps(struct planner *p, const struct seen *s, bool early)
{
	if (s->kind == CHANGE_DELETED) {
		add_removal(p, s, early);
		return;
	}
	bool dir = S_ISDIR(s->upper.st_mode), was_dir = S_ISDIR(s->lower.st_mode);
	bool retyped = s->kind == CHANGE_MODIFIED && dir != was_dir;
	if (retyped)
		add_removal(p, s, true);
	enum commit_kind kind = !dir                                     ? COMMIT_PUT
				: s->kind == CHANGE_MODIFIED && !retyped ? COMMIT_META
									 : COMMIT_MKDIR;
	struct commit_op *op = add_op(p, kind, s->path, s->layer);
	if (!op)
		return;
	commit_state_of(&s->upper, &op->new);
	if (s->kind == CHANGE_MODIFIED && !retyped)
		commit_state_of(&s->lower, &op->old);
}

struct link_key {
	uint64_t dev, ino;
	size_t op;
};

static int compare_keys(const void *a, const void *b)
{
	const struct link_key *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->op < y->op ? -1 : x->op > y->op;
}

/*
 * Names of one file stay so. And where all its names go, the file itself may become the host's:
 * were one left in the layer, the session could later write to the host's through it.
 */
static int find_groups(struct planner *p, const nlink_t *links)
{
	struct commit_plan *plan = p->plan;
	cleanup_free struct link_key *keys = calloc(plan->count + 1, sizeof(*keys));
	size_t n = 0;
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++)
		if (plan->ops[i].kind == COMMIT_PUT)
			keys[n++] =
				(struct link_key){ plan->ops[i].new.dev, plan->ops[i].new.ino, i };
	if (n)
		qsort(keys, n, sizeof(*keys), compare_keys);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
		     end < n && keys[end].dev == keys[i].dev && keys[end].ino == keys[i].ino; end++)
			;
		for (size_t j = i; j < end; j++) {
			struct commit_op *op = &plan->ops[keys[j].op];
			op->group = (uint32_t)keys[i].op;
			/* a session that runs may have it open, and goes on writing */
			op->link = plan->layers == COMMIT_DROPS && links[keys[j].op] == end - i &&
				   (plan->keep_setuid || !S_ISREG(op->new.mode) ||
				    !(op->new.mode & 06000));
		}
	}
	return 0;
}

static int compare_ops(const void *a, const void *b)
{
	const struct commit_op *x = *(const struct commit_op *const *)a;
	const struct commit_op *y = *(const struct commit_op *const *)b;
	return strcmp(x->path, y->path);
}

/* The directories whose entries change, but for those that are made, changed or removed themselves. */
static int add_touches(struct planner *p)
{
	struct commit_plan *plan = p->plan;
	size_t count = plan->count;
	cleanup_free struct commit_op **dirs = calloc(count + 1, sizeof(struct commit_op *));
	size_t n = 0;
	if (!dirs)
		return -ENOMEM;
	cleanup_free struct commit_op *ops = malloc((count + 1) * sizeof(*ops));
	if (!ops)
		return -ENOMEM;
	memcpy(ops, plan->ops, count * sizeof(*ops)); /* add_op moves the list */
	for (size_t i = 0; i < count; i++)
		if (ops[i].kind == COMMIT_MKDIR || ops[i].kind == COMMIT_META ||
		    ops[i].kind == COMMIT_RMDIR)
			dirs[n++] = &ops[i];
	if (n)
		qsort(dirs, n, sizeof(struct commit_op *), compare_ops);
	char *last = NULL;
	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind == COMMIT_META)
			continue;
		size_t len = beneath_parent_len(ops[i].path);
		char *parent = len ? strndup(ops[i].path, len) : strdup("/");
		struct commit_op key = { .path = parent }, *wanted = &key;
		if (!parent || (last && strcmp(last, parent) == 0) ||
		    (n && bsearch(&wanted, dirs, n, sizeof(struct commit_op *), compare_ops))) {
			p->failed |= !parent;
			free(parent);
			continue;
		}
		free(last);
		last = parent;
		unsigned layer = 0;
		while (p->req->overlay->layers[layer].index != ops[i].layer)
			layer++;
		const struct overlay_layer *l = &p->req->overlay->layers[layer];
		const char *below = parent + ops[i].root_len;
		below += *below == '/';
		cleanup_fd int root = beneath_root(l->lower, strlen(l->lower));
		cleanup_fd int host = root < 0 ? root : beneath_dir(root, below, strlen(below));
		cleanup_fd int upper =
			p->plan->layers == COMMIT_KEEPS
				? beneath_dir(l->upper_fd, below, strlen(below))
				: beneath_dir_forced(l->upper_fd, below, strlen(below));
		struct stat h, u;
		/* swapped just now, or an undo could not give it its time again */
		if (host == -ELOOP || host == -ENOTDIR || host == -EXDEV)
			commit_problem(p, COMMIT_CONFLICT, parent,
				       "another thing stands there on the host, or above it");
		if (host < 0 || upper < 0 || fstat(host, &h) < 0 || fstat(upper, &u) < 0)
			continue;
		struct commit_op *op = add_op(p, COMMIT_TOUCH, parent, layer);
		if (!op)
			continue;
		commit_state_of(&h, &op->old);
		/* younger on the host: somebody else was there, and its time is told by what is done now */
		bool ours = origin_find(&p->origins, parent) ||
			    u.st_mtim.tv_sec > h.st_mtim.tv_sec ||
			    (u.st_mtim.tv_sec == h.st_mtim.tv_sec &&
			     u.st_mtim.tv_nsec >= h.st_mtim.tv_nsec);
		if (ours)
			commit_state_of(&u, &op->new);
	}
	free(last);
	return 0;
}

/* Is the change below a directory that became a file? Those come right after it. */
static const struct seen *room_maker(const struct seen *above, const struct seen *s)
{
	if (above && s->kind == CHANGE_DELETED && path_is_within(s->path, above->path))
		return above;
	return s->kind == CHANGE_MODIFIED && !S_ISDIR(s->upper.st_mode) && S_ISDIR(s->lower.st_mode)
		       ? s
		       : NULL;
}

static int make_steps(struct planner *p)
{
	const struct seen *above = NULL;
	cleanup_free nlink_t *links = calloc(2 * p->count + 1, sizeof(*links));
	if (!links)
		return -ENOMEM;
	for (size_t i = 0; i < p->count; i++) {
		const struct seen *s = &p->seen[i];
		above = room_maker(above, s);
		if (!s->wanted)
			continue;
		add_steps(p, s, above && above != s);
		if (p->plan->count)
			links[p->plan->count - 1] = s->upper.st_nlink;
	}
	int r = find_groups(p, links);
	return r < 0 ? r : add_touches(p);
}

int commit_plan_make(const struct commit_request *req, struct commit_plan *ret, struct err *err)
{
	*ret = (struct commit_plan){ .layers = req->layers,
				     .journal = req->journal,
				     .keep_setuid = req->keep_setuid };
	const char *home = getenv("HOME");
	struct planner p = {
		.req = req, .plan = ret, .err = err, .home = home && *home == '/' ? home : ""
	};
	for (unsigned i = 0; i < req->overlay->count; i++)
		if (strcmp(req->overlay->layers[i].mount, req->overlay->layers[i].lower) != 0)
			return err_set(err, EOPNOTSUPP,
				       "commit: the session did not run on this host's files");
	int r = origin_table_load(req->session_dirfd, &p.origins, err);
	if (r == 0)
		r = upper_walk_names(req->overlay, note_change, &p, err);
	if (r == 0)
		r = join_names(&p);
	if (r == 0) {
		choose(&p);
		for (size_t i = 0; i < p.count; i++) {
			const struct seen *s = &p.seen[i];
			if (!s->wanted)
				continue;
			commit_check_change(&p, s);
		}
		commit_check_whole(&p);
		r = make_steps(&p);
	}
	if (r == -ENOMEM || (r == 0 && p.failed))
		r = err_set(err, ENOMEM, "commit: out of memory");
	for (size_t i = 0; i < p.count; i++)
		free(p.seen[i].path);
	free(p.seen);
	origin_table_finish(&p.origins);
	if (r < 0)
		commit_plan_finish(ret);
	return r;
}
