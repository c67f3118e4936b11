#include "control/store.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "control/ids.h"
#include "control/schema.h"

enum {
	POOL_SIZE = 8,
	/* Writes in one transaction: of more marks PostgreSQL keeps account on the disk. */
	BATCH_MAX = 64,
	TRIES = 5,     /* when another server is in the way, or the database was restarted */
	LEASE_S = 120, /* how long a node number is ours without a renewal */
	HOUSEKEEP_S = 30,
	RETRY_MS = 200,
};

struct job {
	store_fn *fn;
	void *arg;
	struct err *err;
	int64_t result;
	sem_t done;
	struct job *next;
};

struct store {
	char *url;
	pthread_mutex_t lock;
	pthread_cond_t queued, returned;
	struct job *first, **last;
	bool stopping;
	pthread_t writer;
	struct db *write_db;
	struct db *pool[POOL_SIZE]; /* free ones first */
	unsigned free, open;
	unsigned node;
	char owner[64];
	int64_t housekept_us;
};

/* ---- nodes ---------------------------------------------------------------------------- */

static int64_t claim(struct db *db, void *arg, struct err *err)
{
	struct store *s = arg;
	int64_t now = ids_now_us(), until = now + (int64_t)LEASE_S * 1000000;
	for (unsigned i = 0; i < IDS_NODES; i++) {
		int64_t n = db_run(db, err,
				   "INSERT INTO nodes(id, owner, until) VALUES ($1, $2, $3)"
				   " ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, until "
				   "= excluded.until"
				   " WHERE nodes.until < $4 OR nodes.owner = excluded.owner",
				   db_i(i), db_t(s->owner), db_i(until), db_i(now));
		if (n < 0)
			return n;
		if (n > 0) {
			s->node = i;
			return 0;
		}
	}
	return err_set(err, EUSERS, "database: %d servers write to it already", IDS_NODES);
}

static int64_t add_days(struct db *db, void *arg, struct err *err)
{
	(void)arg;
	return schema_partitions(db, ids_now_us(), err);
}

static int64_t renew(struct db *db, void *arg, struct err *err)
{
	struct store *s = arg;
	int64_t now = ids_now_us();
	int64_t n = db_run(db, err, "UPDATE nodes SET until = $1 WHERE id = $2 AND owner = $3",
			   db_i(now + (int64_t)LEASE_S * 1000000), db_i(s->node), db_t(s->owner));
	if (n == 0) /* we slept for too long, and somebody else has it now */
		n = claim(db, s, err);
	if (n < 0)
		return n;
	ids_set_node(s->node);
	return schema_partitions(db, now, err);
}

/* ---- the writer ----------------------------------------------------------------------- */

static bool worth_another_try(int64_t r)
{
	return r == -ESTALE || r == -ENOTCONN;
}

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L }, NULL);
}

/* All jobs of @list in one transaction. 0: committed; else nothing happened. */
static int64_t run_together(struct store *s, struct job *list)
{
	struct err err;
	int64_t r = db_begin(s->write_db, &err);
	for (struct job *j = list; j && r >= 0; j = j->next)
		r = j->result = j->fn(s->write_db, j->arg, j->err);
	if (r < 0) {
		db_rollback(s->write_db);
		return r;
	}
	return db_commit(s->write_db, &err);
}

/*
 * The same where one of them fails by itself: what it did is undone, and the others' stays. Else who posts what is
 * refused could make a commit of its own out of everybody's write.
 */
static int64_t run_marked(struct store *s, struct job *list)
{
	struct err err;
	int64_t r = db_begin(s->write_db, &err);
	for (struct job *j = list; j && r >= 0; j = j->next) {
		r = db_script(s->write_db, "SAVEPOINT job", &err);
		if (r < 0)
			break;
		j->result = j->fn(s->write_db, j->arg, j->err);
		r = worth_another_try(j->result)
			    ? j->result
			    : db_script(s->write_db,
					j->result < 0 ? "ROLLBACK TO job; RELEASE job"
						      : "RELEASE job",
					&err);
	}
	if (r < 0) {
		db_rollback(s->write_db);
		return r;
	}
	return db_commit(s->write_db, &err);
}

static void run_alone(struct store *s, struct job *j)
{
	struct job *next = j->next;
	j->next = NULL;
	for (unsigned i = 0; i < TRIES; i++) {
		int64_t r = db_begin(s->write_db, j->err);
		if (r == 0)
			r = j->fn(s->write_db, j->arg, j->err);
		if (r < 0) {
			db_rollback(s->write_db);
		} else {
			int c = db_commit(s->write_db, j->err);
			r = c < 0 ? c : r;
		}
		j->result = r;
		if (!worth_another_try(r))
			break;
		pause_ms(RETRY_MS * i);
	}
	j->next = next;
}

static void run_jobs(struct store *s, struct job *list)
{
	if (list->next && (run_together(s, list) == 0 || run_marked(s, list) == 0))
		return;
	for (struct job *j = list; j; j = j->next)
		run_alone(s, j);
}

static void housekeep(struct store *s)
{
	struct err err;
	struct job j = { .fn = renew, .arg = s, .err = &err };
	int64_t now = ids_now_us();
	if (now - s->housekept_us < (int64_t)HOUSEKEEP_S * 1000000 && now >= s->housekept_us)
		return;
	s->housekept_us = now;
	run_alone(s, &j);
}

/* The first BATCH_MAX jobs of the queue, or NULL when there are none and the store closes. */
static struct job *take_jobs(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->first && !s->stopping) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += HOUSEKEEP_S;
		if (pthread_cond_timedwait(&s->queued, &s->lock, &until) == ETIMEDOUT) {
			pthread_mutex_unlock(&s->lock);
			housekeep(s);
			pthread_mutex_lock(&s->lock);
		}
	}
	struct job *list = s->first, *end = list;
	for (unsigned i = 1; end && end->next && i < BATCH_MAX; i++)
		end = end->next;
	if (end) {
		s->first = end->next;
		if (!s->first)
			s->last = &s->first;
		end->next = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return list;
}

static void *writer_main(void *arg)
{
	struct store *s = arg;
	struct job *list;
	while ((list = take_jobs(s))) {
		housekeep(s);
		run_jobs(s, list);
		while (list) { /* a job is its waiter's: not to be looked at once it is done */
			struct job *next = list->next;
			sem_post(&list->done);
			list = next;
		}
	}
	return NULL;
}

int64_t store_write(struct store *s, store_fn *fn, void *arg, struct err *err)
{
	struct job job = { .fn = fn, .arg = arg, .err = err };
	sem_init(&job.done, 0, 0);
	pthread_mutex_lock(&s->lock);
	*s->last = &job;
	s->last = &job.next;
	pthread_cond_signal(&s->queued);
	pthread_mutex_unlock(&s->lock);
	while (sem_wait(&job.done) < 0)
		; /* a signal */
	sem_destroy(&job.done);
	return job.result;
}

/* ---- readers -------------------------------------------------------------------------- */

static struct db *pool_take(struct store *s, struct err *err)
{
	struct db *db = NULL;
	pthread_mutex_lock(&s->lock);
	while (!s->free && s->open == POOL_SIZE)
		pthread_cond_wait(&s->returned, &s->lock);
	if (s->free)
		db = s->pool[--s->free];
	else
		s->open++;
	pthread_mutex_unlock(&s->lock);
	if (!db && db_open(s->url, &db, err) < 0) {
		pthread_mutex_lock(&s->lock);
		s->open--;
		pthread_cond_signal(&s->returned);
		pthread_mutex_unlock(&s->lock);
	}
	return db;
}

static void pool_give(struct store *s, struct db *db)
{
	pthread_mutex_lock(&s->lock);
	s->pool[s->free++] = db;
	pthread_cond_signal(&s->returned);
	pthread_mutex_unlock(&s->lock);
}

int64_t store_read(struct store *s, store_fn *fn, void *arg, struct err *err)
{
	struct db *db = pool_take(s, err);
	if (!db)
		return -ENOTCONN;
	int64_t r = fn(db, arg, err);
	if (worth_another_try(
		    r)) /* met a server that was restarted: once more on a new connection */
		r = fn(db, arg, err);
	pool_give(s, db);
	return r;
}

/* ---- life ----------------------------------------------------------------------------- */

int store_open(const char *url, struct store **ret, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s || !(s->url = strdup(url))) {
		free(s);
		return err_set(err, ENOMEM, "store: out of memory");
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->queued, NULL);
	pthread_cond_init(&s->returned, NULL);
	s->last = &s->first;
	char host[32] = "";
	gethostname(host, sizeof(host) - 1);
	snprintf(s->owner, sizeof(s->owner), "%s:%d:%" PRId64, host, (int)getpid(), ids_now_us());
	int r = db_open(url, &s->write_db, err);
	if (r == 0)
		r = schema_migrate(s->write_db, err);
	if (r == 0) {
		struct job j = { .fn = claim, .arg = s, .err = err };
		run_alone(s, &j);
		r = (int)j.result;
	}
	if (r == 0) {
		ids_set_node(s->node);
		struct job j = { .fn = add_days, .err = err };
		run_alone(s, &j);
		r = (int)j.result;
	}
	if (r == 0 && pthread_create(&s->writer, NULL, writer_main, s) != 0)
		r = err_set(err, EAGAIN, "store: no thread for the writer");
	if (r < 0) {
		db_close(s->write_db);
		free(s->url);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->queued);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->writer, NULL);
	struct err ignored; /* at worst the number is free again when its lease is over */
	db_run(s->write_db, &ignored, "DELETE FROM nodes WHERE id = $1 AND owner = $2",
	       db_i(s->node), db_t(s->owner));
	db_close(s->write_db);
	for (unsigned i = 0; i < s->free; i++)
		db_close(s->pool[i]);
	free(s->url);
	free(s);
}
