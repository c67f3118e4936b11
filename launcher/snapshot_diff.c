#include "launcher/snapshot_diff.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/scope.h"
#include "launcher/archive.h"
#include "launcher/term.h"

/* What a snapshot holds of one path, as text: two that differ in any of it differ. */
struct item {
	char *path, *state; /* owned */
	bool gone, directory;
	bool opaque; /* of a directory: nothing is left of what was in it */
};

struct items {
	struct item *list; /* owned */
	size_t count, room;
};

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;
	return json_object_object_get_ex(o, key, &value) &&
			       json_object_is_type(value, json_type_string)
		       ? json_object_get_string(value)
		       : "";
}

static int64_t number_of(struct json_object *o, const char *key)
{
	struct json_object *value;
	return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : 0;
}

/* A directory's time says only that something in it changed, which is listed itself. */
static char *state_of(struct json_object *o, bool directory)
{
	char *state = NULL;
	if (asprintf(&state, "%s %lld %lld %lld %lld %lld.%lld %s %s", text_of(o, "kind"),
		     (long long)number_of(o, "mode"), (long long)number_of(o, "uid"),
		     (long long)number_of(o, "gid"), (long long)number_of(o, "size"),
		     directory ? 0 : (long long)number_of(o, "mtime_s"),
		     directory ? 0 : (long long)number_of(o, "mtime_ns"), text_of(o, "target"),
		     text_of(o, "digest")) < 0)
		return NULL;
	return state;
}

static int collect(struct json_object *o, void *arg)
{
	struct items *items = arg;
	const char *kind = text_of(o, "kind");
	if (items->count == items->room) {
		size_t room = items->room ? items->room * 2 : 256;
		struct item *list = realloc(items->list, room * sizeof(*list));
		if (!list)
			return -ENOMEM;
		items->list = list;
		items->room = room;
	}
	struct item *i = &items->list[items->count];
	*i = (struct item){ .gone = strcmp(kind, "deleted") == 0,
			    .directory = strcmp(kind, "directory") == 0,
			    .opaque = strcmp(kind, "opaque") == 0 };
	i->state = state_of(o, i->directory);
	const char *path = text_of(o, "path");
	const char *leaf = strrchr(path, '/');
	/* the mark stands in the directory it speaks of */
	int len = i->opaque ? (int)(leaf ? leaf - path + 1 : 0) : (int)strlen(path);
	if (asprintf(&i->path, "/%.*s", len, path) < 0)
		i->path = NULL;
	items->count++;
	return i->path && i->state ? 0 : -ENOMEM;
}

static int by_path(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	return strcmp(x->path, y->path);
}

static int read_items(int snapshots_fd, const char *name, struct items *ret, struct err *err)
{
	const char *args[] = { "entries", name, NULL };
	struct json_object *result = NULL;
	const struct archive_job job = { .args = args,
					 .fds = { snapshots_fd, snapshots_fd, -1 },
					 .entry = collect,
					 .arg = ret };
	int rc = archive_run(&job, &result, err);
	json_object_put(result);
	if (ret->count)
		qsort(ret->list, ret->count, sizeof(*ret->list), by_path);
	return rc;
}

static void finish_items(struct items *items)
{
	for (size_t i = 0; i < items->count; i++) {
		free(items->list[i].path);
		free(items->list[i].state);
	}
	free(items->list);
}

/* What became of a path from one state to the other; '\0' nothing. NULL: it is not mentioned. */
static char letter_between(const struct item *a, const struct item *b)
{
	bool was = a && !a->gone, is = b && !b->gone;
	if (was && is)
		return strcmp(a->state, b->state) == 0 ? '\0' : 'M';
	if (was)
		return 'D';
	if (is)
		return 'A';
	/* a whiteout on one side only: the other side shows what the host has there */
	return a && !b ? 'A' : !a && b ? 'D' : '\0';
}

static bool holds_something(const char *path)
{
	cleanup_dir DIR *d = opendir(path);
	for (const struct dirent *e; d && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return true;
	return false;
}

static char letter_on_host(const struct item *i)
{
	struct stat st;
	if (!i)
		return '\0';
	bool there = lstat(i->path, &st) == 0;
	if (i->opaque)
		return there && holds_something(i->path) ? 'D' : '\0';
	if (i->gone)
		return there ? 'D' : '\0';
	/* parents of what changed are in a snapshot too */
	if (i->directory && there && S_ISDIR(st.st_mode))
		return '\0';
	return there ? 'M' : 'A';
}

struct output {
	bool json;
	const char *comma;
};

static void print_line(struct output *out, char letter, const struct item *i)
{
	if (out->json) {
		fputs(out->comma, stdout);
		out->comma = ",";
		printf("{\"change\":\"%c\"", letter);
		json_member(stdout, false, "path", i->path);
		fputs(i->opaque ? ",\"opaque\":true}" : "}", stdout);
		return;
	}
	printf("%c ", letter);
	term_text(stdout, i->path);
	puts(i->opaque ? " (all that was in it)" : i->directory ? "/" : "");
}

/* All lines of one letter; the lists are sorted alike. */
static void print_letter(struct output *out, char letter, const struct items *a,
			 const struct items *b)
{
	for (size_t i = 0, j = 0; i < a->count || (b && j < b->count);) {
		const struct item *x = i < a->count ? &a->list[i] : NULL;
		const struct item *y = b && j < b->count ? &b->list[j] : NULL;
		int order = !x ? 1 : !y ? -1 : strcmp(x->path, y->path);
		if (!b)
			order = -1;
		x = order <= 0 ? x : NULL;
		y = order >= 0 ? y : NULL;
		i += order <= 0;
		j += order >= 0;
		if ((b ? letter_between(x, y) : letter_on_host(x)) == letter)
			print_line(out, letter, y ? y : x);
	}
}

int snapshot_diff(int snapshots_fd, const char *a, const char *b, bool json, struct err *err)
{
	struct items one = { 0 }, two = { 0 };
	struct output out = { .json = json, .comma = "" };
	int rc = read_items(snapshots_fd, a, &one, err);
	if (rc == 0 && b)
		rc = read_items(snapshots_fd, b, &two, err);
	if (rc == 0) {
		if (json) {
			fputs("{\"schema_version\":1", stdout);
			json_member(stdout, false, "from", b ? a : NULL);
			json_member(stdout, false, "to", b ? b : a);
			fputs(",\"changes\":[", stdout);
		}
		for (const char *letter = "DMA"; *letter; letter++)
			print_letter(&out, *letter, &one, b ? &two : NULL);
		if (json)
			puts("]}");
	}
	finish_items(&one);
	finish_items(&two);
	return rc;
}
