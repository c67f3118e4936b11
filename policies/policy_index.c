#include "policies/policy_index.h"

#include <errno.h>
#include <string.h>

/* One byte that a name must have for a pattern to be worth a look. */
enum need { NEED_NOTHING, NEED_SECOND, NEED_LAST, NEED_COMPONENT };

struct rest {
	uint16_t item;
	uint8_t need; /* enum need */
	unsigned char byte;
};

struct policy_index {
	uint32_t mask;     /* of slots; a power of two less one */
	uint16_t *slots;   /* open addressing: index of an item plus one; 0 free */
	struct rest *rest; /* items that have no fixed path, in order */
	unsigned rest_count;
};

static uint32_t hash_more(uint32_t hash, const char *bytes, size_t len)
{
	uint64_t h = hash, word;
	for (; len >= sizeof(word); bytes += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	word = len;
	for (size_t i = 0; i < len; i++)
		word = word << 8 | (unsigned char)bytes[i];
	h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

static bool has_fixed_path(const struct pattern *p)
{
	return p->anchored && p->literal_len > 1 &&
	       (p->kind == PATTERN_EXACT || p->kind == PATTERN_SUBTREE);
}

void index_name_init(struct index_name *name, const char *text)
{
	pattern_subject_init(&name->subject, text);
	const char *at = text, *end = text + name->subject.len;
	uint32_t hash = 0;
	unsigned n = 0;
	while (*at == '/') {
		const char *next = memchr(at + 1, '/', (size_t)(end - at - 1));
		next = next ? next : end;
		if (n == INDEX_DEPTH) {
			n++;
			break;
		}
		hash = hash_more(hash, at, (size_t)(next - at));
		name->part[n].hash = hash;
		name->part[n++].len = (uint32_t)(next - text);
		at = next;
	}
	name->count = n;
}

static const struct policy_pattern *find_one_by_one(const struct policy_patterns *list,
						    const struct pattern_subject *s)
{
	for (unsigned i = 0; i < list->count; i++)
		if (pattern_matches_subject(&list->items[i].pattern, s))
			return &list->items[i];
	return NULL;
}

static bool worth_a_look(const struct rest *r, const struct pattern_subject *s)
{
	switch ((enum need)r->need) {
	case NEED_NOTHING:
		return true;
	case NEED_SECOND: /* the terminator where there is but one */
		return s->len > 0 && (unsigned char)s->text[1] == r->byte;
	case NEED_LAST:
		return s->len > 0 && (unsigned char)s->text[s->len - 1] == r->byte;
	case NEED_COMPONENT:
		return s->first[r->byte >> 6] >> (r->byte & 63) & 1;
	}
	return true;
}

const struct policy_pattern *index_find(const struct policy_patterns *list,
					const struct index_name *name)
{
	const struct policy_index *x = list->index;
	const struct pattern_subject *s = &name->subject;
	if (!x || name->count > INDEX_DEPTH)
		return find_one_by_one(list, s);
	unsigned best = list->count;
	for (unsigned i = 0; i < name->count; i++) {
		uint32_t at = name->part[i].hash & x->mask;
		for (; x->slots[at]; at = (at + 1) & x->mask) {
			unsigned item = x->slots[at] - 1U;
			const struct pattern *p = &list->items[item].pattern;
			if (item < best && p->literal_len == name->part[i].len &&
			    pattern_matches_subject(p, s))
				best = item;
		}
	}
	for (unsigned i = 0; i < x->rest_count && x->rest[i].item < best; i++)
		if (worth_a_look(&x->rest[i], s) &&
		    pattern_matches_subject(&list->items[x->rest[i].item].pattern, s))
			return &list->items[x->rest[i].item];
	return best < list->count ? &list->items[best] : NULL;
}

/* As index_name_init: component by component, each with the '/' before it. */
static uint32_t literal_hash(const struct pattern *p)
{
	uint32_t hash = 0;
	const char *at = p->literal, *end = p->literal + p->literal_len;
	while (at < end) {
		const char *next = memchr(at + 1, '/', (size_t)(end - at - 1));
		next = next ? next : end;
		hash = hash_more(hash, at, (size_t)(next - at));
		at = next;
	}
	return hash;
}

static struct rest rest_of(const struct pattern *p, unsigned item)
{
	struct rest r = { .item = (uint16_t)item };
	if (p->literal_len == 0)
		return r;
	if (p->kind == PATTERN_SUFFIX || p->kind == PATTERN_NAME) {
		r.need = NEED_LAST;
		r.byte = (unsigned char)p->literal[p->literal_len - 1];
	} else if (p->anchored && p->literal_len > 1) {
		r.need = NEED_SECOND;
		r.byte = (unsigned char)p->literal[1];
	} else if (!p->anchored) {
		r.need = NEED_COMPONENT;
		r.byte = (unsigned char)p->literal[0];
	}
	return r;
}

static int build(struct arena *a, struct policy_patterns *list)
{
	uint32_t size = 16;
	list->index = NULL;
	if (list->count < 4)
		return 0;
	while (size < 4 * list->count)
		size *= 2;
	struct policy_index *x = arena_alloc(a, sizeof(*x));
	uint16_t *slots = arena_alloc(a, size * sizeof(*slots));
	struct rest *rest = arena_alloc(a, list->count * sizeof(*rest));
	if (!x || !slots || !rest)
		return -ENOMEM;
	x->mask = size - 1;
	x->slots = slots;
	x->rest = rest;
	for (unsigned i = 0; i < list->count; i++) {
		const struct pattern *p = &list->items[i].pattern;
		if (!has_fixed_path(p)) {
			rest[x->rest_count++] = rest_of(p, i);
			continue;
		}
		uint32_t at = literal_hash(p) & x->mask;
		while (slots[at])
			at = (at + 1) & x->mask;
		slots[at] = (uint16_t)(i + 1);
	}
	list->index = x;
	return 0;
}

int index_build_all(struct arena *a, struct policy *p)
{
	struct policy_patterns *const lists[] = { &p->allowed,        &p->allowed_read,
						  &p->allowed_write,  &p->blocked,
						  &p->blocked_except, &p->ambient,
						  &p->spawn_allowed,  &p->hide };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(lists) / sizeof(lists[0]); i++)
		rc = build(a, lists[i]);
	return rc;
}
