/* Which actions are the same, and what was allowed already. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/scope.h"
#include "sandbox/hold_private.h"

enum { KEY_TEXT = 6 * ACTION_PATH_SIZE };

static void key_text(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "%s%zu:", name, text ? strlen(text) : 0);
	buf_puts(b, text ? text : "");
}

bool hold_key_of(const struct worker *w, struct hold_key *ret)
{
	const struct action *a = &w->action;
	cleanup_free char *storage = malloc(KEY_TEXT);
	struct buf b;
	if (!storage || a->argv_truncated)
		return false;
	buf_init(&b, storage, KEY_TEXT);
	buf_printf(&b, "%d %d %u %u %u;", (int)a->type, (int)a->op, a->open_flags,
		   a->op == OP_EXEC ? 0 : a->mode, a->port);
	key_text(&b, "r", a->resource);
	key_text(&b, "s", a->resource2);
	key_text(&b, "p", a->program);
	key_text(&b, "a", a->address);
	key_text(&b, "t", a->protocol);
	key_text(&b, "q", a->statement);
	key_text(&b, "c", a->op == OP_EXEC ? a->cwd : NULL);
	buf_printf(&b, "v%zu:", a->argv_len);
	buf_put(&b, a->argv ? a->argv : "", a->argv ? a->argv_len : 0);
	/* A program is what it contains: rewritten or replaced it is another, whatever its name. */
	for (unsigned i = 0; a->op == OP_EXEC && i < 2; i++) {
		const struct stat *st = &w->place[i].st;
		if (w->place[i].exists)
			buf_printf(&b, "i%llu:%llu:%lld:%lld.%ld", (unsigned long long)st->st_dev,
				   (unsigned long long)st->st_ino, (long long)st->st_size,
				   (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	}
	if (b.overflow)
		return false;
	hash_hex(b.data, b.len, ret->hash);
	return true;
}

bool hold_key_same(const struct hold_key *a, const struct hold_key *b)
{
	return memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

bool hold_passes(const struct hold_pass *pass, const struct hold_key *key)
{
	for (unsigned i = 0; i < pass->count; i++)
		if (hold_key_same(&pass->keys[i], key))
			return true;
	return false;
}

bool hold_granted(struct hold *h, const struct hold_key *key)
{
	uint64_t now = clock_ms();
	for (unsigned i = 0; i < h->grant_count; i++) {
		struct hold_grant *g = &h->grants[i];
		bool hit = hold_key_same(&g->key, key) && (!g->until_ms || now < g->until_ms);
		bool once = g->until_ms && (hit || now >= g->until_ms);
		if (once)
			*g = h->grants[--h->grant_count];
		if (hit)
			return true;
		i -= once;
	}
	return false;
}

void hold_grant(struct hold *h, const struct hold_key *key, uint64_t until_ms)
{
	if (h->grant_count < HOLD_GRANTS) /* else it is asked again: a bother, no danger */
		h->grants[h->grant_count++] =
			(struct hold_grant){ .key = *key, .until_ms = until_ms };
}
