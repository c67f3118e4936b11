/*
 * The open family: opened here, judged on what was really opened (or will be
 * made), then injected. The descriptor the program gets is the object that was judged.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/kernel.h"
#include "base/scope.h"
#include "sandbox/outside.h"
#include "sandbox/terminal.h"
#include "sandbox/watch.h"

enum {
	WRITE_BITS = O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY),
	/* what open(2) heeds; it ignores all other bits, openat2 does not */
	KNOWN_FLAGS = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK |
		      O_DSYNC | O_SYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY |
		      O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE,
	TTY_MAJOR_SELF = 5, /* 5:0 /dev/tty */
	PTS_MAJOR = 136,
	HOW_SIZE_FIRST = 24, /* struct open_how of 5.6: the kernel's OPEN_HOW_SIZE_VER0 */
	RESTART = -512,      /* ERESTARTSYS: only while a signal is pending */
	WAIT_SLICE_MS = 20,  /* how often a waiting open looks at its caller */
};

/* What was asked, copied once. */
struct request {
	int dirfd;
	struct open_how how; /* flags and mode as openat2 wants them */
	bool openat2;        /* strict: the caller's mistakes are its own */
};

static bool writes(const struct open_how *how)
{
	return (how->flags & O_ACCMODE) != O_RDONLY || (how->flags & WRITE_BITS);
}

static bool makes(const struct open_how *how)
{
	return (how->flags & O_CREAT) || (how->flags & O_TMPFILE) == O_TMPFILE;
}

/* open_how of a caller older or newer than ours: openat2(2), "Extensibility". */
static int read_how(struct worker *w, struct open_how *ret)
{
	uint64_t addr = w->n.notif.data.args[2], size = w->n.notif.data.args[3];
	unsigned char bytes[4096] = { 0 };
	if (size < HOW_SIZE_FIRST)
		return -EINVAL;
	if (size > sizeof(bytes))
		return -E2BIG;
	int r = tracee_read(w->task->tid, addr, bytes, size);
	if (r < 0)
		return r;
	for (size_t i = sizeof(*ret); i < size; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(ret, bytes, sizeof(*ret));
	return 0;
}

static int read_request(struct worker *w, struct request *ret)
{
	const __u64 *args = w->n.notif.data.args;
	int path_arg = 0;
	*ret = (struct request){ .dirfd = AT_FDCWD };
	switch (w->n.notif.data.nr) {
	case __NR_openat2: {
		int r = read_how(w, &ret->how);
		if (r < 0)
			return r;
		ret->dirfd = worker_int(w, 0);
		path_arg = 1;
		ret->openat2 = true;
		/* O_PATH cannot be injected, and its flags lie in memory: callers fall back to openat */
		if (ret->how.flags & O_PATH)
			return -ENOSYS;
		break;
	}
	case __NR_openat:
		ret->dirfd = worker_int(w, 0);
		path_arg = 1;
		ret->how =
			(struct open_how){ .flags = (uint32_t)args[2], .mode = (uint32_t)args[3] };
		break;
#ifdef __NR_creat
	case __NR_creat:
		ret->how = (struct open_how){ .flags = O_CREAT | O_WRONLY | O_TRUNC,
					      .mode = (uint32_t)args[1] };
		break;
	case __NR_open:
		ret->how =
			(struct open_how){ .flags = (uint32_t)args[1], .mode = (uint32_t)args[2] };
		break;
#endif
	default:
		return -ENOSYS;
	}
	if (!ret->openat2) {
		ret->how.flags &= (uint64_t)KNOWN_FLAGS;
		ret->how.mode = makes(&ret->how) ? ret->how.mode & 07777 : 0;
	}
	return worker_path(w, (unsigned)path_arg, 0);
}

static void describe(struct worker *w, const struct open_how *how)
{
	const struct place *p = &w->place[0];
	struct action *a = &w->action;
	a->resource = p->path;
	a->alias = *p->alias ? p->alias : NULL;
	a->open_flags = (uint32_t)how->flags;
	a->provenance = watch_provenance(w->watch, p);
	a->size_bytes = p->exists && S_ISREG(p->st.st_mode) ? p->st.st_size : -1;
	a->mode = p->exists ? p->st.st_mode : (uint32_t)how->mode;
	a->type = writes(how) ? ACTION_FILE_WRITE : ACTION_FILE_READ;
	if (!writes(how))
		a->op = OP_READ;
	else if (!p->exists || (how->flags & O_TMPFILE) == O_TMPFILE)
		a->op = OP_CREATE;
	else
		a->op = how->flags & O_TRUNC ? OP_TRUNCATE : OP_WRITE;
}

static int inject(struct worker *w, int fd, const struct open_how *how)
{
	return worker_inject(w, fd, how->flags & O_CLOEXEC ? INJECT_CLOEXEC : INJECT_NONE);
}

/*
 * Hands @fd over and settles the event. The call is answered here, unless the
 * injection failed (EMFILE: the program's own limit), which is then the answer.
 */
static int finish(struct worker *w, int fd, const struct open_how *how)
{
	int r = inject(w, fd, how);
	watch_done(w, r < 0 ? r : 0);
	if (r == -ENOENT)
		return 0; /* the caller died; the file is as it would be had it died a moment later */
	return r < 0 ? r : 1;
}

/*
 * A file or directory behind symbolic links, most shared libraries for one: what the kernel came to is opened by
 * descriptor and judged by its own name, with the one asked for as its alias. Descriptor, or -ELOOP for the long way,
 * or -errno.
 */
static int open_linked(struct worker *w, const struct request *q, int at)
{
	struct place *p = &w->place[0];
	int r = place_follow(&w->watch->env, at, w->path[0], q->how.flags & O_NOFOLLOW, p);
	if (r < 0)
		return r;
	char name[16];
	snprintf(name, sizeof(name), "%d", p->object_fd); /* a worker stands in /proc/self/fd */
	uint64_t flags = (q->how.flags & ~(uint64_t)O_NOFOLLOW) | O_CLOEXEC | O_NOCTTY;
	int fd = openat(AT_FDCWD, name, (int)flags);
	if (fd >= 0)
		return fd;
	r = -errno;
	place_finish(p); /* the long way begins anew */
	return r;
}

/* Where no link is on the way: one openat2. Descriptor, -ELOOP: there is one, or -errno. */
static int open_plain(struct worker *w, const struct request *q, int at, bool there)
{
	struct place *p = &w->place[0];
	struct open_how how = q->how;
	how.flags |= O_CLOEXEC | O_NOCTTY;
	how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
	cleanup_fd int fd = (int)syscall(SYS_openat2, at, w->path[0], &how, sizeof(how));
	if (fd < 0 || (!there && fstat(fd, &p->st) < 0))
		return -errno;
	return take_fd(&fd);
}

/*
 * Reading files and directories, from @base on. 1 answered, 0 caller gone, -errno to answer, -ELOOP to
 * take the long way.
 */
static int open_from(struct worker *w, const struct request *q, const struct dir *base)
{
	struct place *p = &w->place[0];
	if (!place_join(base->path, w->path[0], p->path, sizeof(p->path)))
		return -ENAMETOOLONG;
	if (strncmp(p->path, "/proc/", 6) == 0 || strncmp(p->path, "/dev/", 5) == 0)
		return -ELOOP; /* opened with care, below */

	/*
	 * Only files and directories: to open a FIFO, even to close it at once, is seen by its peer.
	 * Nobody can put one here before the open: names change by the leader's hand alone.
	 */
	int at = base->fd;
	bool there = fstatat(at, w->path[0], &p->st, AT_SYMLINK_NOFOLLOW) == 0;
	bool link = there && S_ISLNK(p->st.st_mode);
	if (there && !link && !S_ISREG(p->st.st_mode) && !S_ISDIR(p->st.st_mode))
		return -ELOOP;
	p->alias[0] = '\0';
	cleanup_fd int fd = link ? -ELOOP : open_plain(w, q, at, there);
	if (fd == -ELOOP)
		fd = open_linked(w, q, at);
	if (fd < 0)
		return fd;
	p->exists = true;
	p->magic = p->nameless = false;
	describe(w, &q->how);
	int r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = watch_decide(w);
	if (r < 0)
		return r == -ELOOP ? -EACCES : r;
	return finish(w, fd, &q->how);
}

static int open_fast(struct worker *w, const struct request *q)
{
	struct dir base;
	int r = place_begin(&w->watch->env, w->task, q->dirfd, w->path[0], &base);
	if (r < 0)
		return r;
	r = open_from(w, q, &base);
	place_begin_finish(&base);
	return r;
}

static int open_magic(const struct place *p, const struct open_how *how, uint64_t extra)
{
	if ((how->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	char name[16];
	snprintf(name, sizeof(name), "%d", p->object_fd);
	uint64_t flags = (how->flags & ~(uint64_t)(O_CREAT | O_NOFOLLOW)) | extra;
	int fd = openat(AT_FDCWD, name, (int)flags);
	return fd < 0 ? -errno : fd;
}

/* Opens the judged place for real. */
static int open_place(const struct place *p, const struct open_how *how, uint64_t extra)
{
	if (p->magic)
		return open_magic(p, how, extra);
	struct open_how strict = *how;
	strict.flags |= extra;
	strict.resolve |= RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
	int fd = (int)syscall(SYS_openat2, p->parent_fd, p->leaf, &strict, sizeof(strict));
	if (fd >= 0)
		return fd;
	return errno == EOVERFLOW ? -EACCES : -errno;
}

/* A terminal by its device number, where its name is the host's. -ENXIO: no such name. */
static int open_terminal(unsigned number, uint64_t flags)
{
	char link[48], target[ACTION_PATH_SIZE], path[ACTION_PATH_SIZE + 8];
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u", major(number), minor(number));
	ssize_t len = readlink(link, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	const char *name = strrchr(target, '/');
	if (major(number) >= PTS_MAJOR && major(number) < PTS_MAJOR + 8)
		snprintf(path, sizeof(path), "/dev/pts/%u", minor(number));
	else
		snprintf(path, sizeof(path), "/dev/%s", name ? name + 1 : "");
	cleanup_fd int fd = open(path, (int)(flags | O_NOCTTY | O_CLOEXEC));
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != number)
		return fd < 0 ? -errno : -ENXIO;
	return take_fd(&fd);
}

/* The caller's own terminal. Ours is the right one only if it is the same. */
static int open_tty(struct worker *w, uint64_t flags)
{
	int tty = tracee_tty(w->task);
	/* Its name is there, so nothing is created; and open(3) wants a mode for O_CREAT, or ends the process. */
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	flags &= ~(uint64_t)(O_CREAT | O_EXCL);
	if (tty <= 0)
		return -ENXIO;
	if (w->watch->plan->attach)
		return open_terminal((unsigned)tty, flags);
	if (major((dev_t)tty) == PTS_MAJOR) {
		char path[32];
		snprintf(path, sizeof(path), "/dev/pts/%u", minor((dev_t)tty));
		int fd = open(path, (int)(flags | O_NOCTTY | O_CLOEXEC));
		/* The sandbox has a devpts of its own: the same number there is the agent's
		 * own terminal only if it belongs to that session. */
		if (fd >= 0 && tcgetsid(fd) == tracee_session(w->task))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return terminal_open(w->watch->terminal_fd, flags);
}

/* Looks after a worker that waits in open(2) for the peer of a FIFO. */
struct minder {
	struct worker *worker;
	pthread_t opener;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool opened; /* the opener is back */
	int reason;  /* why it was interrupted: -ENOENT, RESTART; 0 it was not */
};

/*
 * Interrupts the opener when there is a reason to, and only then: an open that came and went on
 * its own would show itself to the peer, who could take it for a reader and write to nobody.
 */
static void *mind(void *arg)
{
	struct minder *m = arg;
	const struct worker *w = m->worker;
	pthread_mutex_lock(&m->lock);
	while (!m->opened) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += WAIT_SLICE_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_cond_timedwait(&m->changed, &m->lock, &until);
		if (m->opened)
			break;
		if (listener_valid(w->listener, w->n.notif.id) < 0)
			m->reason = -ENOENT;
		else if (tracee_signalled(w->task))
			m->reason = RESTART;
		if (m->reason) /* again at each turn: the first may come before the open sleeps */
			pthread_kill(m->opener, SIGALRM);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/*
 * A FIFO without a peer: the opening thread is this one, no longer leading. A caller that died, or
 * has a signal to take, is not kept; answering ERESTARTSYS then gives native EINTR or restart.
 */
static void open_waiting(struct worker *w, const struct place *p, const struct request *q)
{
	struct minder m = {
		.worker = w,
		.opener = pthread_self(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	char name[16];
	snprintf(name, sizeof(name), "%d", p->object_fd);
	worker_step_down(w);
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, mind, &m);
	if (r < 0) {
		worker_answer(w, r);
		return;
	}
	uint64_t flags = q->how.flags & ~(uint64_t)(O_CREAT | O_EXCL | O_NOFOLLOW);
	r = creds_assume(&w->watch->env, w->task);
	cleanup_fd int fd = r < 0 ? -1 : open(name, (int)(flags | O_CLOEXEC));
	if (r == 0 && fd < 0)
		r = -errno;
	creds_resume(&w->watch->env);
	pthread_mutex_lock(&m.lock);
	m.opened = true;
	pthread_cond_signal(&m.changed);
	pthread_mutex_unlock(&m.lock);
	pthread_join(thread, NULL);
	if (r == -EINTR)
		r = m.reason;
	while (fd >= 0 && (r = inject(w, fd, &q->how)) == -EINTR)
		;
	if (r < 0)
		worker_answer(w, r);
}

/* A FIFO opened for one end waits for the other, unless told not to. */
static bool waits(const struct place *p, const struct open_how *how)
{
	return p->exists && S_ISFIFO(p->st.st_mode) && !(how->flags & O_NONBLOCK) &&
	       (how->flags & O_ACCMODE) != O_RDWR &&
	       (how->flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
}

/* Opens what was judged, by the way its kind needs. Descriptor or -errno. */
static int open_judged(struct worker *w, const struct request *q)
{
	struct place *p = &w->place[0];
	bool proc = p->exists && p->st.st_dev == w->watch->env.proc_dev;
	uint64_t extra = O_CLOEXEC | O_NOCTTY;
	if (p->exists && S_ISCHR(p->st.st_mode) && major(p->st.st_rdev) == TTY_MAJOR_SELF &&
	    minor(p->st.st_rdev) == 0)
		return open_tty(w, q->how.flags);
	int r = makes(&q->how) ? worker_umask(w) : 0;
	if (r == 0)
		r = creds_assume(&w->watch->env, w->task);
	if (proc)
		creds_drop_ptrace(); /* what /proc shows is up to the reader's powers: the agent's */
	if (r == 0)
		r = open_place(p, &q->how, extra);
	if (proc)
		creds_raise_ptrace();
	creds_resume(&w->watch->env);
	return r;
}

/* Opening another process's memory is ptrace by another name. */
static bool foreign_memory(const struct worker *w, const struct place *p)
{
	if (!p->exists || p->st.st_dev != w->watch->env.proc_dev)
		return false;
	size_t len = strlen(p->path);
	if (len < 4 || strcmp(p->path + len - 4, "/mem") != 0 || w->watch->plan->box->allow_ptrace)
		return false;
	char own[32];
	int n = snprintf(own, sizeof(own), "/proc/%d/", w->task->ns_tgid);
	return strncmp(p->path, own, (size_t)n) != 0;
}

/* /proc/self means the caller, and the kernel resolves for us here: say it by number. */
static void name_self(struct worker *w)
{
	static const char *const links[] = { "/proc/self/", "/proc/thread-self/" };
	char path[ACTION_PATH_SIZE];
	for (unsigned i = 0; i < 2; i++) {
		size_t len = strlen(links[i]);
		if (strncmp(w->path[0], links[i], len) != 0)
			continue;
		int n = i == 0 ? snprintf(path, sizeof(path), "/proc/%d/%s", w->task->ns_tgid,
					  w->path[0] + len)
			       : snprintf(path, sizeof(path), "/proc/%d/task/%d/%s",
					  w->task->ns_tgid, w->task->ns_tid, w->path[0] + len);
		if (n > 0 && (size_t)n < sizeof(path))
			memcpy(w->path[0], path, (size_t)n + 1);
		return;
	}
}

/* One openat2(2), with the caller's powers. Descriptor or -errno. */
static int open_limited(struct worker *w, int at, const char *path, const struct open_how *how)
{
	int r = creds_assume(&w->watch->env, w->task);
	int fd = r < 0 ? -1 : (int)syscall(SYS_openat2, at, path, how, sizeof(*how));
	if (r == 0 && fd < 0)
		r = -errno;
	creds_resume(&w->watch->env);
	return r < 0 ? r : fd;
}

/* A caller that limits resolution itself (RESOLVE_*): the kernel resolves by those limits. */
static int resolve_limited(struct worker *w, const struct request *q)
{
	struct place *p = &w->place[0];
	p->parent_fd = p->object_fd = -1;
	p->exists = p->magic = p->nameless = false;
	p->alias[0] = p->leaf[0] = '\0';
	name_self(w);
	cleanup_fd int base = *w->path[0] == '/' && !(q->how.resolve & RESOLVE_IN_ROOT)
				      ? openat(w->watch->env.root_fd, ".", O_PATH | O_CLOEXEC)
				      : tracee_dirfd(w->task, q->dirfd);
	if (base < 0)
		return base == -1 ? -errno : base;
	struct open_how probe = { .flags = O_PATH | O_CLOEXEC | (q->how.flags & O_NOFOLLOW),
				  .resolve = q->how.resolve & ~(uint64_t)RESOLVE_CACHED };
	int fd = open_limited(w, base, w->path[0], &probe);
	if (fd >= 0)
		return place_from_fd(&w->watch->env, fd, p);
	if (fd != -ENOENT || !(q->how.flags & O_CREAT))
		return fd;
	/* To be made: its directory by the same limits, then the last component there. */
	char parent[ACTION_PATH_SIZE];
	const char *slash = strrchr(w->path[0], '/');
	const char *leaf = slash ? slash + 1 : w->path[0];
	if (!*leaf || strlen(leaf) > NAME_MAX)
		return *leaf ? -ENAMETOOLONG : -EISDIR;
	size_t len = (size_t)(leaf - w->path[0]);
	snprintf(parent, sizeof(parent), "%.*s%s", (int)len, w->path[0], len ? "" : ".");
	probe.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	fd = open_limited(w, base, parent, &probe);
	if (fd < 0)
		return fd;
	p->parent_fd = fd;
	snprintf(p->leaf, sizeof(p->leaf), "%s", leaf);
	char dir[ACTION_PATH_SIZE];
	ssize_t n = place_fd_path(&w->watch->env, fd, dir, sizeof(dir));
	if (n < 0)
		return (int)n;
	return place_join(dir, leaf, p->path, sizeof(p->path)) ? 0 : -ENAMETOOLONG;
}

/* What the open left. It changes nothing of a file that is in the upper already, but by emptying it. */
static bool look_opened(const struct worker *w, int fd, const struct request *q, struct stat *ret)
{
	const struct place *p = &w->place[0];
	if (p->exists && !(q->how.flags & O_TRUNC) && (q->how.flags & O_TMPFILE) != O_TMPFILE &&
	    created_has(&w->watch->created, &p->st)) {
		*ret = p->st;
		return true;
	}
	return fstat(fd, ret) == 0;
}

static int open_slow(struct worker *w, const struct request *q)
{
	struct place *p = &w->place[0];
	bool follow = !(q->how.flags & O_NOFOLLOW) &&
		      (q->how.flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	int r = q->how.resolve ? resolve_limited(w, q)
			       : place_resolve(&w->watch->env, w->task, q->dirfd, w->path[0],
					       follow ? PLACE_FOLLOW : PLACE_SLASH_FOLLOWS, p);
	/* fs/namei.c: a name that is to be made cannot end in a slash */
	size_t len = strlen(w->path[0]);
	if ((q->how.flags & O_CREAT) && len && w->path[0][len - 1] == '/' &&
	    (r == 0 || r == -ENOTDIR))
		return -EISDIR;
	if (r < 0)
		return r;
	if (!p->exists && !(q->how.flags & O_CREAT))
		return -ENOENT;
	if (foreign_memory(w, p))
		return -EACCES;
	r = writes(&q->how) ? outside_check(w, p, OUTSIDE_CONTENT) : 0;
	if (r < 0)
		return r;
	describe(w, &q->how);
	r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0 && !p->nameless)
		r = watch_decide(w);
	if (r < 0)
		return r;
	if (writes(&q->how))
		watch_touch(w);
	if (waits(p, &q->how)) {
		/* only another call ends the wait: there must be somebody left to receive it */
		r = worker_may_wait(w) ? place_pin(p) : -ENFILE;
		if (r < 0) {
			watch_done(w, r);
			return r;
		}
		open_waiting(w, p, q);
		return 1;
	}
	bool made = !p->exists || (q->how.flags & O_TMPFILE) == O_TMPFILE;
	r = p->nameless || !writes(&q->how) ? 0 : capture_before_open(w, q->how.flags);
	cleanup_fd int fd = r < 0 ? r : open_judged(w, q);
	struct stat st;
	bool seen = fd >= 0 && writes(&q->how) && look_opened(w, fd, q, &st);
	capture_after(w, fd, seen ? &st : NULL);
	if (fd < 0) {
		int error = fd;
		fd = -1;
		watch_done(w, error);
		return error;
	}
	if (made && seen)
		created_add(&w->watch->created, &st);
	r = finish(w, fd, &q->how);
	/* No room in the caller's table: natively that is found out before the file is made. */
	if (r == -EMFILE && made && !p->magic && (q->how.flags & O_TMPFILE) != O_TMPFILE &&
	    unlinkat(p->parent_fd, p->leaf, 0) == 0)
		capture_undone(w);
	return r;
}

void carry_open(struct worker *w)
{
	struct request q;
	int r = read_request(w, &q);
	if (r == 0 && !writes(&q.how) && !q.how.resolve && !w->watch->env.creds_vary)
		r = open_fast(w, &q);
	else if (r == 0)
		r = -ELOOP;
	if (r == -ELOOP)
		r = open_slow(w, &q);
	if (r < 0)
		worker_answer(w, r);
}
