#include "control/visits.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { LOOK_S = 1 };

struct visit {
	int fd;
	int64_t until_s; /* 0: no deadline */
	struct visit *next, **at;
};

struct visits {
	pthread_mutex_t lock;
	pthread_cond_t stop;
	pthread_t thread;
	struct visit *first;
	unsigned request_s;
	bool stopping;
};

/* A clock that nobody sets. */
static int64_t now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Should be called with the lock held: a visit on the list has its descriptor open. */
static void let_go(struct visits *v, int64_t now)
{
	for (struct visit *visit = v->first; visit; visit = visit->next)
		if (visit->until_s && visit->until_s <= now) {
			shutdown(visit->fd, SHUT_RDWR); /* the daemon reads its end, and closes */
			visit->until_s = 0;
		}
}

static void *look(void *arg)
{
	struct visits *v = arg;
	pthread_mutex_lock(&v->lock);
	while (!v->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_S;
		pthread_cond_timedwait(&v->stop, &v->lock, &until);
		let_go(v, now_s());
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

struct visits *visits_new(unsigned request_s)
{
	struct visits *v = calloc(1, sizeof(*v));
	pthread_condattr_t attr;
	if (!v)
		return NULL;
	v->request_s = request_s;
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->stop, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&v->thread, NULL, look, v) != 0) {
		free(v);
		return NULL;
	}
	return v;
}

void visits_free(struct visits *v)
{
	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	v->stopping = true;
	pthread_cond_signal(&v->stop);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->thread, NULL);
	free(v);
}

struct visit *visit_begin(struct visits *v, int fd)
{
	struct visit *visit = malloc(sizeof(*visit));
	if (!visit)
		return NULL;
	pthread_mutex_lock(&v->lock);
	*visit = (struct visit){ fd, now_s() + v->request_s, v->first, &v->first };
	if (v->first)
		v->first->at = &visit->next;
	v->first = visit;
	pthread_mutex_unlock(&v->lock);
	return visit;
}

static void set_deadline(struct visits *v, struct visit *visit, int64_t until_s)
{
	if (!visit)
		return;
	pthread_mutex_lock(&v->lock);
	visit->until_s = until_s;
	pthread_mutex_unlock(&v->lock);
}

void visit_waits(struct visits *v, struct visit *visit)
{
	set_deadline(v, visit, now_s() + v->request_s);
}

void visit_served(struct visits *v, struct visit *visit)
{
	set_deadline(v, visit, 0);
}

void visit_end(struct visits *v, struct visit *visit)
{
	if (!visit)
		return;
	pthread_mutex_lock(&v->lock);
	*visit->at = visit->next;
	if (visit->next)
		visit->next->at = visit->at;
	pthread_mutex_unlock(&v->lock);
	free(visit);
}
