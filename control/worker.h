/* A thread in the background that works, pauses, and works again until it is told to stop. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Members are the worker's own. All zero: one that was never started. */
struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stop;
	void (*run)(void *arg);
	void *arg;
	bool started, stopping;
};

/* @run is called once, on the new thread, and returns soon after worker_pause() or worker_stopping() said so. -EAGAIN. */
int worker_start(struct worker *w, void (*run)(void *arg), void *arg);
/* Of @run: false when it is time to stop, at once when that comes meanwhile. */
bool worker_pause(struct worker *w, int64_t ms);
/* Any thread. */
bool worker_stopping(const struct worker *w);
/* Waits until @run has returned. Fine on one that was never started. */
void worker_stop(struct worker *w);
