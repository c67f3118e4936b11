#include "net/wire/pg_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/action.h"
#include "net/wire/statement.h"

struct pg_name {
	struct pg_name *next;
	char name[STATEMENT_NAME_SIZE];
	char *text; /* owned */
	size_t len;
	uint32_t flags;
	bool confirmed;
	uint64_t born; /* order in which the client named it */
};

struct pg_op {
	struct pg_op *next;
	uint64_t group, born;
	struct pg_name *parsed; /* borrowed; NULL: a Close */
	char name[STATEMENT_NAME_SIZE];
	bool of_statement; /* a Close of a statement, not of a portal */
};

static unsigned bucket_of(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h % PG_NAMES_BUCKETS;
}

static void unlink_name(struct pg_names *n, struct pg_name **at)
{
	struct pg_name *e = *at;

	*at = e->next;
	n->count--;
	n->bytes -= e->len;
	free(e->text);
	free(e);
}

/* The confirmed ones of @name that are older than @born. */
static void remove_older(struct pg_names *n, const char *name, uint64_t born)
{
	for (struct pg_name **at = &n->buckets[bucket_of(name)]; *at;) {
		if ((*at)->confirmed && (*at)->born < born && strcmp((*at)->name, name) == 0)
			unlink_name(n, at);
		else
			at = &(*at)->next;
	}
}

static void remove_one(struct pg_names *n, const struct pg_name *e)
{
	for (struct pg_name **at = &n->buckets[bucket_of(e->name)]; *at; at = &(*at)->next) {
		if (*at == e) {
			unlink_name(n, at);
			return;
		}
	}
}

static struct pg_name *add(struct pg_names *n, const char *name, const char *text, size_t len,
			   uint32_t flags)
{
	struct pg_name **at = &n->buckets[bucket_of(name)];

	if (len > PG_NAMES_TEXT_MAX) {
		len = PG_NAMES_TEXT_MAX;
		flags |= STATEMENT_CUT;
	}
	if (n->count == PG_NAMES_MAX || n->bytes + len > PG_NAMES_BYTES)
		return NULL;
	struct pg_name *e = calloc(1, sizeof(*e));
	char *copy = malloc(len + 1);
	if (!e || !copy) {
		free(e);
		free(copy);
		return NULL;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	*e = (struct pg_name){
		.next = *at, .text = copy, .len = len, .flags = flags, .born = n->born++
	};
	memcpy(e->name, name, strnlen(name, sizeof(e->name) - 1));
	*at = e;
	n->count++;
	n->bytes += len;
	return e;
}

static bool push(struct pg_names *n, const struct pg_op *op)
{
	struct pg_op *copy = n->ops < PG_NAMES_MAX ? malloc(sizeof(*copy)) : NULL;

	if (!copy)
		return false;
	*copy = *op;
	if (!n->first)
		n->last = &n->first;
	*n->last = copy;
	n->last = &copy->next;
	n->ops++;
	return true;
}

static void pop(struct pg_names *n)
{
	struct pg_op *op = n->first;

	n->first = op->next;
	n->ops--;
	free(op);
}

bool pg_names_parse(struct pg_names *n, const char *name, const char *text, size_t len,
		    uint32_t flags, uint64_t group)
{
	struct pg_name *e = add(n, name, text, len, flags);

	if (!e)
		return false;
	if (push(n, &(struct pg_op){ .group = group, .parsed = e }))
		return true;
	remove_one(n, e);
	return false;
}

bool pg_names_prepare(struct pg_names *n, const char *name, const char *text, size_t len,
		      uint32_t flags)
{
	struct pg_name *e = add(n, name, text, len, flags);

	if (e)
		e->confirmed = true;
	return e != NULL;
}

bool pg_names_close(struct pg_names *n, const char *name, uint64_t group)
{
	struct pg_op op = { .group = group, .born = n->born++, .of_statement = name != NULL };

	/* The server knows only so much of a name; a longer one was never parsed. */
	if (name)
		memcpy(op.name, name, strnlen(name, sizeof(op.name) - 1));
	return push(n, &op);
}

bool pg_names_parsed(struct pg_names *n)
{
	if (!n->first || !n->first->parsed)
		return false;
	struct pg_name *e = n->first->parsed;
	e->confirmed = true;
	remove_older(n, e->name, e->born);
	pop(n);
	return true;
}

bool pg_names_closed(struct pg_names *n)
{
	if (!n->first || n->first->parsed)
		return false;
	if (n->first->of_statement)
		remove_older(n, n->first->name, n->first->born);
	pop(n);
	return true;
}

void pg_names_ready(struct pg_names *n, uint64_t group)
{
	while (n->first && n->first->group < group) {
		if (n->first->parsed)
			remove_one(n, n->first->parsed);
		pop(n);
	}
}

void pg_names_forget(struct pg_names *n)
{
	for (unsigned i = 0; i < PG_NAMES_BUCKETS; i++) {
		for (struct pg_name **at = &n->buckets[i]; *at;) {
			if ((*at)->confirmed)
				unlink_name(n, at);
			else
				at = &(*at)->next;
		}
	}
}

uint32_t pg_names_flags(const struct pg_names *n, const char *name)
{
	uint32_t flags = 0;

	for (const struct pg_name *e = n->buckets[bucket_of(name)]; e; e = e->next)
		if (strcmp(e->name, name) == 0)
			flags |= e->flags;
	return flags ? flags : STATEMENT_UNKNOWN;
}

bool pg_names_text(const struct pg_names *n, const char *name, struct wire_bytes *out)
{
	bool found = false;

	for (const struct pg_name *e = n->buckets[bucket_of(name)]; e; e = e->next) {
		if (strcmp(e->name, name) != 0)
			continue;
		if (found)
			wire_bytes_put(out, ";\n", 2);
		wire_bytes_put(out, e->text, e->len);
		found = true;
	}
	return found;
}

void pg_names_finish(struct pg_names *n)
{
	while (n->first)
		pop(n);
	for (unsigned i = 0; i < PG_NAMES_BUCKETS; i++)
		while (n->buckets[i])
			unlink_name(n, &n->buckets[i]);
}
