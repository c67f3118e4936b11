#include "control/worker.h"

#include <errno.h>
#include <time.h>

static void *main_of(void *arg)
{
	struct worker *w = arg;
	w->run(w->arg);
	return NULL;
}

int worker_start(struct worker *w, void (*run)(void *arg), void *arg)
{
	pthread_condattr_t attr;
	*w = (struct worker){ .run = run, .arg = arg };
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* a clock that is set wakes nobody */
	pthread_cond_init(&w->stop, &attr);
	pthread_condattr_destroy(&attr);
	w->started = pthread_create(&w->thread, NULL, main_of, w) == 0;
	return w->started ? 0 : -EAGAIN;
}

bool worker_pause(struct worker *w, int64_t ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && pthread_cond_timedwait(&w->stop, &w->lock, &until) != ETIMEDOUT)
		;
	bool on = !w->stopping;
	pthread_mutex_unlock(&w->lock);
	return on;
}

bool worker_stopping(const struct worker *w)
{
	return __atomic_load_n(&w->stopping, __ATOMIC_RELAXED);
}

void worker_stop(struct worker *w)
{
	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	__atomic_store_n(&w->stopping, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&w->stop);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->started = false;
}
