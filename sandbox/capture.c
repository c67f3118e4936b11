#include "sandbox/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/kept.h"
#include "sandbox/watch.h"

void capture_free(struct capture *c)
{
	if (!c)
		return;
	journal_close(c->journal);
	undo_layers_close(&c->layers);
	free(c);
}

/* @layers is taken over, whatever comes of it. */
static int open_with(struct undo_layers *layers, int session_dirfd,
		     const struct journal_options *options, struct capture **ret, struct err *err)
{
	struct capture *c = calloc(1, sizeof(*c));
	if (!c) {
		undo_layers_close(layers);
		return err_sys(err, ENOMEM, "journal");
	}
	c->sync = options->sync;
	c->layers = *layers;
	int r = journal_open(session_dirfd, options, &c->journal, err);
	if (r < 0)
		capture_free(c);
	else
		*ret = c;
	return r;
}

int capture_open(const struct overlay *o, int session_dirfd, const struct journal_options *options,
		 struct capture **ret, struct err *err)
{
	struct undo_layers layers;
	int r = undo_layers_open(o, &layers, err);
	return r < 0 ? r : open_with(&layers, session_dirfd, options, ret, err);
}

int capture_open_real(int proc_fd, int session_dirfd, const struct journal_options *options,
		      struct capture **ret, struct err *err)
{
	struct undo_layers layers;
	int r = undo_layers_real(proc_fd, &layers, err);
	return r < 0 ? r : open_with(&layers, session_dirfd, options, ret, err);
}

int capture_enter(struct capture *c, struct err *err)
{
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, errno, "journal: the sandbox's root");
	return undo_layers_find(&c->layers, root, err);
}

static struct journal_time time_of(const struct statx_timestamp *t)
{
	return (struct journal_time){ t->tv_sec, t->tv_nsec, 1 };
}

/* The mount of a place, and its parent's times if there is a parent and @dir. */
static int mount_of(const struct place *p, struct journal_time dir[2], uint64_t *ret)
{
	struct statx sx = { .stx_mnt_id = p->parent_mnt,
			    .stx_atime = p->parent_atime,
			    .stx_mtime = p->parent_mtime };
	int fd = p->parent_fd >= 0 ? p->parent_fd : p->object_fd;
	*ret = p->mnt_id;
	if (!dir && p->mnt_id)
		return 0;
	if (!p->seen && (fd < 0 || statx(fd, "", AT_EMPTY_PATH,
					 STATX_MNT_ID | STATX_ATIME | STATX_MTIME, &sx) < 0))
		return -EBADF;
	if (dir && p->parent_fd >= 0) {
		dir[0] = time_of(&sx.stx_atime);
		dir[1] = time_of(&sx.stx_mtime);
	}
	*ret = sx.stx_mnt_id;
	return 0;
}

/*
 * The layer that holds a place, and its parent's times. NULL: none of ours (a tmpfs, /proc,
 * a directory shown directly): what happens there is not undone.
 */
static const struct undo_layer *locate(const struct capture *c, const struct place *p,
				       struct journal_time dir[2])
{
	uint64_t mount;
	if (mount_of(p, dir, &mount) < 0)
		return NULL;
	const struct undo_layer *l = undo_layer_by_mount(&c->layers, mount);
	/* a path that the kernel shows and a layer does not have is none we can find again */
	return l && strncmp(p->path, l->mount, l->mount_len) == 0 ? l : NULL;
}

bool capture_is_new(const struct capture *c, const struct place *p)
{
	const struct undo_layer *l = locate(c, p, NULL);
	return l && undo_layer_lower_lacks(l, p->path);
}

bool capture_same_file(const struct capture *c, const struct place *a, const struct place *b)
{
	const struct undo_layer *l = locate(c, a, NULL);
	struct stat x, y;
	return l && l == locate(c, b, NULL) &&
	       fstatat(l->upper_fd, undo_layer_path(l, a->path), &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(l->upper_fd, undo_layer_path(l, b->path), &y, AT_SYMLINK_NOFOLLOW) == 0 &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A name that the kernel refuses to make, move or remove. */
static bool is_dots(const struct place *p)
{
	return strspn(p->leaf, "./") == strlen(p->leaf) && strcmp(p->leaf, "...") != 0;
}

/*
 * All attributes of @fd, but the overlay's own. One that is O_PATH is named instead, in /proc/self/fd, where
 * the kernel's look-up costs more than the call.
 */
static int put_xattrs(struct capture *c, int fd)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", fd);
	bool named = false;
	ssize_t size = flistxattr(fd, c->names, sizeof(c->names));
	if (size < 0 && errno == EBADF) {
		named = true;
		size = listxattr(name, c->names, sizeof(c->names));
	}
	if (size <= 0)
		return 0; /* none, or a file system without */
	for (char *at = c->names; at < c->names + size; at += strlen(at) + 1) {
		if (strncmp(at, "user.overlay.", 13) == 0 ||
		    strncmp(at, "trusted.overlay.", 16) == 0)
			continue;
		ssize_t len = named ? getxattr(name, at, c->value, sizeof(c->value))
				    : fgetxattr(fd, at, c->value, sizeof(c->value));
		if (len >= 0 && journal_put_xattr(c->journal, at, c->value, (size_t)len) < 0)
			return -ENOSPC;
	}
	return 0;
}

/* Who, when and what: the parts that every record has. */
static int begin(struct worker *w, struct journal_record **ret)
{
	struct capture *c = w->watch->capture;
	int r = journal_begin(c->journal, ret);
	if (r < 0)
		return r;
	(*ret)->seq = w->record ? w->event.seq : 0;
	(*ret)->undo = w->row->undo;
	(*ret)->op = w->action.op;
	(*ret)->pid = w->action.pid;
	return 0;
}

static int commit(struct worker *w)
{
	struct capture *c = w->watch->capture;
	int r = journal_commit(c->journal);
	c->taken = r == 0;
	return r;
}

/*
 * An inode number that says who it is. Not so of directories, which move.c makes anew where the overlay
 * cannot rename them; nor of what the lower made, but for files of root's: only their origin is
 * kept at copy-up and found again.
 */
static bool is_identity(const struct worker *w, const struct undo_layer *l, const struct stat *st)
{
	return (l->rootful && S_ISREG(st->st_mode)) ||
	       (!S_ISDIR(st->st_mode) && created_has(&w->watch->created, st));
}

/*
 * The record of an action that replaces or removes the object at @p, which @k describes.
 * @attributes: a descriptor that has its extended attributes; -1 they are not kept.
 */
static int record_object(struct worker *w, const struct place *p, struct kept *k, int attributes,
			 const struct journal_time dir[2])
{
	struct capture *c = w->watch->capture;
	struct journal_record *r;
	int rc = begin(w, &r);
	if (rc < 0)
		return rc;
	journal_stat_set(&r->before, &k->st);
	r->content = k->content;
	r->stash = k->stash;
	r->upper_ino = k->upper_ino;
	if (!is_identity(w, k->layer, &k->st))
		r->flags |= JOURNAL_FOUND;
	if (dir)
		memcpy(r->dir[0], dir, sizeof(r->dir[0]));
	journal_put_path(c->journal, p->path);
	rc = attributes >= 0 ? put_xattrs(c, attributes) : 0;
	if (rc == 0)
		rc = kept_put(c, r, k, p);
	if (rc < 0) { /* it cannot be kept whole: said to be lost rather than kept in part */
		rc = begin(w, &r);
		if (rc < 0)
			return rc;
		journal_stat_set(&r->before, &k->st);
		k->content = JOURNAL_CONTENT_LOST;
		r->content = JOURNAL_CONTENT_LOST;
		journal_put_path(c->journal, p->path);
	}
	c->lost = k->content == JOURNAL_CONTENT_LOST;
	return commit(w);
}

/* unlink, rmdir */
static int before_removal(struct worker *w)
{
	struct capture *c = w->watch->capture;
	struct place *p = &w->place[0];
	struct journal_time dir[2] = { 0 };
	cleanup_kept struct kept k = { .fd = -1, .st = p->st };
	c->foreseen = !p->exists || p->magic || is_dots(p);
	if (c->foreseen || !(k.layer = locate(c, p, dir)))
		return 0;
	k.rel = undo_layer_path(k.layer, p->path);
	int r = kept_keep(c, &k, KEPT_REMOVED);
	if (r < 0)
		return r;
	/* the lower's attributes are the lower's to tell, but for a directory, which may be merged */
	bool attributes =
		S_ISDIR(p->st.st_mode) ||
		(k.upper && k.content != JOURNAL_CONTENT_NAMED && !S_ISLNK(p->st.st_mode));
	if (attributes && k.fd < 0 && (r = place_pin(p)) < 0)
		return r;
	int fd = k.fd >= 0 ? k.fd : p->object_fd;
	return record_object(w, p, &k, attributes ? fd : -1, dir);
}

/* mkdir, mknod, symlink, link: a name where there is none */
static int before_make(struct worker *w)
{
	struct capture *c = w->watch->capture;
	bool link = w->row->op == OP_LINK;
	const struct place *p = &w->place[link];
	struct journal_time dir[2][2] = { 0 };
	c->foreseen = p->exists || p->magic || p->parent_fd < 0 || is_dots(p);
	const struct undo_layer *layer = c->foreseen ? NULL : locate(c, p, dir[0]);
	if (!layer)
		return 0;
	struct journal_record *r;
	int rc = begin(w, &r);
	if (rc < 0)
		return rc;
	/* a link may touch its source's directory too: emulate_names.c, keep_number */
	bool source = link && !w->place[0].magic && locate(c, &w->place[0], dir[1]);
	memcpy(r->dir, dir, sizeof(r->dir));
	if (link ? !is_identity(w, layer, &w->place[0].st) : w->row->op == OP_MKDIR)
		r->flags |= JOURNAL_FOUND;
	journal_put_path(c->journal, p->path);
	if (source)
		journal_put_path(c->journal, w->place[0].path);
	return commit(w);
}

static unsigned rename_flags(const struct worker *w)
{
	for (unsigned i = 0; i < SYSCALL_ARGS; i++)
		if (w->row->args[i] == ARG_ATFLAGS)
			return (unsigned)worker_int(w, i);
	return 0;
}

static int before_rename(struct worker *w)
{
	struct capture *c = w->watch->capture;
	const struct place *from = &w->place[0];
	struct place *to = &w->place[1];
	unsigned flags = rename_flags(w);
	struct journal_time dir[2][2] = { 0 };
	cleanup_kept struct kept k = { .fd = -1, .st = to->st };
	bool exchange = flags & RENAME_EXCHANGE;
	c->foreseen = !from->exists || from->magic || to->magic || from->parent_fd < 0 ||
		      to->parent_fd < 0 || is_dots(from) || is_dots(to) ||
		      (flags & ~(unsigned)(RENAME_EXCHANGE | RENAME_NOREPLACE)) ||
		      (to->exists ? (flags & RENAME_NOREPLACE) : exchange);
	const struct undo_layer *source = c->foreseen ? NULL : locate(c, from, dir[0]);
	k.layer = c->foreseen ? NULL : locate(c, to, dir[1]);
	if (!source || source != k.layer) /* between two layers it fails with EXDEV */
		return 0;
	/* two names of one file: rename(2) does nothing */
	if (to->exists && to->st.st_ino == from->st.st_ino && to->st.st_dev == from->st.st_dev)
		return 0;
	k.rel = undo_layer_path(k.layer, to->path);
	int r = to->exists && !exchange ? kept_keep(c, &k, KEPT_REMOVED) : 0;
	bool attributes =
		to->exists && !exchange &&
		(S_ISDIR(to->st.st_mode) ||
		 (k.upper && k.content != JOURNAL_CONTENT_NAMED && !S_ISLNK(to->st.st_mode)));
	if (r == 0 && attributes && k.fd < 0)
		r = place_pin(to);
	int listed = k.fd >= 0 ? k.fd : to->object_fd;
	struct journal_record *record;
	if (r == 0)
		r = begin(w, &record);
	if (r < 0)
		return r;
	record->flags = (exchange ? JOURNAL_EXCHANGE : 0u) |
			(is_identity(w, source, &from->st) ? 0u : JOURNAL_FOUND);
	journal_stat_set(&record->moved, &from->st);
	if (to->exists)
		journal_stat_set(&record->before, &k.st);
	memcpy(record->dir, dir, sizeof(record->dir));
	record->stash = k.stash;
	record->upper_ino = k.upper_ino;
	journal_put_path(c->journal, from->path);
	journal_put_path(c->journal, to->path);
	if ((attributes && put_xattrs(c, listed) < 0) || kept_put(c, record, &k, to) < 0) {
		/* the parts that did not fit are nobody's; the names are kept all the same */
		k.content = JOURNAL_CONTENT_LOST;
		r = begin(w, &record);
		if (r < 0)
			return r;
		record->flags = is_identity(w, source, &from->st) ? 0u : JOURNAL_FOUND;
		journal_stat_set(&record->moved, &from->st);
		journal_stat_set(&record->before, &k.st);
		memcpy(record->dir, dir, sizeof(record->dir));
		journal_put_path(c->journal, from->path);
		journal_put_path(c->journal, to->path);
	}
	record->content = k.content;
	c->lost = k.content == JOURNAL_CONTENT_LOST;
	return commit(w);
}

/* Has the object still the name it is called by? One that a descriptor alone leads to may have none. */
static bool is_named(const struct worker *w, const struct place *p)
{
	struct stat st;
	if (!p->magic)
		return true;
	return p->st.st_nlink > 0 && p->path[0] == '/' &&
	       fstatat(w->watch->env.root_fd, p->path + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_ino == p->st.st_ino && st.st_dev == p->st.st_dev;
}

/* The layer of an existing object that a record can name. NULL: there is none to be made. */
static const struct undo_layer *locate_named(struct worker *w, const struct place *p)
{
	struct capture *c = w->watch->capture;
	const struct undo_layer *l = p->nameless ? NULL : locate(c, p, NULL);
	if (!l || is_named(w, p))
		return l;
	c->foreseen = p->st.st_nlink > 0; /* it has another name, which only a search would find */
	return NULL;
}

/* truncate, and opens for writing of what is there */
static int before_content(struct worker *w, enum kept_how how)
{
	struct capture *c = w->watch->capture;
	struct place *p = &w->place[0];
	cleanup_kept struct kept k = { .fd = -1, .st = p->st };
	if (!S_ISREG(p->st.st_mode) || !(k.layer = locate_named(w, p)))
		return 0;
	k.rel = undo_layer_path(k.layer, p->path);
	int r = kept_keep(c, &k, how);
	if (r < 0)
		return r;
	return record_object(w, p, &k, k.fd, NULL);
}

/* chmod, chown, utimes, attributes */
static int before_meta(struct worker *w)
{
	const struct place *p = &w->place[0];
	struct kept k = { .fd = -1, .st = p->st, .content = JOURNAL_CONTENT_NONE };
	if (!p->exists || !(k.layer = locate_named(w, p)))
		return 0;
	bool attributes = w->row->op == OP_XATTR || w->row->op == OP_CHOWN;
	return record_object(w, p, &k, attributes && !S_ISLNK(p->st.st_mode) ? p->object_fd : -1,
			     NULL);
}

int capture_before(struct worker *w)
{
	struct capture *c = w->watch->capture;
	c->taken = c->foreseen = false;
	c->linked = 0;
	switch (w->row->undo) {
	case UNDO_UNLINK:
	case UNDO_RMDIR:
		return before_removal(w);
	case UNDO_MAKE:
		return before_make(w);
	case UNDO_RENAME:
		return before_rename(w);
	case UNDO_CONTENT:
		return before_content(w, KEPT_WRITTEN);
	case UNDO_META:
		return before_meta(w);
	case UNDO_OPEN: /* by its flags: capture_before_open */
	case UNDO_NONE:
	case UNDO_EXTERNAL:
	case UNDO_COUNT:
		break;
	}
	return 0;
}

int capture_before_open(struct worker *w, uint64_t open_flags)
{
	struct capture *c = w->watch->capture;
	const struct place *p = &w->place[0];
	c->taken = c->foreseen = false;
	c->linked = 0;
	/* a nameless file is no change until linkat(2) gives it a name */
	if ((open_flags & O_TMPFILE) == O_TMPFILE)
		return 0;
	if (!p->exists) {
		struct journal_time dir[2] = { 0 };
		struct journal_record *r;
		if (!(open_flags & O_CREAT) || p->parent_fd < 0 || !locate(c, p, dir))
			return 0;
		int rc = begin(w, &r);
		if (rc < 0)
			return rc;
		memcpy(r->dir[0], dir, sizeof(dir));
		journal_put_path(c->journal, p->path);
		return commit(w);
	}
	if ((open_flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return 0;
	bool writes = (open_flags & O_ACCMODE) != O_RDONLY;
	if (!writes && !(open_flags & O_TRUNC))
		return 0;
	/* O_RDWR could be mapped, and a mapping does not append */
	bool appends = (open_flags & O_ACCMODE) == O_WRONLY && (open_flags & O_APPEND) &&
		       !(open_flags & O_TRUNC);
	return before_content(w, appends ? KEPT_APPENDED : KEPT_WRITTEN);
}

/* What the action left, where it left something. */
static bool look_after(const struct worker *w, struct stat *ret)
{
	bool moved = w->row->undo == UNDO_RENAME || w->row->op == OP_LINK;
	const struct place *p = &w->place[moved], *from = &w->place[0];
	/*
	 * Nothing that a record has of a file changes with its name. Not so where a copy-up comes with it, or the file is
	 * made anew: see is_identity.
	 */
	if (w->row->undo == UNDO_RENAME && !S_ISDIR(from->st.st_mode) &&
	    created_has(&w->watch->created, &from->st)) {
		*ret = from->st;
		return true;
	}
	if (w->row->undo == UNDO_UNLINK || w->row->undo == UNDO_RMDIR)
		return false;
	if (w->row->undo == UNDO_META || w->row->undo == UNDO_CONTENT)
		return fstat(p->object_fd, ret) == 0;
	return fstatat(p->parent_fd, p->leaf, ret, AT_SYMLINK_NOFOLLOW) == 0;
}

void capture_after(struct worker *w, int result, const struct stat *after)
{
	struct capture *c = w->watch->capture;
	if (!c->taken) {
		c->unwritten = c->foreseen && result >= 0;
		c->foreseen =
			false; /* an open that only reads comes here without a capture_before */
		return;
	}
	c->taken = false;
	if (result < 0) {
		journal_failed(c->journal);
		if (c->linked) /* the file is there still, and has one name */
			journal_stash_drop(c->journal, c->linked);
		c->lost = false;
		return;
	}
	struct stat st;
	if (!after && look_after(w, &st))
		after = &st;
	journal_done(c->journal, after);
}

void capture_undone(struct worker *w)
{
	journal_failed(w->watch->capture->journal);
}

void capture_tell(struct worker *w)
{
	struct capture *c = w->watch->capture;
	uint64_t evicted = journal_take_evicted(c->journal);
	if (evicted)
		watch_notice(w->watch,
			     "the first %llu changes of this session are past undoing: the journal "
			     "has used up its %llu bytes (journal_bytes)",
			     (unsigned long long)evicted,
			     (unsigned long long)w->watch->policy->journal_bytes);
	if (c->lost || c->unwritten)
		watch_notice(w->watch, "past undoing: %s of %s (%s)", action_op_name(w->action.op),
			     w->action.resource,
			     c->lost ? "what it replaced could not be kept"
				     : "no record could be made of it beforehand");
	c->lost = c->unwritten = false;
}
