/* The uppers as a list of steps, and all that speaks against them. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_private.h"
#include "rootfs/hostexec.h"
#include "rootfs/origin.h"
#include "rootfs/overlay_plan.h"
#include "rootfs/upper.h"

enum { CONTENT_MAX = 1 << 18 };

/* One change of the walk, kept until all are known. */
struct seen {
	char *path; /* owned */
	enum change_kind kind;
	char letter;
	unsigned layer; /* place in the overlay */
	struct stat upper, lower;
	bool wanted;
};

struct planner {
	const struct commit_request *req;
	struct commit_plan *plan;
	struct origin_table origins;
	struct seen *seen; /* owned */
	size_t count, room;
	struct err *err;
	const char *home;
	bool failed; /* out of memory in a report */
};

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

__attribute__((format(printf, 4, 5))) static void
problem(struct planner *p, enum commit_problem_kind kind, const char *path, const char *fmt, ...)
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
	*s = (struct seen){ .path = strdup(c->path), .kind = c->kind, .layer = c->layer };
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
				problem(p, COMMIT_REFUSED, above->path,
					"%s in it is left out, and would go with it", s->path);
		}
		stack[depth++] = i;
	}
	free(stack);
	for (size_t i = 0; i < p->count; i++)
		p->plan->whole &= p->seen[i].wanted;
}

/* ---- what speaks against a change ---- */

/* The directory of an upper or of the host in which the change lies. The caller closes it. */
static int open_side(const struct planner *p, const struct seen *s, bool upper)
{
	const struct overlay_layer *l = &p->req->overlay->layers[s->layer];
	size_t root_len = l->mount[1] ? strlen(l->mount) : 0;
	const char *below = s->path + root_len + 1;
	if (upper)
		return beneath_dir_forced(l->upper_fd, below, beneath_parent_len(below));
	cleanup_fd int root = beneath_root(l->lower, strlen(l->lower));
	return root < 0 ? root : beneath_dir(root, below, beneath_parent_len(below));
}

static bool born_after(int dir, const char *leaf, const struct stat *host)
{
	struct statx sx;
	if (statx(dir, leaf, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &sx) < 0 ||
	    !(sx.stx_mask & STATX_BTIME))
		return false;
	return sx.stx_btime.tv_sec > host->st_ctim.tv_sec ||
	       (sx.stx_btime.tv_sec == host->st_ctim.tv_sec &&
		sx.stx_btime.tv_nsec > (uint32_t)host->st_ctim.tv_nsec);
}

/*
 * Without a note of what the host had: a call on a descriptor (fchmod) copied it up. Then it carries the mark of a
 * copy-up, and what is on the host was last changed before the copy was born.
 */
static bool copied_unchanged(const struct planner *p, const struct seen *s)
{
	if (s->kind == CHANGE_DELETED)
		return false;
	cleanup_fd int dir = open_side(p, s, true);
	const char *leaf = strrchr(s->path, '/') + 1;
	return dir >= 0 && (S_ISDIR(s->upper.st_mode) || upper_is_copied(dir, leaf)) &&
	       born_after(dir, leaf, &s->lower);
}

static void check_conflict(struct planner *p, const struct seen *s)
{
	const struct origin *was = origin_find(&p->origins, s->path);
	if (s->kind == CHANGE_ADDED) {
		if (was && was->mode)
			problem(p, COMMIT_CONFLICT, s->path,
				"the session changed it, and the host's has been deleted since");
		return;
	}
	if (was) {
		const char *what = origin_differs(was, &s->lower);
		if (what)
			problem(p, COMMIT_CONFLICT, s->path,
				"changed on the host since the session %s it: %s",
				s->kind == CHANGE_DELETED ? "deleted" : "took", what);
	} else if (!copied_unchanged(p, s)) {
		problem(p, COMMIT_CONFLICT, s->path,
			s->kind == CHANGE_DELETED
				? "made on the host since, in a directory that the session deleted"
				: "made on the host since, where the session made one of its own");
	}
}

/* Marks of an overlay that are not what this overlay itself writes. */
static void check_marks(struct planner *p, const struct seen *s)
{
	static const char *const usual[] = {
		"origin", "opaque", "impure", "uuid", "nlink", "upper"
	};
	const char *own = p->req->overlay->rootful ? "trusted.overlay." : "user.overlay.";
	cleanup_fd int dir = open_side(p, s, true);
	char path[NAME_MAX + 64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, strrchr(s->path, '/') + 1);
	ssize_t size = dir < 0 ? 0 : llistxattr(path, NULL, 0);
	if (size <= 0)
		return;
	cleanup_free char *names = malloc((size_t)size);
	size = names ? llistxattr(path, names, (size_t)size) : 0;
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
		const char *name = names + at;
		if (!upper_is_overlay_xattr(name))
			continue;
		bool known = false;
		for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
			known |= strncmp(name, own, strlen(own)) == 0 &&
				 strcmp(name + strlen(own), usual[i]) == 0;
		if (!known)
			problem(p, COMMIT_REFUSED, s->path, "it carries the overlay attribute %s",
				name);
	}
}

static void check_kind(struct planner *p, const struct seen *s)
{
	mode_t type = s->upper.st_mode & S_IFMT;
	if (s->kind == CHANGE_DELETED)
		return;
	if (type == S_IFCHR || type == S_IFBLK)
		problem(p, COMMIT_REFUSED, s->path, "a device node");
	check_marks(p, s);
	if (type == S_IFREG && (s->upper.st_mode & 06000) && !p->req->keep_setuid)
		problem(p, COMMIT_NOTE, s->path,
			"its setuid and setgid bits stay behind (--keep-setuid keeps them)");
	if (s->kind == CHANGE_MODIFIED && S_ISREG(s->lower.st_mode) && s->lower.st_nlink > 1 &&
	    S_ISREG(s->upper.st_mode))
		problem(p, COMMIT_NOTE, s->path,
			"it has other names on the host, which keep the old content");
}

/* What the caller has no right to do; root's powers are asked of the kernel as anybody's. */
static void check_rights(struct planner *p, const struct seen *s)
{
	uid_t uid = geteuid();
	if (uid == 0)
		return;
	if (s->kind != CHANGE_DELETED && (s->upper.st_uid != uid))
		problem(p, COMMIT_REFUSED, s->path, "it belongs to another user");
	if (s->kind != CHANGE_ADDED && S_ISDIR(s->lower.st_mode) && s->lower.st_uid != uid)
		problem(p, COMMIT_REFUSED, s->path, "the host's directory belongs to another user");
	cleanup_fd int dir = open_side(p, s, false);
	if (dir < 0) {
		if (dir != -ENOENT && dir != -ENOTDIR) /* else it is made, or goes, with the rest */
			problem(p, COMMIT_REFUSED, s->path, "its directory cannot be reached: %s",
				strerrordesc_np(-dir));
		return;
	}
	struct stat st;
	if (S_ISDIR(s->upper.st_mode) && s->kind == CHANGE_MODIFIED && S_ISDIR(s->lower.st_mode))
		return;
	/* one's own is given the right meanwhile, as the session did */
	if (fstat(dir, &st) == 0 && st.st_uid != uid &&
	    faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) < 0)
		problem(p, COMMIT_REFUSED, s->path, "you may not write in its directory");
	else if (s->kind != CHANGE_ADDED && (st.st_mode & S_ISVTX) && st.st_uid != uid &&
		 s->lower.st_uid != uid)
		problem(p, COMMIT_REFUSED, s->path,
			"another user's file in a directory where only owners delete");
}

static char *read_text(int dir, const char *leaf)
{
	char *text = calloc(1, CONTENT_MAX + 1);
	cleanup_fd int fd =
		dir < 0 ? -1 : openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = 0;
	for (size_t len = 0; text && fd >= 0 && len < CONTENT_MAX &&
			     (n = read(fd, text + len, CONTENT_MAX - len)) > 0;)
		len += (size_t)n;
	for (size_t i = 0; text && i < CONTENT_MAX; i++) /* what hides behind a NUL byte counts */
		if (!text[i] && text[i + 1])
			text[i] = '\n';
	return text;
}

static void check_executes(struct planner *p, const struct seen *s)
{
	const char *leaf = strrchr(s->path, '/') + 1;
	if (s->kind == CHANGE_DELETED || S_ISDIR(s->upper.st_mode))
		return;
	const char *why = hostexec_path(s->path, p->home);
	if (why)
		problem(p, COMMIT_EXECUTES, s->path, "%s", why);
	if (S_ISREG(s->upper.st_mode) && hostexec_by_content(s->path)) {
		cleanup_fd int upper = open_side(p, s, true);
		cleanup_fd int host = s->kind == CHANGE_MODIFIED ? open_side(p, s, false) : -1;
		cleanup_free char *text = read_text(upper, leaf);
		cleanup_free char *before = read_text(host, leaf);
		char key[128];
		if (!text || !before)
			p->failed = true;
		else if (s->upper.st_size > CONTENT_MAX)
			problem(p, COMMIT_EXECUTES, s->path, "too large to be looked through");
		else if (hostexec_content(s->path, text, before, key, sizeof(key)))
			problem(p, COMMIT_EXECUTES, s->path, "it can run programs: %s", key);
	}
	if (S_ISLNK(s->upper.st_mode)) {
		char target[PATH_MAX];
		cleanup_fd int upper = open_side(p, s, true);
		ssize_t n = upper < 0 ? -1 : readlinkat(upper, leaf, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		why = hostexec_link(s->path, target, p->req->workspace);
		if (why)
			problem(p, COMMIT_EXECUTES, s->path, "%s: %s", why, target);
	}
}

/* Length of the path up to and with its first component ".git"; 0: there is none. */
static size_t git_len(const char *path)
{
	const char *at = strstr(path, "/.git");
	while (at && at[5] != '/' && at[5] != '\0')
		at = strstr(at + 1, "/.git");
	return at ? (size_t)(at - path) + 5 : 0;
}

/* A repository is taken as a whole, and not while git is at work in it. */
static void check_git(struct planner *p)
{
	size_t last = SIZE_MAX; /* the change with which the repository looked at last began */
	for (size_t i = 0; i < p->count; i++) {
		const struct seen *s = &p->seen[i];
		size_t len = git_len(s->path);
		if (!len || (last != SIZE_MAX && git_len(p->seen[last].path) == len &&
			     memcmp(p->seen[last].path, s->path, len) == 0))
			continue;
		last = i;
		bool any = false, all = true;
		for (size_t j = i; j < p->count && git_len(p->seen[j].path) == len &&
				   memcmp(p->seen[j].path, s->path, len) == 0;
		     j++) {
			any |= p->seen[j].wanted;
			all &= p->seen[j].wanted;
		}
		if (!any)
			continue;
		char *git = strndup(s->path, len);
		if (!git) {
			p->failed = true;
			return;
		}
		if (!all)
			problem(p, COMMIT_REFUSED, git,
				"a repository is committed as a whole or not at all");
		const struct overlay_layer *l = &p->req->overlay->layers[s->layer];
		const char *below = git + (l->mount[1] ? strlen(l->mount) : 0) + 1;
		cleanup_fd int root = beneath_root(l->lower, strlen(l->lower));
		cleanup_fd int host = root < 0 ? root : beneath_dir(root, below, strlen(below));
		cleanup_fd int upper = beneath_dir_forced(l->upper_fd, below, strlen(below));
		struct stat st;
		if (host >= 0 && fstatat(host, "index.lock", &st, AT_SYMLINK_NOFOLLOW) == 0)
			problem(p, COMMIT_REFUSED, git,
				"git is at work in it on the host: index.lock exists");
		else if (upper >= 0 &&
			 fstatat(upper, "index.lock", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			 S_ISREG(st.st_mode))
			problem(p, COMMIT_REFUSED, git,
				"the session ended while git was at work in it: index.lock exists");
		free(git);
	}
}

/* Is directory @below[0..len) of the layer's upper opaque? */
static bool is_opaque_dir(const struct overlay_layer *l, const char *below, size_t len)
{
	char leaf[NAME_MAX + 1];
	size_t parent = len;
	while (parent > 0 && below[parent - 1] != '/')
		parent--;
	if (len - parent > NAME_MAX)
		return false;
	memcpy(leaf, below + parent, len - parent);
	leaf[len - parent] = '\0';
	cleanup_fd int dir = beneath_dir_forced(l->upper_fd, below, parent ? parent - 1 : 0);
	return dir >= 0 && upper_is_opaque(dir, leaf);
}

/*
 * An opaque directory hides the host's of that name: were part of it committed, the rest in the layer
 * would hide that part too. Where the host has none, the mark can go (see drop_part).
 */
static void check_opaque_dir(struct planner *p, size_t i, size_t full)
{
	size_t start = i;
	char *dir = strndup(p->seen[i].path, full);
	if (!dir) {
		p->failed = true;
		return;
	}
	while (start > 0 && path_is_within(p->seen[start - 1].path, dir))
		start--;
	bool made = strcmp(p->seen[start].path, dir) == 0 && !S_ISDIR(p->seen[start].lower.st_mode);
	bool partial = false;
	for (size_t j = start; !made && j < p->count && path_is_within(p->seen[j].path, dir); j++)
		partial |= p->seen[j].wanted;
	if (partial)
		problem(p, COMMIT_REFUSED, dir,
			"the session made this directory anew: it is committed as a whole or not "
			"at "
			"all");
	free(dir);
}

static void check_opaque(struct planner *p)
{
	const char *last = NULL; /* the directory looked at last: many changes lie in one */
	size_t last_len = 0;
	for (size_t i = 0; i < p->count && !p->plan->whole; i++) {
		const struct seen *s = &p->seen[i];
		size_t len = beneath_parent_len(s->path);
		if (s->wanted || (last && last_len == len && memcmp(last, s->path, len) == 0))
			continue;
		last = s->path;
		last_len = len;
		const struct overlay_layer *l = &p->req->overlay->layers[s->layer];
		size_t root_len = l->mount[1] ? strlen(l->mount) : 0;
		for (; len > root_len; len--)
			if ((s->path[len] == '/') &&
			    is_opaque_dir(l, s->path + root_len + 1, len - root_len - 1))
				check_opaque_dir(p, i, len);
	}
}

/* ---- the steps ---- */

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
			op->link = links[keys[j].op] == end - i &&
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
		cleanup_fd int upper = beneath_dir_forced(l->upper_fd, below, strlen(below));
		struct stat h, u;
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
	*ret = (struct commit_plan){ .keep_setuid = req->keep_setuid };
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
		r = upper_walk(req->overlay, note_change, &p, err);
	if (r == 0) {
		choose(&p);
		for (size_t i = 0; i < p.count; i++) {
			const struct seen *s = &p.seen[i];
			if (!s->wanted)
				continue;
			check_conflict(&p, s);
			check_kind(&p, s);
			check_rights(&p, s);
			check_executes(&p, s);
		}
		check_git(&p);
		check_opaque(&p);
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
