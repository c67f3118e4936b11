#include "launcher/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "launcher/term.h"

static int count_change(const struct change *c, void *arg)
{
	struct digest *d = arg;
	uint64_t at = d->count[c->kind]++;
	if (at < DIGEST_LISTED)
		d->listed[c->kind][at] = strdup(c->path);
	return 0;
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

void digest_print(const struct digest *d, int fd)
{
	static const struct {
		enum change_kind kind;
		char letter;
		const char *color;
	} order[] = {
		{ CHANGE_DELETED, 'D', TERM_RED },
		{ CHANGE_MODIFIED, 'M', TERM_YELLOW },
		{ CHANGE_ADDED, 'A', TERM_GREEN },
	};
	bool color = term_color(fd);
	uint64_t room = DIGEST_LISTED, total = 0;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		total += d->count[order[i].kind];
		for (uint64_t n = 0; n < d->count[order[i].kind] && n < DIGEST_LISTED && room;
		     n++) {
			char text[5000];
			struct buf b;
			if (!d->listed[order[i].kind][n])
				continue;
			buf_init(&b, text, sizeof(text));
			buf_printf(&b, "  %s%c%s ", color ? order[i].color : "", order[i].letter,
				   color ? TERM_RESET : "");
			term_path(&b, d->listed[order[i].kind][n]);
			dprintf(fd, "%s\n", text);
			room--;
		}
	}
	if (total > DIGEST_LISTED)
		dprintf(fd, "  and %llu more\n", (unsigned long long)(total - DIGEST_LISTED));
}

void digest_finish(struct digest *d)
{
	for (int kind = 0; kind < CHANGE_KIND_COUNT; kind++)
		for (int i = 0; i < DIGEST_LISTED; i++)
			free(d->listed[kind][i]);
}
