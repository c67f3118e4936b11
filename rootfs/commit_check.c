/* What speaks against a plan: conflicts, what must not or cannot be written, what the host would run. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/fd.h"
#include "base/path.h"
#include "base/scope.h"
#include "rootfs/beneath.h"
#include "rootfs/commit_planner.h"
#include "rootfs/hostexec.h"

enum { CONTENT_MAX = 1 << 18 };

/* Directory @below[0..len) of a layer's upper. A mounted one's modes are the session's, and stay. */
static int open_upper(const struct planner *p, unsigned layer, const char *below, size_t len)
{
	int root = p->req->overlay->layers[layer].upper_fd;
	return p->plan->layers == COMMIT_KEEPS ? beneath_dir(root, below, len)
					       : beneath_dir_forced(root, below, len);
}

/* The directory of an upper or of the host in which the change lies. The caller closes it. */
static int open_side(const struct planner *p, const struct seen *s, bool upper)
{
	const struct overlay_layer *l = &p->req->overlay->layers[s->layer];
	size_t root_len = l->mount[1] ? strlen(l->mount) : 0;
	const char *below = s->path + root_len + 1;
	if (upper)
		return open_upper(p, s->layer, below, beneath_parent_len(below));
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
			commit_problem(
				p, COMMIT_CONFLICT, s->path,
				"the session changed it, and the host's has been deleted since");
		return;
	}
	if (was) {
		const char *what = origin_differs(was, &s->lower);
		if (what)
			commit_problem(p, COMMIT_CONFLICT, s->path,
				       "changed on the host since the session %s it: %s",
				       s->kind == CHANGE_DELETED ? "deleted" : "took", what);
	} else if (!copied_unchanged(p, s)) {
		commit_problem(
			p, COMMIT_CONFLICT, s->path,
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
			commit_problem(p, COMMIT_REFUSED, s->path,
				       "it carries the overlay attribute %s", name);
	}
}

static void check_kind(struct planner *p, const struct seen *s)
{
	mode_t type = s->upper.st_mode & S_IFMT;
	if (s->kind == CHANGE_DELETED)
		return;
	cleanup_fd int dir = open_side(p, s, true);
	if (dir == -EACCES)
		commit_problem(p, COMMIT_REFUSED, s->path,
			       "the session has left its directory without permission to enter it; "
			       "it can be committed when the session has ended");
	if (type == S_IFCHR || type == S_IFBLK)
		commit_problem(p, COMMIT_REFUSED, s->path, "a device node");
	check_marks(p, s);
	if (type == S_IFREG && (s->upper.st_mode & 06000) && !p->req->keep_setuid)
		commit_problem(p, COMMIT_NOTE, s->path,
			       "its setuid and setgid bits stay behind (--keep-setuid keeps them)");
	if (s->kind == CHANGE_MODIFIED && S_ISREG(s->lower.st_mode) && s->lower.st_nlink > 1 &&
	    S_ISREG(s->upper.st_mode))
		commit_problem(p, COMMIT_NOTE, s->path,
			       "it has other names on the host, which keep the old content");
}

/* What the caller has no right to do; root's powers are asked of the kernel as anybody's. */
static void check_rights(struct planner *p, const struct seen *s)
{
	uid_t uid = geteuid();
	if (uid == 0)
		return;
	if (s->kind != CHANGE_DELETED && (s->upper.st_uid != uid))
		commit_problem(p, COMMIT_REFUSED, s->path, "it belongs to another user");
	if (s->kind != CHANGE_ADDED && S_ISDIR(s->lower.st_mode) && s->lower.st_uid != uid)
		commit_problem(p, COMMIT_REFUSED, s->path,
			       "the host's directory belongs to another user");
	cleanup_fd int dir = open_side(p, s, false);
	if (dir < 0) {
		if (dir != -ENOENT && dir != -ENOTDIR &&
		    dir != -ELOOP) /* else it is made, or goes, with the rest */
			commit_problem(p, COMMIT_REFUSED, s->path,
				       "its directory cannot be reached: %s",
				       strerrordesc_np(-dir));
		return;
	}
	struct stat st;
	if (S_ISDIR(s->upper.st_mode) && s->kind == CHANGE_MODIFIED && S_ISDIR(s->lower.st_mode))
		return;
	/* one's own is given the right meanwhile, as the session did */
	if (fstat(dir, &st) == 0 && st.st_uid != uid &&
	    faccessat(dir, ".", W_OK | X_OK, AT_EACCESS) < 0)
		commit_problem(p, COMMIT_REFUSED, s->path, "you may not write in its directory");
	else if (s->kind != CHANGE_ADDED && (st.st_mode & S_ISVTX) && st.st_uid != uid &&
		 s->lower.st_uid != uid)
		commit_problem(p, COMMIT_REFUSED, s->path,
			       "another user's file in a directory where only owners delete");
}

static char *read_text(int dir, const char *leaf)
{
	char *text = calloc(1, CONTENT_MAX + 1);
	cleanup_fd int fd =
		dir < 0 ? -1 : openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (text && fd >= 0)
		(void)fd_read_all(fd, text, CONTENT_MAX); /* as much of it as there is */
	for (size_t i = 0; text && i < CONTENT_MAX; i++)  /* what hides behind a NUL byte counts */
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
		commit_problem(p, COMMIT_EXECUTES, s->path, "%s", why);
	if (S_ISREG(s->upper.st_mode) && hostexec_by_content(s->path)) {
		cleanup_fd int upper = open_side(p, s, true);
		cleanup_fd int host = s->kind == CHANGE_MODIFIED ? open_side(p, s, false) : -1;
		cleanup_free char *text = read_text(upper, leaf);
		cleanup_free char *before = read_text(host, leaf);
		char key[128];
		if (!text || !before)
			p->failed = true;
		else if (s->upper.st_size > CONTENT_MAX)
			commit_problem(p, COMMIT_EXECUTES, s->path,
				       "too large to be looked through");
		else if (hostexec_content(s->path, text, before, key, sizeof(key)))
			commit_problem(p, COMMIT_EXECUTES, s->path, "it can run programs: %s", key);
	}
	if (S_ISLNK(s->upper.st_mode)) {
		char target[PATH_MAX];
		cleanup_fd int upper = open_side(p, s, true);
		ssize_t n = upper < 0 ? -1 : readlinkat(upper, leaf, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		why = hostexec_link(s->path, target, p->req->workspace);
		if (why) {
			commit_problem(p, COMMIT_EXECUTES, s->path, "%s: %s", why, target);
			if (!p->failed)
				p->plan->problems[p->plan->problem_count - 1].follows = true;
		}
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
			commit_problem(p, COMMIT_REFUSED, git,
				       "a repository is committed as a whole or not at all");
		const struct overlay_layer *l = &p->req->overlay->layers[s->layer];
		const char *below = git + (l->mount[1] ? strlen(l->mount) : 0) + 1;
		cleanup_fd int root = beneath_root(l->lower, strlen(l->lower));
		cleanup_fd int host = root < 0 ? root : beneath_dir(root, below, strlen(below));
		cleanup_fd int upper = open_upper(p, s->layer, below, strlen(below));
		struct stat st;
		if (host >= 0 && fstatat(host, "index.lock", &st, AT_SYMLINK_NOFOLLOW) == 0)
			commit_problem(p, COMMIT_REFUSED, git,
				       "git is at work in it on the host: index.lock exists");
		else if (upper >= 0 &&
			 fstatat(upper, "index.lock", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			 S_ISREG(st.st_mode))
			commit_problem(
				p, COMMIT_REFUSED, git,
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
		commit_problem(
			p, COMMIT_REFUSED, dir,
			"the session made this directory anew: it is committed as a whole or not "
			"at "
			"all");
	free(dir);
}

static void check_opaque(struct planner *p)
{
	const char *last = NULL; /* the directory looked at last: many changes lie in one */
	size_t last_len = 0;
	if (p->plan->layers == COMMIT_KEEPS) /* no part of it leaves the layer */
		return;
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

/*
 * A directory that both the session and the host have made, each its own. The mounted overlay knows
 * the session's alone: what is deleted in it later leaves no trace that a next commit could see.
 */
static void check_twice_made(struct planner *p, const struct seen *s)
{
	const struct overlay_layer *l = &p->req->overlay->layers[s->layer];
	size_t root_len = l->mount[1] ? strlen(l->mount) : 0, len = beneath_parent_len(s->path);
	if (p->plan->layers != COMMIT_KEEPS || len <= root_len)
		return;
	cleanup_free char *dir = strndup(s->path, len);
	if (!dir) {
		p->failed = true;
		return;
	}
	const char *leaf = strrchr(dir, '/') + 1;
	const struct seen above = { .path = dir, .layer = s->layer };
	cleanup_fd int upper = open_side(p, &above, true);
	cleanup_fd int host = open_side(p, &above, false);
	struct stat u, h;
	if (upper >= 0 && host >= 0 && fstatat(upper, leaf, &u, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstatat(host, leaf, &h, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(u.st_mode) &&
	    S_ISDIR(h.st_mode) && !upper_is_copied(upper, leaf) && !upper_is_opaque(upper, leaf))
		commit_problem(p, COMMIT_CONFLICT, s->path,
			       "its directory was made on the host since, where the session made "
			       "one of its own; it can be committed when the session has ended");
}

void commit_check_change(struct planner *p, const struct seen *s)
{
	check_conflict(p, s);
	check_twice_made(p, s);
	check_kind(p, s);
	check_rights(p, s);
	check_executes(p, s);
}

void commit_check_whole(struct planner *p)
{
	check_git(p);
	check_opaque(p);
}
