#include "launcher/ci/harvest.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/log.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "policies/glob.h"
#include "rootfs/commit.h"
#include "rootfs/journal.h"
#include "rootfs/overlay.h"

enum { SHOWN_SIZE = 8192 };

/* One name of a pattern against the first one of @path. */
static bool name_matches(const char *pattern, size_t len, const char *path)
{
	char name[NAME_MAX + 1];
	size_t name_len = strcspn(path, "/");
	if (!name_len || name_len > NAME_MAX || glob_check(pattern, pattern + len))
		return false;
	snprintf(name, sizeof(name), "%.*s", (int)name_len, path);
	return glob_match(pattern, pattern + len, name) == GLOB_MATCH;
}

static const char *next_name(const char *path)
{
	path += strcspn(path, "/");
	return *path ? path + 1 : path;
}

/* Only the last ** is gone back to: what an earlier one could take as well, that one can. So hostile patterns end. */
bool ci_harvest_match(const char *pattern, const char *path)
{
	const char *after_stars = NULL, *stars_at = NULL;
	for (;;) {
		while (*pattern == '/')
			pattern++;
		if (!*pattern)
			return true; /* the whole pattern names @path or what is above it */
		size_t len = strcspn(pattern, "/");
		if (len == 2 && strncmp(pattern, "**", 2) == 0) {
			pattern += len;
			after_stars = pattern;
			stars_at = path;
		} else if (name_matches(pattern, len, path)) {
			pattern += len;
			path = next_name(path);
		} else if (after_stars && *stars_at) {
			stars_at = next_name(stars_at);
			path = stars_at;
			pattern = after_stars;
		} else {
			return false;
		}
	}
}

static bool in_list(struct json_object *list, const char *path)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < n; i++) {
		const char *pattern = json_object_get_string(json_object_array_get_idx(list, i));
		if (pattern && ci_harvest_match(pattern, path))
			return true;
	}
	return false;
}

/* Paths that a first plan found something against. */
struct refused {
	char **paths; /* owned */
	size_t count;
};

struct choosing {
	const struct ci_harvest *h;
	const struct refused *refused;
};

/* A repository's own files: the next job's git runs what they say, outside of any sandbox. */
static bool of_git(const char *path)
{
	for (const char *at = path; at; at = strchr(at, '/'), at = at ? at + 1 : NULL)
		if (strncmp(at, ".git", 4) == 0 && (at[4] == '/' || !at[4]))
			return true;
	return false;
}

static bool wanted(const char *path, char letter, void *arg)
{
	const struct choosing *c = arg;
	size_t len = strlen(c->h->root);
	(void)letter;
	if (strncmp(path, c->h->root, len) != 0 || path[len] != '/' || of_git(path + len + 1))
		return false;
	for (size_t i = 0; i < c->refused->count; i++)
		if (strcmp(c->refused->paths[i], path) == 0)
			return false;
	return in_list(c->h->paths, path + len + 1) && !in_list(c->h->excludes, path + len + 1);
}

/* A link to follow is no matter of yes or no here: it would be read with the runner's rights. */
static bool speaks_against(const struct commit_problem *p)
{
	return p->kind == COMMIT_CONFLICT || p->kind == COMMIT_REFUSED ||
	       (p->kind == COMMIT_EXECUTES && p->follows);
}

static int add_refused(struct refused *all, const struct commit_problem *p)
{
	char text[SHOWN_SIZE];
	struct buf b;
	char **more = reallocarray(all->paths, all->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	all->paths = more;
	all->paths[all->count] = strdup(p->path);
	if (!all->paths[all->count++])
		return -ENOMEM;
	buf_init(&b, text, sizeof(text));
	term_path(&b, p->path);
	log_warn("left out: %s: %s", text, p->why);
	return 0;
}

static void free_refused(struct refused *all)
{
	for (size_t i = 0; i < all->count; i++)
		free(all->paths[i]);
	free(all->paths);
}

/* A plan that nothing speaks against: what does is left out of the next one. */
static int plan_rest(const struct session *s, const struct overlay *o, const struct ci_harvest *h,
		     struct refused *refused, struct commit_plan *ret, struct err *err)
{
	static const char *const none[] = { NULL };
	struct choosing choosing = { .h = h, .refused = refused };
	const struct commit_request req = {
		.overlay = o,
		.session_dirfd = s->dirfd,
		.workspace = h->root,
		.paths = none,
		.excludes = none,
		.want = wanted,
		.want_arg = &choosing,
	};
	for (;;) {
		size_t before = refused->count;
		int r = commit_plan_make(&req, ret, err);
		for (size_t i = 0; r == 0 && i < ret->problem_count; i++)
			if (speaks_against(&ret->problems[i]) &&
			    add_refused(refused, &ret->problems[i]) < 0)
				r = err_set(err, ENOMEM, "out of memory");
		if (r < 0 || refused->count == before)
			return r;
		commit_plan_finish(ret);
		*ret = (struct commit_plan){ 0 };
	}
}

static void tell(const char *path, const char *why, void *arg)
{
	(void)arg;
	char text[SHOWN_SIZE];
	struct buf b;
	buf_init(&b, text, sizeof(text));
	term_path(&b, path);
	log_warn("%s: %s", text, why);
}

int ci_harvest(const struct session *s, const struct ci_harvest *h, struct err *err)
{
	static struct overlay overlay; /* large for a stack */
	struct commit_plan plan = { 0 };
	struct refused refused = { 0 };
	int made = 0;
	int r = overlay_load(s->dirfd, &overlay, err);
	if (r < 0)
		return r;
	r = plan_rest(s, &overlay, h, &refused, &plan, err);
	for (size_t i = 0; r == 0 && i < plan.count; i++)
		made += plan.ops[i].kind != COMMIT_TOUCH;
	if (r == 0 && plan.count)
		r = commit_run(s->dirfd, &overlay, &plan, tell, NULL, err);
	commit_plan_finish(&plan);
	free_refused(&refused);
	overlay_finish(&overlay);
	return r < 0 ? r : made;
}

int ci_drop(const struct session *s, struct err *err)
{
	int r = overlay_discard(s->dirfd, err);
	return r < 0 ? r : journal_discard(s->dirfd, err);
}
