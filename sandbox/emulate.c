/*
 * Calls that change names and attributes: resolved, judged and made here, on
 * pinned directories and objects. The program's own memory is never looked at twice.
 * How each is prepared and made is emulate_names.c's and emulate_object.c's; here is
 * what all of them go through between the two.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "sandbox/emulate_private.h"
#include "sandbox/fence.h"
#include "sandbox/outside.h"

/*
 * What a rename takes from its place is gone from there: for a found file that is a deletion as well,
 * or a policy against deletions would be a policy against unlink(2) alone.
 */
static int judge_removal(struct worker *w)
{
	const struct place *from = &w->place[FIRST];
	struct action a = w->action;
	a.provenance = watch_provenance(w->watch, from);
	if (w->row->op != OP_RENAME || a.provenance == PROVENANCE_CREATED ||
	    ((unsigned)emulate_number(w, ARG_ATFLAGS) & RENAME_EXCHANGE))
		return 0;
	a.type = ACTION_FILE_DELETE;
	a.op = OP_RENAME;
	return watch_decide_also(w, &a);
}

/* "." and "..", a slash behind or not: the kernel removes neither. */
static bool ends_in_dots(const char *path)
{
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	size_t start = len;
	while (start && path[start - 1] != '/')
		start--;
	len -= start;
	return (len == 1 || len == 2) && strncmp(path + start, "..", len) == 0;
}

/* Does the call take away, put in place or make a name that leads to our own directories? */
static bool is_fenced(const struct worker *w)
{
	const struct fence *f = w->watch->plan->box->fence;
	const struct place *first = &w->place[FIRST], *second = &w->place[SECOND];
	enum action_op op = w->row->op;
	bool makes = op == OP_MKDIR || op == OP_MKNOD || op == OP_SYMLINK;
	/* making one that is there is the kernel's to refuse */
	bool takes = op == OP_RENAME || (op == OP_DELETE && !ends_in_dots(w->path[0]));
	if (takes || (makes && !first->exists))
		if (fence_has(f, first->path))
			return true;
	return (op == OP_RENAME || (op == OP_LINK && !second->exists)) &&
	       fence_has(f, second->path);
}

/* An object that was not there before: mkdir, mknod, symlink. A link is a name more. */
static bool see_made(const struct worker *w, struct stat *ret)
{
	const struct place *p = &w->place[FIRST];
	return w->row->undo == UNDO_MAKE && w->row->op != OP_LINK &&
	       fstatat(p->parent_fd, p->leaf, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Can it take from somebody, or give, the way through a directory? By its mode, its owner or an access list. */
static bool op_closes(enum action_op op)
{
	return op == OP_CHMOD || op == OP_CHOWN || op == OP_XATTR;
}

static int emulate(struct worker *w, const struct responder *s)
{
	int r = s->prepare(w, s->fixed);
	if (r < 0)
		return r;
	w->action.type = w->row->type;
	w->action.op = w->row->op;
	if (w->row->undo == UNDO_META || w->row->undo == UNDO_CONTENT)
		r = outside_check(w, &w->place[FIRST],
				  w->row->undo == UNDO_META ? OUTSIDE_META : OUTSIDE_CONTENT);
	if (r < 0)
		return r;
	/* Everything was read by number: is it still the task that asked? */
	r = listener_valid(w->listener, w->n.notif.id);
	if (r == 0)
		r = judge_removal(w);
	/* a pipe, a memfd: the sandbox's own. Only a link would give such a thing a name. */
	bool names = w->row->op == OP_LINK || !w->place[FIRST].nameless;
	if (r == 0 && names)
		r = watch_decide(w);
	if (r < 0)
		return r;
	if (is_fenced(w)) {
		watch_done(w, -EBUSY);
		return -EBUSY;
	}
	if (names)
		watch_touch(w);
	r = capture_before(w);
	if (r == 0)
		r = creds_assume(&w->watch->env, w->task);
	/* who may go through a directory was found out for what is remembered behind it */
	if (op_closes(w->row->op) && S_ISDIR(w->place[FIRST].st.st_mode))
		dirs_forget_below(&w->watch->dirs, w->place[FIRST].path);
	if (r == 0)
		r = s->perform(w, s->fixed);
	creds_resume(&w->watch->env);
	struct stat st;
	bool made = r == 0 && see_made(w, &st);
	if (made)
		created_add(&w->watch->created, &st);
	capture_after(w, r, made ? &st : NULL);
	watch_done(w, r);
	return r;
}

void carry_emulate(struct worker *w)
{
	size_t nr = (size_t)w->n.notif.data.nr;
	const struct responder *s = emulate_names(nr);
	if (!s)
		s = emulate_object(nr);
	worker_answer(w, s ? emulate(w, s) : -ENOSYS);
}
