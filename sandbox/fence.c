#include "sandbox/fence.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINKS_MAX = 40 }; /* as the kernel follows */

static int add_name(struct fence *f, const char *name)
{
	if (fence_has(f, name))
		return 0;
	char **more = reallocarray(f->names, f->name_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	f->names = more;
	f->names[f->name_count] = strdup(name);
	if (!f->names[f->name_count])
		return -ENOMEM;
	f->name_count++;
	return 0;
}

static void go_up(char *path)
{
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
}

/* Every name on the way along @path from the directory @at, "" the root; @at becomes where it leads. */
static int walk(struct fence *f, char at[static PATH_MAX], const char *path, unsigned *links)
{
	if (*path == '/')
		at[0] = '\0';
	for (const char *c = path; *c;) {
		size_t len = strcspn(c, "/");
		char name[PATH_MAX], target[PATH_MAX];
		if (len == 2 && strncmp(c, "..", 2) == 0) {
			go_up(at);
		} else if (len && !(len == 1 && *c == '.')) {
			if (snprintf(name, sizeof(name), "%s/%.*s", at, (int)len, c) >= PATH_MAX)
				return -ENAMETOOLONG;
			int r = add_name(f, name);
			ssize_t n = r < 0 ? -1 : readlink(name, target, sizeof(target) - 1);
			if (n < 0) {
				strcpy(at, name);
			} else {
				target[n] = '\0';
				r = ++*links > LINKS_MAX ? -ELOOP : walk(f, at, target, links);
			}
			if (r < 0)
				return r;
		}
		c += len + (c[len] == '/');
	}
	return 0;
}

static int add_dir(struct fence *f, char **list, unsigned *count, const char *dir, struct err *err)
{
	char at[PATH_MAX] = "";
	unsigned links = 0;
	if (*count == FENCE_DIRS)
		return err_set(err, ENOSPC, "fence: more than %d directories", FENCE_DIRS);
	int r = walk(f, at, dir, &links);
	if (r == 0 && !(list[*count] = strdup(dir)))
		r = -ENOMEM;
	if (r < 0)
		return err_sys(err, -r, "fence: %s", dir);
	(*count)++;
	return 0;
}

int fence_add(struct fence *f, const char *dir, struct err *err)
{
	return add_dir(f, f->dirs, &f->dir_count, dir, err);
}

int fence_keep(struct fence *f, const char *dir, struct err *err)
{
	return add_dir(f, f->kept, &f->kept_count, dir, err);
}

void fence_finish(struct fence *f)
{
	for (unsigned i = 0; i < f->dir_count; i++)
		free(f->dirs[i]);
	for (unsigned i = 0; i < f->kept_count; i++)
		free(f->kept[i]);
	for (unsigned i = 0; i < f->name_count; i++)
		free(f->names[i]);
	free(f->names);
	*f = (struct fence){ 0 };
}

bool fence_has(const struct fence *f, const char *path)
{
	for (unsigned i = 0; f && i < f->name_count; i++)
		if (strcmp(f->names[i], path) == 0)
			return true;
	return false;
}
