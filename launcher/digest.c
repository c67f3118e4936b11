#include "launcher/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/scope.h"
#include "launcher/term.h"

/* What goes with a directory comes behind it. */
static int note_deletion(struct digest *d, const char *path)
{
	struct digest_deletion *last = d->deletions + d->deletion_count;
	size_t len = d->deletion_count ? strlen((--last)->path) : 0;
	if (len && !strncmp(path, last->path, len) && path[len] == '/') {
		last->below++;
		return 0;
	}
	if (d->deletion_count == d->deletion_room) {
		size_t room = d->deletion_room ? d->deletion_room * 2 : 16;
		struct digest_deletion *more = reallocarray(d->deletions, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		d->deletions = more;
		d->deletion_room = room;
	}
	char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	d->deletions[d->deletion_count++] = (struct digest_deletion){ .path = copy };
	return 0;
}

static int count_change(const struct change *c, void *arg)
{
	struct digest *d = arg;
	uint64_t at = d->count[c->kind]++;
	if (at < DIGEST_LISTED)
		d->listed[c->kind][at] = strdup(c->path);
	return c->kind == CHANGE_DELETED ? note_deletion(d, c->path) : 0;
}

int digest_collect(int session_dirfd, struct digest *ret)
{
	static struct overlay overlay; /* large for a stack */
	*ret = (struct digest){ 0 };
	int r = overlay_load(session_dirfd, &overlay, NULL);
	if (r < 0)
		return r;
	r = upper_walk(&overlay, count_change, ret, NULL);
	overlay_finish(&overlay);
	return r;
}

uint64_t digest_count(const struct digest *d)
{
	return d->count[CHANGE_DELETED] + d->count[CHANGE_MODIFIED] + d->count[CHANGE_ADDED];
}

/* @below: how many went with it. */
static void print_line(FILE *f, char letter, const char *style, const char *path, uint64_t below)
{
	char text[5000];
	struct buf b;
	buf_init(&b, text, sizeof(text));
	term_path(&b, path);
	fprintf(f, "  %s%c%s %s", style, letter, *style ? TERM_RESET : "", text);
	if (below)
		fprintf(f, "/ and %llu below it", (unsigned long long)below);
	fputc('\n', f);
}

static void print_deletions(FILE *f, const struct digest *d, const char *style)
{
	for (size_t i = 0; i < d->deletion_count; i++)
		print_line(f, 'D', style, d->deletions[i].path, d->deletions[i].below);
}

/* The first @room of a kind. */
static void print_listed(FILE *f, const struct digest *d, enum change_kind kind, char letter,
			 const char *style, uint64_t *room)
{
	for (uint64_t n = 0; n < d->count[kind] && n < DIGEST_LISTED && *room; n++) {
		if (!d->listed[kind][n])
			continue;
		print_line(f, letter, style, d->listed[kind][n], 0);
		--*room;
	}
}

void digest_print(const struct digest *d, int fd)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	bool color = term_color(fd);
	uint64_t deleted = d->count[CHANGE_DELETED], room = DIGEST_LISTED;
	uint64_t others = d->count[CHANGE_MODIFIED] + d->count[CHANGE_ADDED];
	if (!f)
		return;
	if (deleted > DIGEST_LISTED)
		print_deletions(f, d, color ? TERM_RED : "");
	else
		print_listed(f, d, CHANGE_DELETED, 'D', color ? TERM_RED : "", &room);
	uint64_t left = room;
	print_listed(f, d, CHANGE_MODIFIED, 'M', color ? TERM_YELLOW : "", &room);
	print_listed(f, d, CHANGE_ADDED, 'A', color ? TERM_GREEN : "", &room);
	if (others > left - room)
		fprintf(f, "  and %llu more\n", (unsigned long long)(others - (left - room)));
	if (fclose(f) == 0)
		dprintf(fd, "%s", text);
}

void digest_finish(struct digest *d)
{
	for (int kind = 0; kind < CHANGE_KIND_COUNT; kind++)
		for (int i = 0; i < DIGEST_LISTED; i++)
			free(d->listed[kind][i]);
	for (size_t i = 0; i < d->deletion_count; i++)
		free(d->deletions[i].path);
	free(d->deletions);
}
