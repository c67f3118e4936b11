#include "control/crew.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
	THREADS = 32,        /* so many single posts share a commit */
	BYTES_MAX = 4 << 20, /* of bodies at a time; one is always let in */
};

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t given;
	struct task *first, **last;
	size_t bytes; /* of what runs */
	unsigned running;
	bool ending;
	pthread_t threads[THREADS];
	unsigned started;
};

/* The next one, when there is one and room for it. */
static struct task *take(struct crew *c)
{
	struct task *t = c->first;
	if (!t || (c->running && c->bytes + t->bytes > BYTES_MAX))
		return NULL;
	c->first = t->next;
	if (!c->first)
		c->last = &c->first;
	return t;
}

static void *work(void *arg)
{
	struct crew *c = arg;
	pthread_mutex_lock(&c->lock);
	while (c->first || !c->ending) {
		struct task *t = take(c);
		if (!t) {
			pthread_cond_wait(&c->given, &c->lock);
			continue;
		}
		if (c->first) /* for one more, as far as there is room */
			pthread_cond_signal(&c->given);
		size_t bytes = t->bytes;
		c->running++;
		c->bytes += bytes;
		pthread_mutex_unlock(&c->lock);
		t->run(t);
		pthread_mutex_lock(&c->lock);
		c->running--;
		c->bytes -= bytes;
	}
	pthread_cond_broadcast(&c->given); /* the others end, too */
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct crew *crew_new(void)
{
	struct crew *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->given, NULL);
	c->last = &c->first;
	while (c->started < THREADS && pthread_create(&c->threads[c->started], NULL, work, c) == 0)
		c->started++;
	if (c->started == THREADS)
		return c;
	crew_end(c);
	crew_free(c);
	return NULL;
}

void crew_give(struct crew *c, struct task *t)
{
	pthread_mutex_lock(&c->lock);
	bool here = c->ending;
	if (!here) {
		t->next = NULL;
		*c->last = t;
		c->last = &t->next;
		pthread_cond_signal(&c->given);
	}
	pthread_mutex_unlock(&c->lock);
	if (here)
		t->run(t);
}

void crew_end(struct crew *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_broadcast(&c->given);
	pthread_mutex_unlock(&c->lock);
	while (c->started > 0)
		pthread_join(c->threads[--c->started], NULL);
}

void crew_free(struct crew *c)
{
	free(c);
}
