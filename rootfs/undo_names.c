/* Names of inodes in an upper: only there are several names of one file kept together. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "rootfs/undo_private.h"

void undo_names_finish(struct undo_run *u)
{
	for (size_t i = 0; i < u->name_count; i++)
		free(u->names[i].rel);
	free(u->names);
	u->names = NULL;
	u->name_count = u->name_room = 0;
}

static int add_name(struct undo_run *u, const struct undo_layer *l, uint64_t ino, const char *rel)
{
	if (u->name_count == u->name_room) {
		size_t room = u->name_room ? u->name_room * 2 : 64;
		struct undo_name *more = realloc(u->names, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		u->names = more;
		u->name_room = room;
	}
	char *copy = strdup(rel);
	if (!copy)
		return -ENOMEM;
	u->names[u->name_count++] = (struct undo_name){ .ino = ino, .layer = l, .rel = copy };
	return 0;
}

/* @rel: path of the directory @fd (taken over) in its layer, "" for the root; room for PATH_MAX. */
static int collect(struct undo_run *u, const struct undo_layer *l, int fd, char *rel,
		   unsigned depth)
{
	cleanup_dir DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	size_t len = strlen(rel);
	int r = 0;
	for (const struct dirent *e; r == 0 && (e = readdir(d));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		int n = snprintf(rel + len, PATH_MAX - len, "%s%s", len ? "/" : "", e->d_name);
		if (n < 0 || (size_t)n >= PATH_MAX - len) {
			rel[len] = '\0';
			continue; /* no path of the merged view is that long either */
		}
		if (S_ISDIR(st.st_mode) && depth < PATH_MAX / 2) {
			int child = openat(dirfd(d), e->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (child >= 0)
				r = collect(u, l, child, rel, depth + 1);
		} else if (!S_ISDIR(st.st_mode)) {
			r = add_name(u, l, st.st_ino, rel);
		}
		rel[len] = '\0';
	}
	return r;
}

static const char *look_up(struct undo_run *u, const struct undo_place *p, uint64_t ino)
{
	for (size_t i = 0; i < u->name_count; i++) {
		const struct undo_name *n = &u->names[i];
		struct stat st;
		if (n->ino == ino && n->layer == p->layer &&
		    fstatat(n->layer->upper_fd, n->rel, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_ino == ino && !S_ISDIR(st.st_mode) &&
		    strcmp(n->rel, undo_layer_path(p->layer, p->path)) != 0)
			return n->rel;
	}
	return NULL;
}

/*
 * Which other name a file had is in no record: a walk of the upper finds one, once for many
 * steps; what these steps make again is added as they go.
 */
const char *undo_other_name(struct undo_run *u, const struct undo_place *p, uint64_t ino)
{
	char rel[PATH_MAX] = "";
	if (!p->layer)
		return NULL;
	const char *found = look_up(u, p, ino);
	if (found)
		return found;
	undo_names_finish(u);
	int fd = openat(p->layer->upper_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || collect(u, p->layer, fd, rel, 0) < 0)
		return NULL;
	return look_up(u, p, ino);
}

int undo_names_add(struct undo_run *u, const struct undo_place *p, uint64_t ino)
{
	if (u->name_count == 0 || !p->layer) /* not walked yet */
		return 0;
	return add_name(u, p->layer, ino, undo_layer_path(p->layer, p->path));
}
