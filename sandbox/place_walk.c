/*
 * The slow way to a place: a walk component by component that expands links itself,
 * because /proc/self must mean the caller and not the monitor, and because a link's
 * target may not exist yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/creds.h"
#include "sandbox/place_private.h"

enum { LINKS_MAX = 40, PROC_ROOT_INO = 1 };

struct walk {
	const struct place_env *env;
	const struct tracee *task;
	int cur; /* O_PATH of where we stand; owned */
	unsigned links;
	bool magic;                      /* cur was reached by a magic link just now */
	bool by_writer;                  /* … of a descriptor that is open for writing */
	char rest[2 * ACTION_PATH_SIZE]; /* still to be walked */
};

static int walk_to(struct walk *w, int fd)
{
	if (fd < 0)
		return -errno;
	close(w->cur);
	w->cur = fd;
	return 0;
}

/* Puts @target in front of what is left to walk. */
static int walk_expand(struct walk *w, const char *target)
{
	char rest[sizeof(w->rest)];
	int len = snprintf(rest, sizeof(rest), "%s%s%s", target, *w->rest ? "/" : "", w->rest);
	if (len < 0 || (size_t)len >= sizeof(rest))
		return -ENAMETOOLONG;
	memcpy(w->rest, rest, (size_t)len + 1);
	if (*target == '/')
		return walk_to(w, openat(w->env->root_fd, ".", O_PATH | O_CLOEXEC));
	return 0;
}

/* Is the current directory one of the caller's own in /proc? */
static bool walk_in_own(const struct walk *w)
{
	char path[ACTION_PATH_SIZE], own[32];
	int n = snprintf(own, sizeof(own), "/proc/%d", w->task->ns_tgid);
	return place_fd_path(w->env, w->cur, path, sizeof(path)) > 0 &&
	       strncmp(path, own, (size_t)n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Of fd/N the link's own mode says how the descriptor is open. proc_pid_fd(5). */
static bool is_writer(const struct walk *w, const struct stat *link)
{
	char path[ACTION_PATH_SIZE];
	ssize_t len = place_fd_path(w->env, w->cur, path, sizeof(path));
	return len > 3 && strcmp(path + len - 3, "/fd") == 0 && (link->st_mode & S_IWUSR);
}

/*
 * @name in the current directory; -1 and errno. What a process has in /proc itself is open to it even where it has become
 * root's, as after setuid(2), and so closed to whoever walks there with its powers alone.
 */
static int walk_open(const struct walk *w, const char *name, int flags)
{
	int fd = openat(w->cur, name, O_PATH | O_CLOEXEC | flags);
	if (fd >= 0 || errno != EACCES || !w->env->creds_vary)
		return fd;
	if (!walk_in_own(w)) {
		errno = EACCES;
		return -1;
	}
	creds_resume(w->env);
	cleanup_fd int own = openat(w->cur, name, O_PATH | O_CLOEXEC | flags);
	int error = errno, r = creds_assume(w->env, w->task);
	errno = r < 0 ? -r : error;
	return r < 0 ? -1 : take_fd(&own);
}

/*
 * exe, cwd, root, fd/N, ns/…: not text, the kernel jumps to the object. A process may always follow its
 * own; for another's, ours mustn't be the power that opens the way (pid 1's exe is the host's).
 */
static int walk_jump(struct walk *w, const char *name, const struct stat *link)
{
	w->by_writer = is_writer(w, link);
	bool own = walk_in_own(w);
	if (!own)
		creds_drop_ptrace();
	int r = walk_to(w, walk_open(w, name, 0));
	if (!own)
		creds_raise_ptrace();
	return r < 0 ? r : 1;
}

/* A symbolic link @name in the current directory. 1: the link was a magic one, cur is its object. */
static int walk_link(struct walk *w, const char *name, int link_fd, const struct stat *link)
{
	char target[ACTION_PATH_SIZE];
	struct stat dir;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (fstat(w->cur, &dir) < 0)
		return -errno;
	bool procfs = dir.st_dev == w->env->proc_dev;
	if (procfs && dir.st_ino == PROC_ROOT_INO && strcmp(name, "self") == 0) {
		snprintf(target, sizeof(target), "%d", w->task->ns_tgid);
		return walk_expand(w, target);
	}
	if (procfs && dir.st_ino == PROC_ROOT_INO && strcmp(name, "thread-self") == 0) {
		snprintf(target, sizeof(target), "%d/task/%d", w->task->ns_tgid, w->task->ns_tid);
		return walk_expand(w, target);
	}
	if (procfs && dir.st_ino != PROC_ROOT_INO)
		return walk_jump(w, name, link);
	ssize_t len = readlinkat(link_fd, "", target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	return len == 0 ? -ENOENT : walk_expand(w, target);
}

/* Takes the next component off rest; its length, 0 at the end. */
static size_t next_component(struct walk *w, char *name, bool *ret_slash)
{
	const char *p = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(p, "/");
	size_t after = len + strspn(p + len, "/");
	if (len <= NAME_MAX) {
		memcpy(name, p, len);
		name[len] = '\0';
	}
	*ret_slash = after > len;
	memmove(w->rest, p + after, strlen(p + after) + 1);
	return len;
}

static int walk_canonical(struct walk *w, const char *leaf, struct place *ret)
{
	ssize_t len = place_fd_path(w->env, w->cur, ret->path, sizeof(ret->path));
	if (len < 0)
		return (int)len;
	size_t name = strcspn(leaf, "/");
	if (name == 0 || strncmp(leaf, ".", name) == 0)
		return 0;
	if ((size_t)len + 1 + name >= sizeof(ret->path))
		return -ENAMETOOLONG;
	if (len > 1)
		ret->path[len++] = '/';
	memcpy(ret->path + len, leaf, name);
	ret->path[(size_t)len + name] = '\0';
	return 0;
}

/* The walk ended with a jump. */
static int walk_end(struct walk *w, struct place *ret)
{
	int r = place_from_fd(w->env, take_fd(&w->cur), ret);
	ret->by_writer = w->by_writer;
	return r;
}

static int walk_steps(struct walk *w, enum place_flags flags, struct place *ret)
{
	for (;;) {
		char name[NAME_MAX + 2];
		bool slash;
		size_t len = next_component(w, name, &slash);
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		bool last = *w->rest == '\0';
		if (len == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
			struct stat st;
			if (fstat(w->cur, &st) < 0)
				return -errno;
			if (len > 0 && !S_ISDIR(st.st_mode))
				return -ENOTDIR;
			if (len == 2) {
				int r = walk_to(w, openat(w->cur, "..", O_PATH | O_CLOEXEC));
				if (r < 0)
					return r;
			}
			if (!last)
				continue;
			if (w->magic && len == 0)
				return walk_end(w, ret);
			ret->exists = true;
			strcpy(ret->leaf, ".");
			ret->parent_fd = -1;
			int r = walk_canonical(w, ".", ret);
			if (r < 0)
				return r;
			ret->parent_fd = take_fd(&w->cur);
			return fstatat(ret->parent_fd, ".", &ret->st, 0) < 0 ? -errno : 0;
		}
		w->magic = false;
		cleanup_fd int fd = walk_open(w, name, O_NOFOLLOW);
		if (fd < 0 && (errno != ENOENT || !last))
			return -errno;
		struct stat st = { 0 };
		if (fd >= 0 && fstat(fd, &st) < 0)
			return -errno;
		bool link = fd >= 0 && S_ISLNK(st.st_mode);
		if (link && (!last || place_follows_last(flags, slash))) {
			int r = walk_link(w, name, fd, &st);
			if (r < 0)
				return r;
			w->magic = r == 1;
			if (r == 1 && last)
				return walk_end(w, ret);
			if (slash && last && strlen(w->rest) + 1 < sizeof(w->rest))
				strcat(w->rest, "/");
			continue;
		}
		if (!last) {
			if (!S_ISDIR(st.st_mode))
				return -ENOTDIR;
			int r = walk_to(w, take_fd(&fd));
			if (r < 0)
				return r;
			continue;
		}
		int r = walk_canonical(w, name, ret);
		if (r < 0)
			return r;
		if (fd >= 0 && slash && !S_ISDIR(st.st_mode) && !link)
			return -ENOTDIR;
		ret->exists = fd >= 0;
		ret->st = st;
		snprintf(ret->leaf, sizeof(ret->leaf), "%s%s", name, slash ? "/" : "");
		ret->object_fd = take_fd(&fd);
		ret->parent_fd = take_fd(&w->cur);
		return 0;
	}
}

int place_walk(const struct place_env *env, const struct tracee *task, int dirfd, const char *path,
	       enum place_flags flags, struct place *ret)
{
	struct walk w = { .env = env, .task = task, .cur = -1 };
	if (strlen(path) >= sizeof(w.rest))
		return -ENAMETOOLONG;
	strcpy(w.rest, path);
	w.cur = *path == '/' ? openat(env->root_fd, ".", O_PATH | O_CLOEXEC)
			     : tracee_dirfd(task, dirfd);
	if (w.cur < 0)
		return *path == '/' ? -errno : w.cur;
	int r = creds_assume(env, task);
	if (r == 0)
		r = walk_steps(&w, flags, ret);
	creds_resume(env);
	if (w.cur >= 0)
		close(w.cur);
	return r;
}
