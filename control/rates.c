#include "control/rates.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { SETS = 1024, WAYS = 4 };

struct budget {
	uint64_t who;  /* hash; 0: free */
	double tokens; /* at that moment */
	double at_s;
};

struct pace {
	double per_s, most;
};

struct rates {
	pthread_mutex_t lock;
	struct pace paces[RATE_COUNT];
	uint64_t seed; /* nobody outside can choose whose budget theirs meets */
	struct budget sets[SETS][WAYS];
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct rates *rates_new(unsigned key_per_s)
{
	struct rates *r = calloc(1, sizeof(*r));
	if (!r || getrandom(&r->seed, sizeof(r->seed), 0) != sizeof(r->seed)) {
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->lock, NULL);
	r->paces[RATE_KEY] = (struct pace){ key_per_s, 2.0 * key_per_s };
	r->paces[RATE_GUESS] = (struct pace){ 1, 60 };
	r->paces[RATE_LOGIN] = (struct pace){ 1.0 / 6, 10 };
	return r;
}

void rates_free(struct rates *r)
{
	free(r);
}

/* FNV-1a with a seed, then mixed. Never 0. */
static uint64_t hash(uint64_t seed, enum rate kind, const char *who)
{
	uint64_t h = seed ^ (uint64_t)kind * 0x9e3779b97f4a7c15;
	for (; *who; who++)
		h = (h ^ (unsigned char)*who) * 0x100000001b3;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
	return (h ^ h >> 32) | 1;
}

static double tokens_at(const struct budget *b, const struct pace *p, double now)
{
	double tokens = b->tokens + (now - b->at_s) * p->per_s;
	return tokens < p->most ? tokens : p->most;
}

/* That of @who, or the place of the one longest unused, which is full again or nearly so. */
static struct budget *find(struct rates *r, uint64_t who, const struct pace *p, double now)
{
	struct budget *set = r->sets[(who >> 20) % SETS], *least = set;
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].who == who)
			return &set[i];
		if (least->who && (!set[i].who || set[i].at_s < least->at_s))
			least = &set[i];
	}
	*least = (struct budget){ who, p->most, now };
	return least;
}

static unsigned spend(struct rates *r, enum rate kind, const char *who, double cost)
{
	const struct pace *p = &r->paces[kind];
	if (p->per_s <= 0)
		return 0;
	double now = now_s();
	pthread_mutex_lock(&r->lock);
	struct budget *b = find(r, hash(r->seed, kind, who), p, now);
	double tokens = tokens_at(b, p, now);
	bool enough = tokens >= 1;
	*b = (struct budget){ b->who, enough ? tokens - cost : tokens, now };
	pthread_mutex_unlock(&r->lock);
	return enough ? 0 : 1 + (unsigned)((1 - tokens) / p->per_s);
}

unsigned rate_take(struct rates *r, enum rate kind, const char *who)
{
	return spend(r, kind, who, 1);
}

unsigned rate_left(struct rates *r, enum rate kind, const char *who)
{
	return spend(r, kind, who, 0);
}
