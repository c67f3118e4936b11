#include "rootfs/undo.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "rootfs/undo_private.h"

const char *undo_outcome_name(enum undo_outcome outcome)
{
	static const char *const names[UNDO_OUTCOME_COUNT] = {
		[UNDO_RESTORED] = "undone", [UNDO_NOTHING] = "nothing", [UNDO_DRIFTED] = "drifted",
		[UNDO_PAST] = "past",       [UNDO_FAILED] = "failed",
	};
	return outcome < UNDO_OUTCOME_COUNT ? names[outcome] : "unknown";
}

static int add_remade(struct undo_run *u, const struct journal_record *link)
{
	const uint64_t olds[] = { link->before.ino, link->upper_ino };
	for (unsigned i = 0; i < 2; i++) {
		if (olds[i] == 0 || (i == 1 && olds[1] == olds[0]))
			continue;
		if (u->remade_count == u->remade_room) {
			size_t room = u->remade_room ? u->remade_room * 2 : 64;
			struct undo_remade *more = realloc(u->remade, room * sizeof(*more));
			if (!more)
				return -ENOMEM;
			u->remade = more;
			u->remade_room = room;
		}
		u->remade[u->remade_count++] = (struct undo_remade){
			.old = olds[i],
			.new = link->moved.ino,
			.target = link->target,
			.number = link->number,
		};
	}
	return 0;
}

/*
 * A file system gives numbers out again, so a number means something at a time only: it is
 * the object that was removed next, by the lowest record from that time on. From when it came back it
 * has its new number, and so on.
 */
uint64_t undo_number(const struct undo_run *u, uint64_t ino, uint64_t number)
{
	for (;;) {
		const struct undo_remade *next = NULL;
		for (size_t i = 0; i < u->remade_count; i++) {
			const struct undo_remade *m = &u->remade[i];
			if (m->old != ino || m->target < number)
				continue;
			/* of two tries at one record the later holds */
			if (!next || m->target < next->target ||
			    (m->target == next->target && m->number > next->number))
				next = m;
		}
		if (!next)
			return ino;
		ino = next->new;
		number = next->number;
	}
}

int undo_remade(struct undo_run *u, const struct journal_view *v, const struct undo_place *p,
		uint64_t ino)
{
	struct journal_record *r;
	int rc = journal_begin_mark(u->journal, JOURNAL_REMADE, &r);
	if (rc < 0)
		return undo_why(u, -rc, "the journal takes no more");
	r->target = v->record->number;
	r->before.ino = v->record->before.ino;
	r->upper_ino = v->record->upper_ino;
	r->moved.ino = ino;
	rc = journal_commit(u->journal);
	if (rc == 0)
		rc = add_remade(u, r);
	return rc == 0 ? undo_names_add(u, p, ino) : rc;
}

/* The newest rollback that did not come to its end; -1 none. */
static ssize_t find_interrupted(const struct journal_reader *r)
{
	for (size_t i = journal_reader_count(r); i-- > 0;) {
		struct journal_view v;
		journal_reader_at(r, i, &v);
		if (v.record->kind == JOURNAL_ROLLBACK)
			return v.record->state == JOURNAL_PENDING ? (ssize_t)i : -1;
	}
	return -1;
}

/* Index of the oldest record to undo, and one past the newest. */
static void choose(const struct undo_run *u, uint64_t last, ssize_t interrupted, size_t *ret_from,
		   size_t *ret_to)
{
	struct journal_view v;
	size_t count = journal_reader_count(u->reader);
	*ret_to = *ret_from = interrupted >= 0 ? (size_t)interrupted : count;
	uint64_t target = 0;
	if (interrupted >= 0) {
		journal_reader_at(u->reader, (size_t)interrupted, &v);
		target = v.record->target;
	}
	for (size_t i = *ret_to; i-- > 0;) {
		journal_reader_at(u->reader, i, &v);
		if (interrupted >= 0 ? v.record->number < target : last == 0)
			break;
		if (!journal_undoable(&v))
			continue;
		*ret_from = i;
		last -= interrupted < 0;
	}
}

static int load_remade(struct undo_run *u)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < journal_reader_count(u->reader); i++) {
		struct journal_view v;
		journal_reader_at(u->reader, i, &v);
		if (v.record->kind != JOURNAL_REMADE)
			continue;
		r = add_remade(u, v.record);
	}
	return r;
}

/* A rollback is a record too: written before its first step, done after its last. */
static int announce(struct undo_run *u, size_t from, struct err *err)
{
	struct journal_view v;
	struct journal_record *r;
	journal_reader_at(u->reader, from, &v);
	int rc = journal_begin_mark(u->journal, JOURNAL_ROLLBACK, &r);
	if (rc == 0) {
		r->target = v.record->number;
		rc = journal_commit(u->journal);
	}
	return rc < 0 ? err_sys(err, -rc, "rollback: the journal cannot be written") : 0;
}

/* Its record may lie in a segment that is newer than the reader. */
static int conclude(int session_dirfd, struct err *err)
{
	struct journal_reader *reader;
	int r = journal_reader_open(session_dirfd, JOURNAL_MARK, &reader, err);
	if (r < 0)
		return r;
	ssize_t i = find_interrupted(reader);
	if (i >= 0)
		journal_mark(reader, (size_t)i, JOURNAL_DONE);
	journal_reader_close(reader);
	return 0;
}

static void tell(const struct undo_request *request, const struct journal_view *v,
		 enum undo_outcome outcome, const char *why, struct undo_result *ret)
{
	ret->outcomes[outcome]++;
	if (v->record->seq) {
		ret->oldest_seq = v->record->seq;
		if (!ret->newest_seq)
			ret->newest_seq = v->record->seq;
	}
	struct undo_step step = { .view = v, .outcome = outcome, .why = why };
	if (request->step)
		request->step(&step, request->arg);
}

/* What can be told of a step without the steps before it: is its pre-image there? */
static enum undo_outcome foresee(struct undo_run *u, const struct journal_view *v)
{
	if (v->record->content == JOURNAL_CONTENT_LOST)
		return UNDO_PAST;
	if (v->record->content == JOURNAL_CONTENT_LOWER)
		return undo_lower_is_there(u, v) ? UNDO_RESTORED : UNDO_PAST;
	if (v->record->content != JOURNAL_CONTENT_STASH)
		return UNDO_RESTORED;
	int fd = journal_reader_stash(u->reader, v->record->stash);
	if (fd < 0)
		return UNDO_PAST;
	close(fd);
	return UNDO_RESTORED;
}

static void run(struct undo_run *u, size_t from, size_t to, bool interrupted,
		const struct undo_request *request, struct undo_result *ret)
{
	for (size_t i = to; i-- > from;) {
		struct journal_view v;
		journal_reader_at(u->reader, i, &v);
		if (!journal_undoable(&v))
			continue;
		if (request->dry_run) {
			*u->why = '\0';
			enum undo_outcome likely = foresee(u, &v);
			tell(request, &v, likely, u->why, ret);
			continue;
		}
		u->state = v.record->state;
		u->continued = interrupted && u->state != JOURNAL_DONE;
		if (u->state == JOURNAL_DONE)
			journal_mark(u->reader, i, JOURNAL_UNDOING);
		enum undo_outcome outcome = undo_record(u, &v);
		bool gone = outcome == UNDO_RESTORED || outcome == UNDO_NOTHING;
		journal_mark(u->reader, i, gone ? JOURNAL_UNDONE : JOURNAL_LEFT);
		tell(request, &v, outcome, u->why, ret);
	}
}

int undo_run(int session_dirfd, int root_fd, const struct undo_layers *layers,
	     struct journal *journal, const struct undo_request *request, struct undo_result *ret,
	     struct err *err)
{
	struct undo_run u = { .root_fd = root_fd, .layers = layers, .journal = journal };
	*ret = (struct undo_result){ 0 };
	int r = journal_reader_open(session_dirfd, request->dry_run ? JOURNAL_READ : JOURNAL_MARK,
				    &u.reader, err);
	if (r < 0)
		return r;
	ssize_t interrupted = find_interrupted(u.reader);
	size_t from, to;
	choose(&u, request->last, interrupted, &from, &to);
	ret->continued = interrupted >= 0;
	r = load_remade(&u);
	if (r < 0)
		r = err_sys(err, -r, "rollback");
	if (r == 0 && from < to && !request->dry_run && interrupted < 0)
		r = announce(&u, from, err);
	if (r == 0)
		run(&u, from, to, interrupted >= 0, request, ret);
	/* one that was interrupted behind its last step has none left, but is not over */
	if (r == 0 && !request->dry_run && (from < to || interrupted >= 0))
		r = conclude(session_dirfd, err);
	undo_names_finish(&u);
	free(u.remade);
	journal_reader_close(u.reader);
	return r;
}

uint64_t undo_count(int session_dirfd, uint64_t after)
{
	struct journal_reader *r;
	struct journal_view v;
	uint64_t count = 0;
	if (journal_reader_open(session_dirfd, JOURNAL_READ, &r, NULL) < 0)
		return 0;
	for (size_t i = journal_reader_count(r); i-- > 0;) {
		journal_reader_at(r, i, &v);
		if (v.record->number <= after)
			break;
		count += journal_undoable(&v);
	}
	journal_reader_close(r);
	return count;
}

int undo_range(int session_dirfd, uint64_t *ret_oldest, uint64_t *ret_newest)
{
	struct journal_reader *reader;
	struct journal_view v;
	int r = journal_reader_open(session_dirfd, JOURNAL_READ, &reader, NULL);
	if (r < 0)
		return r;
	size_t count = journal_reader_count(reader);
	if (count) {
		journal_reader_at(reader, 0, &v);
		*ret_oldest = v.record->number;
		journal_reader_at(reader, count - 1, &v);
		*ret_newest = v.record->number;
	}
	journal_reader_close(reader);
	return count ? 0 : -ENOENT;
}
