/* What every emulated call needs: its arguments by kind, its places, its result. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "sandbox/emulate_private.h"

/* The kernel says EOVERFLOW where a copy-up meets an owner outside the id map; nobody expects that. */
int emulate_errno(void)
{
	return errno == EOVERFLOW ? -EACCES : -errno;
}

int emulate_result(long r)
{
	return r < 0 ? emulate_errno() : 0;
}

int emulate_arg(const struct worker *w, enum arg kind, unsigned n)
{
	for (int i = 0; i < SYSCALL_ARGS; i++)
		if (w->row->args[i] == kind && n-- == 0)
			return i;
	return -1;
}

int emulate_dirfd(const struct worker *w, int path_arg)
{
	if (path_arg > 0 && w->row->args[path_arg - 1] == ARG_DIRFD)
		return worker_int(w, (unsigned)path_arg - 1);
	return AT_FDCWD;
}

int emulate_number(const struct worker *w, enum arg kind)
{
	int i = emulate_arg(w, kind, 0);
	return i < 0 ? 0 : worker_int(w, (unsigned)i);
}

/* The path argument of which w->path[@which] is the copy. */
static int resolve_read(struct worker *w, unsigned which, enum place_flags flags)
{
	return place_resolve(&w->watch->env, w->task,
			     emulate_dirfd(w, emulate_arg(w, ARG_PATH, which)), w->path[which],
			     flags, &w->place[which]);
}

int emulate_resolve(struct worker *w, unsigned which, enum place_flags flags)
{
	int i = emulate_arg(w, ARG_PATH, which);
	if (i < 0)
		return -ENOSYS;
	int r = worker_path(w, (unsigned)i, which);
	return r < 0 ? r : resolve_read(w, which, flags);
}

/* Both paths of a call, before either is resolved, as the kernel takes them. */
static int read_paths(struct worker *w)
{
	const __u64 *args = w->n.notif.data.args;
	int first = emulate_arg(w, ARG_PATH, FIRST), second = emulate_arg(w, ARG_PATH, SECOND);
	if (first < 0 || second < 0)
		return -ENOSYS;
	const uint64_t addr[2] = { args[first], args[second] };
	char *const buf[2] = { w->path[FIRST], w->path[SECOND] };
	return tracee_read_strings(w->task->tid, addr, buf, sizeof(w->path[FIRST]));
}

int emulate_resolve_pair(struct worker *w, enum place_flags first, enum place_flags second)
{
	int r = read_paths(w);
	if (r == 0)
		r = resolve_read(w, FIRST, first);
	if (r == 0)
		r = resolve_read(w, SECOND, second);
	return r;
}

void emulate_describe(struct worker *w, unsigned which)
{
	const struct place *p = &w->place[which];
	w->action.provenance = watch_provenance(w->watch, p);
	w->action.resource = p->path;
	w->action.alias = *p->alias ? p->alias : NULL;
	w->action.size_bytes = p->exists && S_ISREG(p->st.st_mode) ? p->st.st_size : -1;
	w->action.mode = p->exists ? p->st.st_mode : 0;
}
