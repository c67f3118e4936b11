#include "control/live.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>

#include "control/ids.h"
#include "control/worker.h"

enum {
	TICK_MS = 40,      /* resumes are gathered: a burst of writes wakes a waiter once */
	FOREIGN_TICKS = 6, /* every so many ticks, whether another server wrote */
};

struct waiter {
	struct MHD_Connection *connection;
	int64_t until_us;
	struct waiter *next;
};

struct live {
	struct store *store;
	struct worker worker;
	pthread_mutex_t lock;
	struct waiter *waiters;
	bool wrote;
	int64_t newest; /* id of the newest row of the feed seen */
};

void live_wrote(struct live *l)
{
	__atomic_store_n(&l->wrote, true, __ATOMIC_RELAXED);
}

void live_wait(struct live *l, void *connection, int64_t until_us)
{
	struct waiter *w = malloc(sizeof(*w));
	if (!w) /* answered a little early is better than never */
		return;
	*w = (struct waiter){ connection, until_us, NULL };
	pthread_mutex_lock(&l->lock);
	if (worker_stopping(&l->worker)) {
		free(w);
	} else {
		MHD_suspend_connection(connection);
		w->next = l->waiters;
		l->waiters = w;
	}
	pthread_mutex_unlock(&l->lock);
}

static void resume(struct live *l, bool all)
{
	int64_t now = ids_now_us();
	pthread_mutex_lock(&l->lock);
	for (struct waiter **at = &l->waiters; *at;) {
		struct waiter *w = *at;
		if (!all && w->until_us > now) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		MHD_resume_connection(w->connection);
		free(w);
	}
	pthread_mutex_unlock(&l->lock);
}

struct news {
	int64_t newest;
	bool command;
};

static int take_news(const struct db_row *row, void *arg)
{
	struct news *n = arg;
	n->newest = db_int(row, 0);
	n->command = db_int(row, 1) > 0;
	return 0;
}

/* Of the feed, only commands and their results are waited for. */
static int64_t look(struct db *db, void *arg, struct err *err)
{
	struct news *n = arg;
	return db_each(
		db, err, take_news, n,
		"SELECT COALESCE(max(id), $1), COALESCE(sum(CASE WHEN kind = 'command' THEN 1"
		" ELSE 0 END), 0) FROM feed WHERE id > $1",
		db_i(n->newest));
}

static bool foreign_writes(struct live *l)
{
	struct err err;
	struct news n = { .newest = l->newest };
	store_read(l->store, look, &n, &err); /* a store that is away is news for nobody here */
	l->newest = n.newest;
	return n.command;
}

static bool waited_for(struct live *l)
{
	pthread_mutex_lock(&l->lock);
	bool any = l->waiters;
	pthread_mutex_unlock(&l->lock);
	return any;
}

static void wake(void *arg)
{
	struct live *l = arg;
	for (unsigned tick = 0; worker_pause(&l->worker, TICK_MS); tick++) {
		if (!waited_for(l))
			continue;
		bool all = __atomic_exchange_n(&l->wrote, false, __ATOMIC_RELAXED);
		if (tick % FOREIGN_TICKS == 0 && foreign_writes(l))
			all = true;
		resume(l, all);
	}
}

struct live *live_new(struct store *store)
{
	struct live *l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->store = store;
	l->newest = ids_at(ids_now_us());
	pthread_mutex_init(&l->lock, NULL);
	if (worker_start(&l->worker, wake, l) < 0) {
		free(l);
		return NULL;
	}
	return l;
}

void live_stop(struct live *l)
{
	if (!l)
		return;
	worker_stop(&l->worker);
	resume(l, true);
}

void live_free(struct live *l)
{
	free(l);
}
