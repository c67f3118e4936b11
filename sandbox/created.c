#include "sandbox/created.h"

#include <stdint.h>
#include <stdlib.h>

enum { FIRST_SIZE = 256, FREE = 0, TOMBSTONE = 1 };

static size_t hash(dev_t dev, ino_t ino)
{
	uint64_t h = (uint64_t)ino * 0x9e3779b97f4a7c15u ^ (uint64_t)dev * 0xc2b2ae3d27d4eb4fu;
	return (size_t)(h ^ h >> 29);
}

static struct created_key *find(const struct created *c, dev_t dev, ino_t ino)
{
	if (c->size == 0)
		return NULL;
	for (size_t i = hash(dev, ino);; i++) {
		struct created_key *k = &c->slots[i & (c->size - 1)];
		if (k->ino == FREE)
			return NULL;
		if (k->ino == ino && k->dev == dev)
			return k;
	}
}

static void insert(struct created *c, dev_t dev, ino_t ino)
{
	size_t i = hash(dev, ino);
	while (c->slots[i & (c->size - 1)].ino > TOMBSTONE)
		i++;
	struct created_key *k = &c->slots[i & (c->size - 1)];
	c->used += k->ino == FREE;
	*k = (struct created_key){ .dev = dev, .ino = ino };
}

static bool grow(struct created *c)
{
	struct created old = *c;
	size_t live = 0;
	for (size_t i = 0; i < old.size; i++)
		live += old.slots[i].ino > TOMBSTONE;
	size_t size = FIRST_SIZE;
	while (size < live * 4)
		size *= 2;
	struct created_key *slots = calloc(size, sizeof(*slots));
	if (!slots)
		return false;
	*c = (struct created){ .slots = slots, .size = size };
	for (size_t i = 0; i < old.size; i++)
		if (old.slots[i].ino > TOMBSTONE)
			insert(c, old.slots[i].dev, old.slots[i].ino);
	free(old.slots);
	return true;
}

void created_add(struct created *c, const struct stat *st)
{
	if (st->st_ino <= TOMBSTONE || find(c, st->st_dev, st->st_ino))
		return;
	if ((c->used + 1) * 4 > c->size * 3 && !grow(c))
		return;
	insert(c, st->st_dev, st->st_ino);
}

void created_remove(struct created *c, const struct stat *st)
{
	struct created_key *k = st->st_ino > TOMBSTONE ? find(c, st->st_dev, st->st_ino) : NULL;
	if (k)
		k->ino = TOMBSTONE;
}

bool created_has(const struct created *c, const struct stat *st)
{
	return st->st_ino > TOMBSTONE && find(c, st->st_dev, st->st_ino);
}
