/* The record of a commit on disk: its plan, written once, and its progress. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/fd.h"
#include "base/scope.h"
#include "rootfs/commit_private.h"
#include "rootfs/origin.h"

enum { RECORD_VERSION = 2 };

struct plan_head {
	uint32_t version, keep_setuid, whole, layers;
	uint64_t count, journal;
	char nonce[16];
};

struct plan_step {
	uint32_t kind, early, link, group, layer, root_len;
	struct commit_state old, new;
};

struct progress_step {
	uint32_t mark, reserved;
	uint64_t op;
	struct commit_state state;
};

void commit_state_of(const struct stat *st, struct commit_state *ret)
{
	*ret = (struct commit_state){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = st->st_size,
		.mtime_sec = st->st_mtim.tv_sec,
		.mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
	};
}

bool commit_state_is(const struct commit_state *s, const struct stat *st)
{
	if (s->ino != st->st_ino || s->dev != st->st_dev ||
	    (s->mode & S_IFMT) != (st->st_mode & S_IFMT))
		return false;
	return S_ISDIR(st->st_mode) ||
	       (s->size == st->st_size && s->mtime_sec == st->st_mtim.tv_sec &&
		s->mtime_nsec == (uint32_t)st->st_mtim.tv_nsec && s->mode == st->st_mode &&
		s->uid == st->st_uid && s->gid == st->st_gid);
}

static int open_commit(int commits, struct commit *c)
{
	char name[16];
	snprintf(name, sizeof(name), "%u", c->number);
	c->dir = openat(commits, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir < 0)
		return -errno;
	if (mkdirat(c->dir, "pre", 0700) < 0 && errno != EEXIST)
		return -errno;
	c->pre = openat(c->dir, "pre", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->pre < 0 ? -errno : 0;
}

/* The numbers below commits/, one at a time downwards: the largest below @below; 0 none. */
static unsigned number_below(int commits, unsigned below)
{
	unsigned found = 0;
	cleanup_dir DIR *d = fd_opendir(commits, ".", 0);
	if (!d)
		return 0;
	for (const struct dirent *e; (e = readdir(d));) {
		char *end;
		unsigned long n = strtoul(e->d_name, &end, 10);
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && !*end && n < below && n > found)
			found = (unsigned)n;
	}
	return found;
}

static int write_plan(struct commit *c)
{
	struct ledger plan;
	struct plan_head head = { .version = RECORD_VERSION,
				  .keep_setuid = c->plan.keep_setuid,
				  .whole = c->plan.whole,
				  .layers = c->plan.layers,
				  .count = c->plan.count,
				  .journal = c->plan.journal };
	memcpy(head.nonce, c->nonce, sizeof(c->nonce));
	int r = ledger_open(c->dir, "plan.new", &plan, NULL);
	struct iovec first = { &head, sizeof(head) };
	if (r == 0)
		r = ledger_append(&plan, &first, 1);
	for (size_t i = 0; r == 0 && i < c->plan.count; i++) {
		struct commit_op *op = &c->plan.ops[i];
		struct plan_step step = { .kind = op->kind,
					  .early = op->early,
					  .link = op->link,
					  .group = op->group,
					  .layer = op->layer,
					  .root_len = op->root_len,
					  .old = op->old,
					  .new = op->new };
		struct iovec parts[] = { { &step, sizeof(step) }, { op->path, strlen(op->path) } };
		r = ledger_append(&plan, parts, 2);
	}
	if (r == 0)
		r = ledger_sync(&plan);
	ledger_close(&plan);
	if (r == 0 && renameat(c->dir, "plan.new", c->dir, "plan") < 0)
		r = -errno;
	if (r == 0 && fsync(c->dir) < 0)
		r = -errno;
	return r;
}

static void drop_record(const struct commit *c, int commits)
{
	static const char *const files[] = { "plan", "plan.new", "progress" };
	char name[16];
	for (size_t i = 0; c->dir >= 0 && i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(c->dir, files[i], 0);
	if (c->dir >= 0)
		unlinkat(c->dir, "pre", AT_REMOVEDIR);
	snprintf(name, sizeof(name), "%u", c->number);
	unlinkat(commits, name, AT_REMOVEDIR);
}

int commit_record_write(struct commit *c)
{
	uint32_t random[2];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(c->err, errno, "commit: no random name");
	snprintf(c->nonce, sizeof(c->nonce), "%05x%05x", random[0] & 0xfffff, random[1] & 0xfffff);
	if (mkdirat(c->session_dirfd, "commits", 0700) < 0 && errno != EEXIST)
		return err_sys(c->err, errno, "commit: cannot make the record");
	cleanup_fd int commits = openat(c->session_dirfd, "commits",
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	c->number = number_below(commits, UINT32_MAX) + 1;
	char name[16];
	snprintf(name, sizeof(name), "%u", c->number);
	int r = commits < 0 || mkdirat(commits, name, 0700) < 0 ? -errno : open_commit(commits, c);
	if (r == 0)
		r = write_plan(c);
	if (r == 0 && (fsync(commits) < 0 || fsync(c->session_dirfd) < 0))
		r = -errno;
	if (r == 0)
		r = ledger_open(c->dir, "progress", &c->ledger, NULL);
	/* what will be noted has its room now, so that a full disk cannot stop it half way */
	if (r == 0)
		r = ledger_reserve(&c->ledger, (3 * c->plan.count + MARK_COUNT) *
						       (sizeof(struct progress_step) + 16));
	if (r == 0)
		r = origin_ledger_open(c->session_dirfd, &c->origins, NULL);
	if (r == 0)
		r = commit_keep_siblings(c);
	if (r == 0)
		r = commit_keep_reserve(c);
	if (r < 0) /* nothing was begun, and nobody is to go on with it */
		drop_record(c, commits);
	return r < 0 ? err_sys(c->err, -r, "commit: cannot write the record") : 0;
}

static int load_step(const void *record, size_t len, void *arg)
{
	struct commit *c = arg;
	struct commit_plan *p = &c->plan;
	if (!p->ops) { /* the first is the head */
		const struct plan_head *head = record;
		if (len != sizeof(*head) || head->version != RECORD_VERSION ||
		    head->layers > COMMIT_KEEPS || head->count > UINT32_MAX)
			return -EBADMSG;
		memcpy(c->nonce, head->nonce, sizeof(c->nonce) - 1);
		p->keep_setuid = head->keep_setuid;
		p->whole = head->whole;
		p->layers = (enum commit_layers)head->layers;
		p->journal = head->journal;
		p->room = head->count;
		p->ops = calloc(p->room + 1, sizeof(*p->ops));
		return p->ops ? 0 : -ENOMEM;
	}
	const struct plan_step *step = record;
	if (len <= sizeof(*step) || p->count == p->room || step->kind >= COMMIT_KIND_COUNT ||
	    step->group >= p->room || step->root_len > len - sizeof(*step))
		return -EBADMSG;
	struct commit_op *op = &p->ops[p->count++];
	*op = (struct commit_op){
		.kind = (enum commit_kind)step->kind,
		.early = step->early,
		.link = step->link,
		.group = step->group,
		.layer = step->layer,
		.root_len = step->root_len,
		.old = step->old,
		.new = step->new,
		.path = strndup((const char *)record + sizeof(*step), len - sizeof(*step)),
	};
	return op->path ? 0 : -ENOMEM;
}

static int load_progress(const void *record, size_t len, void *arg)
{
	struct commit *c = arg;
	const struct progress_step *step = record;
	if (len != sizeof(*step) || step->mark >= MARK_COUNT ||
	    (step->op && step->op >= c->plan.count))
		return -EBADMSG;
	c->marks[step->mark] = true;
	if (step->mark == MARK_STAGED)
		c->progress[step->op].staged = step->state;
	if (step->mark == MARK_DRIFTED)
		c->progress[step->op].drifted = true;
	if (step->mark == MARK_RESTORED)
		c->progress[step->op].restored = step->state;
	return 0;
}

static int load(struct commit *c)
{
	int r = ledger_read(c->dir, "plan", load_step, c);
	if (r == 0 && (!c->plan.ops || c->plan.count != c->plan.room))
		r = -EBADMSG;
	c->progress = r < 0 ? NULL : calloc(c->plan.count + 1, sizeof(*c->progress));
	if (r == 0 && !c->progress)
		r = -ENOMEM;
	if (r == 0)
		r = ledger_read(c->dir, "progress", load_progress, c);
	if (r == -ENOENT && c->progress)
		r = 0;
	if (r == 0)
		r = ledger_open(c->dir, "progress", &c->ledger, NULL);
	if (r == 0)
		r = origin_ledger_open(c->session_dirfd, &c->origins, NULL);
	return r;
}

int commit_record_open(int session_dirfd, struct commit *ret, struct err *err)
{
	return commit_record_before(session_dirfd, UINT32_MAX, ret, err);
}

struct commit commit_record_none(int session_dirfd, struct err *err)
{
	return (struct commit){ .session_dirfd = session_dirfd,
				.dir = -1,
				.pre = -1,
				.ledger.fd = -1,
				.origins.fd = -1,
				.host = { .root = -1, .dir = -1 },
				.upper = { .root = -1, .dir = -1 },
				.err = err };
}

int commit_record_before(int session_dirfd, unsigned below, struct commit *ret, struct err *err)
{
	cleanup_fd int commits =
		openat(session_dirfd, "commits", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (commits < 0 && errno != ENOENT)
		return err_sys(err, errno, "commit: cannot open the record");
	for (unsigned n = below; commits >= 0 && (n = number_below(commits, n)) > 0;) {
		struct commit c = commit_record_none(session_dirfd, err);
		c.number = n;
		int r = open_commit(commits, &c);
		if (r == 0)
			r = load(&c);
		if (r == 0 && !c.marks[MARK_UNDONE]) {
			*ret = c;
			return 0;
		}
		commit_record_close(&c);
		/* without a plan it was interrupted before it began */
		if (r < 0 && r != -ENOENT)
			return err_sys(err, -r, "commit: the record commits/%u cannot be read", n);
	}
	return -ENOENT;
}

void commit_record_close(struct commit *c)
{
	commit_forget(&c->host);
	commit_forget(&c->upper);
	ledger_close(&c->ledger);
	ledger_close(&c->origins);
	scope_close(&c->dir);
	scope_close(&c->pre);
	commit_plan_finish(&c->plan);
	free(c->progress);
	c->progress = NULL;
	for (size_t i = 0; i < c->sibling_count; i++)
		free(c->siblings[i]);
	free(c->siblings);
	c->siblings = NULL;
	c->sibling_count = 0;
}

int commit_mark(struct commit *c, enum commit_mark mark, size_t op, const struct commit_state *st)
{
	struct progress_step step = { .mark = mark, .op = op };
	if (st)
		step.state = *st;
	struct iovec part = { &step, sizeof(step) };
	int r = ledger_append(&c->ledger, &part, 1);
	/* a step's mark is on the disk before the names change: its phase ends with a sync */
	if (r == 0 && mark != MARK_STAGED && mark != MARK_RESTORED && mark != MARK_DRIFTED)
		r = ledger_sync(&c->ledger);
	if (r < 0)
		return err_sys(c->err, -r, "commit: cannot write the record");
	c->marks[mark] = true;
	if (mark == MARK_STAGED)
		c->progress[op].staged = *st;
	if (mark == MARK_RESTORED)
		c->progress[op].restored = *st;
	return 0;
}

int commit_status(int session_dirfd, enum commit_status *ret, struct err *err)
{
	struct commit c;
	*ret = COMMIT_NONE;
	int r = commit_record_open(session_dirfd, &c, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	*ret = c.marks[MARK_UNDOING]   ? COMMIT_UNDOING
	       : c.marks[MARK_DROPPED] ? COMMIT_FINISHED
				       : COMMIT_UNFINISHED;
	commit_record_close(&c);
	return 0;
}

int commit_load(int session_dirfd, struct commit_plan *ret, struct err *err)
{
	struct commit c;
	int r = commit_record_open(session_dirfd, &c, err);
	if (r < 0)
		return r;
	*ret = c.plan;
	c.plan = (struct commit_plan){ 0 };
	commit_record_close(&c);
	return 0;
}
