/*
 * Theory of operation. execve cannot be made on somebody's behalf, so it is judged on
 * a copy, let through, and verified before the new program's first instruction:
 *
 *   notification -> copy path and argv, resolve, follow the whole #! chain -> judge ->
 *   PTRACE_SEIZE the blocked task (TRACEEXEC, EXITKILL), INTERRUPT -> CONTINUE ->
 *   PTRACE_EVENT_EXEC: the new image is loaded, only this task can touch it: its
 *   executable must be the judged inode and its argv the judged argv, and the file that the
 *   kernel loaded beside it (an ELF program's own choice) one that may be read -> DETACH.
 *   Anything else: SIGKILL, nothing of the wrong program has run.
 *   The interrupt's stop instead of an exec: execve failed; DETACH.
 *
 * No tracer stays on the tree, so debuggers inside keep working.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/scope.h"
#include "sandbox/image.h"
#include "sandbox/watch.h"

enum {
	CHAIN_MAX = 5, /* the program and four #! levels, as the kernel's limit */
	SHEBANG_SIZE = 256,
	ARGV_POINTERS = 512, /* looked at one page of pointers at a time */
};

/* What must be running afterwards. */
struct expected {
	dev_t dev;
	ino_t ino;
	char head[3 * ACTION_PATH_SIZE]; /* what #! lines put in front of argv[1] */
	size_t head_len;
	bool script;
};

/* Copies argv into w->argv. A NULL vector counts as empty, as the kernel takes it. */
static int read_argv(struct worker *w, uint64_t addr)
{
	struct action *a = &w->action;
	uint64_t pointers[ARGV_POINTERS];
	size_t used = 0;
	a->argv = w->argv;
	a->argc = 0;
	for (;;) {
		if (addr == 0)
			break;
		ssize_t n = tracee_read_some(w->task->tid, addr, pointers, sizeof(pointers));
		if (n < (ssize_t)sizeof(pointers[0]))
			return -EFAULT;
		size_t count = (size_t)n / sizeof(pointers[0]);
		for (size_t i = 0; i < count; i++) {
			if (pointers[i] == 0) {
				a->argv_len = used;
				return 0;
			}
			ssize_t len = -ENAMETOOLONG;
			if (!a->argv_truncated && used < sizeof(w->argv))
				len = tracee_read_string(w->task->tid, pointers[i], w->argv + used,
							 sizeof(w->argv) - used);
			if (len == -EFAULT)
				return -EFAULT;
			if (len < 0) { /* the rest is counted, not kept */
				a->argv_truncated = true;
				continue;
			}
			used += (size_t)len + 1;
			a->argc++;
		}
		if (a->argv_truncated)
			break;
		addr += count * sizeof(pointers[0]);
	}
	a->argv_len = used;
	return 0;
}

/* The interpreter line of a script, split as the kernel splits it. false: not a script. */
static bool read_shebang(const struct place *p, char line[static SHEBANG_SIZE], char **ret_interp,
			 char **ret_arg)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", p->object_fd);
	cleanup_fd int fd = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : pread(fd, line, SHEBANG_SIZE - 1, 0);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	char *start = line + 2 + strspn(line + 2, " \t");
	char *end = start + strlen(start);
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	char *gap = start + strcspn(start, " \t");
	*ret_interp = start;
	*ret_arg = NULL;
	if (*gap) {
		*gap++ = '\0';
		*ret_arg = gap + strspn(gap, " \t");
	}
	return *start != '\0';
}

static bool head_push(struct expected *x, const char *text)
{
	size_t len = strlen(text) + 1;
	if (x->head_len + len > sizeof(x->head))
		return false;
	memcpy(x->head + x->head_len, text, len);
	x->head_len += len;
	return true;
}

/* Puts `interp [arg] script` in front, in place of what was argv[0] or the script before. */
static int head_wrap(struct expected *x, const char *interp, const char *arg, const char *script)
{
	struct expected old = *x;
	x->head_len = 0;
	x->script = true;
	bool fits = head_push(x, interp) && (!arg || head_push(x, arg)) && head_push(x, script);
	if (fits && old.script) {
		/* the former head's first word was the script that is now an argument */
		size_t first = strlen(old.head) + 1;
		fits = x->head_len + old.head_len - first <= sizeof(x->head);
		if (fits) {
			memcpy(x->head + x->head_len, old.head + first, old.head_len - first);
			x->head_len += old.head_len - first;
		}
	}
	return fits ? 0 : -E2BIG;
}

/* Judges one interpreter of the chain: it need not be an action of its own, but must not be denied. */
static int judge_interpreter(struct worker *w, const struct place *p)
{
	struct action a = w->action;
	a.resource = p->path;
	a.alias = *p->alias ? p->alias : NULL;
	a.provenance = watch_provenance(w->watch, p);
	return watch_decide_also(w, &a);
}

/* Follows #! lines from place[0]; fills @x. */
static int follow_chain(struct worker *w, const char *path, struct expected *x)
{
	struct place *p = &w->place[1];
	char script[ACTION_PATH_SIZE + 32];
	const struct place *at = &w->place[0];
	snprintf(script, sizeof(script), "%s", path);
	*x = (struct expected){ 0 };
	for (unsigned level = 0;; level++) {
		char line[SHEBANG_SIZE];
		char *interp, *arg;
		x->dev = at->st.st_dev;
		x->ino = at->st.st_ino;
		if (!S_ISREG(at->st.st_mode) || !read_shebang(at, line, &interp, &arg))
			return 0;
		if (level == CHAIN_MAX)
			return -ELOOP;
		int r = head_wrap(x, interp, arg, script);
		if (r < 0)
			return r;
		snprintf(script, sizeof(script), "%s", interp);
		place_finish(p);
		r = place_resolve(&w->watch->env, w->task, AT_FDCWD, script,
				  PLACE_FOLLOW | PLACE_OBJECT | PLACE_ALONE, p);
		if (r == 0 && !p->exists)
			r = -ENOENT;
		if (r == 0)
			r = judge_interpreter(w, p);
		if (r < 0)
			return r;
		at = p;
	}
}

/* Whether the next @len bytes of @fd are those at @want. A piece at a time: an argv is large for a stack. */
static bool goes_on_with(int fd, const char *want, size_t len)
{
	char have[1024];
	while (len) {
		size_t step = len < sizeof(have) ? len : sizeof(have);
		if (fd_read_all(fd, have, step) != (ssize_t)step || memcmp(want, have, step) != 0)
			return false;
		want += step;
		len -= step;
	}
	return true;
}

/* The new image's argv against what was judged. */
static bool argv_matches(const struct worker *w, int proc_dir, const struct expected *x)
{
	const struct action *a = &w->action;
	const char *rest = w->argv;
	size_t rest_len = a->argv_len;
	char more;
	if (x->script) { /* head replaces argv[0] */
		size_t first = a->argc ? strlen(w->argv) + 1 : 0;
		rest += first;
		rest_len -= first;
	}
	/* the kernel adds an empty argv[0] */
	bool added = a->argc == 0 && !x->script && !a->argv_truncated;
	cleanup_fd int fd = openat(proc_dir, "cmdline", O_RDONLY | O_CLOEXEC);
	return fd >= 0 && goes_on_with(fd, x->head, x->script ? x->head_len : 0) &&
	       goes_on_with(fd, rest, rest_len) && goes_on_with(fd, "", added ? 1 : 0) &&
	       (a->argv_truncated || fd_read_all(fd, &more, 1) == 0);
}

static int open_proc(const struct watch *watch, pid_t pid)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", pid);
	return openat(watch->env.proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/*
 * Detaches with a signal to deliver. A task killed meanwhile cannot be detached (ESRCH): its
 * death is then ours to collect, or its parent would wait for it for ever.
 */
static void let_go(pid_t pid, int signum)
{
	int status;
	if (ptrace(PTRACE_DETACH, pid, NULL, (void *)(uintptr_t)signum) == 0)
		return;
	while (waitpid(pid, &status, __WALL) == pid && !WIFEXITED(status) && !WIFSIGNALED(status))
		if (ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0)
			return;
}

enum outcome { EXEC_VERIFIED, EXEC_FAILED, EXEC_SWAPPED, EXEC_DIED };

/*
 * The kernel opens an ELF program's loader itself, so no open of it was ever asked about. It is judged as the libraries are
 * that it goes on to open: as a file that is read.
 */
static bool may_load(struct worker *w, int proc_dir)
{
	char path[ACTION_PATH_SIZE];
	int r = image_loader(proc_dir, path, sizeof(path));
	if (r <= 0)
		return r == 0;
	struct action a = w->action;
	a.type = ACTION_FILE_READ;
	a.op = OP_READ;
	a.resource = path;
	a.alias = NULL;
	a.argv = NULL;
	a.argc = 0;
	a.argv_len = 0;
	a.argv_truncated = false;
	a.provenance = PROVENANCE_UNKNOWN;
	a.size_bytes = -1;
	if (watch_allows_still(w->watch, &a))
		return true;
	watch_decide_seen(w->watch, &a, NULL, 0); /* for the log */
	return false;
}

/* Waits, as tracer, for what becomes of the execve. @ret_pid: the process (exec makes a thread its leader). */
static enum outcome guard(struct worker *w, const struct expected *x, pid_t *ret_pid)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL | __WNOTHREAD);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			return EXEC_DIED;
		*ret_pid = pid;
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return EXEC_DIED;
		if (status >> 8 != (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
			/* our interrupt, a group stop, or a signal on its way: execve did not happen */
			bool event = status >> 16 != 0;
			let_go(pid, event ? 0 : WSTOPSIG(status));
			return EXEC_FAILED;
		}
		/* a thread that was not the leader has another number now */
		cleanup_fd int other = pid == w->task->tid ? -1 : open_proc(w->watch, pid);
		int dir = pid == w->task->tid ? w->task->dir_fd : other;
		struct stat exe;
		bool same = dir >= 0 && fstatat(dir, "exe", &exe, 0) == 0 && exe.st_dev == x->dev &&
			    exe.st_ino == x->ino && argv_matches(w, dir, x) && may_load(w, dir);
		if (!same)
			kill(pid, SIGKILL); /* still stopped: nothing of it runs */
		let_go(pid, 0);
		return same ? EXEC_VERIFIED : EXEC_SWAPPED;
	}
}

static void describe(struct worker *w)
{
	const struct place *p = &w->place[0];
	struct action *a = &w->action;
	a->type = w->row->type;
	a->op = w->row->op;
	a->resource = p->path;
	a->alias = *p->alias ? p->alias : NULL;
	a->provenance = watch_provenance(w->watch, p);
	a->size_bytes = p->st.st_size;
	a->mode = p->st.st_mode;
	a->cwd = NULL;
	if (tracee_dirpath(w->task, AT_FDCWD, w->text, sizeof(w->text)) > 0)
		a->cwd = w->text;
}

static int prepare(struct worker *w, struct expected *x)
{
	const __u64 *args = w->n.notif.data.args;
	bool at = w->n.notif.data.nr == __NR_execveat;
	int flags = at ? worker_int(w, 4) : 0;
	int dirfd = at ? worker_int(w, 0) : AT_FDCWD;
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	int r = worker_path(w, at ? 1 : 0, 0);
	if (r == 0)
		r = read_argv(w, args[at ? 2 : 1]);
	if (r < 0)
		return r;
	struct place *p = &w->place[0];
	enum place_flags how = PLACE_OBJECT | PLACE_ALONE |
			       (flags & AT_SYMLINK_NOFOLLOW ? 0 : PLACE_FOLLOW) |
			       (flags & AT_EMPTY_PATH ? PLACE_EMPTY_PATH : 0);
	r = place_resolve(&w->watch->env, w->task, dirfd, w->path[0], how, p);
	if (r == 0 && !p->exists)
		r = -ENOENT;
	if (r == 0 && S_ISLNK(p->st.st_mode))
		r = -ELOOP;
	if (r < 0)
		return r;
	describe(w);
	/* The name a script's interpreter gets: fs/exec.c, alloc_bprm */
	char name[ACTION_PATH_SIZE + 24];
	if (dirfd == AT_FDCWD || *w->path[0] == '/')
		snprintf(name, sizeof(name), "%s", w->path[0]);
	else if (*w->path[0])
		snprintf(name, sizeof(name), "/dev/fd/%d/%s", dirfd, w->path[0]);
	else
		snprintf(name, sizeof(name), "/dev/fd/%d", dirfd);
	return follow_chain(w, name, x);
}

/* Lets the judged execve happen and sees it through. The caller is answered here. */
static void run_guarded(struct worker *w, const struct expected *x)
{
	struct watch *watch = w->watch;
	pid_t tid = w->task->tid, pid = tid;
	uint64_t id = w->n.notif.id;
	char path[ACTION_PATH_SIZE];
	snprintf(path, sizeof(path), "%s", w->place[0].path);
	if (ptrace(PTRACE_SEIZE, tid, NULL,
		   (void *)(uintptr_t)(PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)) < 0) {
		int r = errno == ESRCH ? -ENOENT : -EACCES;
		/*
		 * Traced already. By a debugger inside, that is what --allow-ptrace was given for: the
		 * judged exec goes on unverified, and the log says so. By anybody else: refused.
		 */
		bool debugger = r == -EACCES && watch->plan->box->allow_ptrace &&
				tracee_traced_inside(w->task);
		watch_done(w, debugger ? EVENT_RESULT_PENDING : r);
		tracee_execing(watch->tracees, w->task->tgid);
		if (debugger)
			listener_continue(w->listener, id);
		else
			worker_answer(w, r);
		if (r == -EACCES)
			watch_notice(watch,
				     debugger ? "exec of %s runs unverified under a debugger"
					      : "exec of %s refused: its task is already traced",
				     path);
		return;
	}
	/*
	 * A filter that a runtime made lets signals end the wait for our answer, and the interrupt would: there
	 * the answer comes first. Nobody receives another call of the task before it is interrupted: we lead.
	 */
	bool interruptible = watch->plan->attach && watch->plan->attach->container;
	/*
	 * A signal has sent the task round before it was seized: it asks anew, and is let go before anybody can
	 * receive that, who would find it traced.
	 */
	if (interruptible && listener_valid(w->listener, id) < 0) {
		watch_done(w, -EINTR);
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		guard(w, x, &pid);
		return;
	}
	if (!interruptible)
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	watch_done(w, EVENT_RESULT_PENDING);
	tracee_execing(watch->tracees, w->task->tgid);
	int r = listener_continue(w->listener, id);
	if (interruptible)
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	if (interruptible && r == -ENOENT) { /* the same, just now */
		guard(w, x, &pid);
		return;
	}
	if (r < 0 && r != -ENOENT) /* still waiting, and nobody would answer it */
		kill(tid, SIGKILL);
	__atomic_store_n(&w->serving, 0, __ATOMIC_RELEASE); /* traced now, and answered */
	worker_step_down(w);
	enum outcome outcome = guard(w, x, &pid);
	if (outcome == EXEC_VERIFIED)
		worker_execed(watch, pid);
	if (outcome == EXEC_SWAPPED)
		watch_notice(
			watch,
			"killed pid %d: what execve loaded is not the %s that was judged, or its "
			"loader may not be read",
			w->task->ns_tgid, path);
}

void carry_exec(struct worker *w)
{
	struct expected x;
	int r = prepare(w, &x);
	if (r == 0)
		r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = watch_decide(w);
	if (r < 0)
		worker_answer(w, r);
	else
		run_guarded(w, &x);
}
