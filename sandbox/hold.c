#include "sandbox/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "sandbox/watch.h"

enum {
	RESTART = -512, /* ERESTARTSYS: only while a signal is pending */
	LOOKS = 24,     /* callers looked after in one tick: the leader waits meanwhile */
	FREEZE_PATIENCE_MS = 500,
	LONELY_MS = 1000, /* a call that took a signal comes back within that time */
	KEY_TEXT = 6 * ACTION_PATH_SIZE,
	TELL_TEXT = 28672, /* of a question in a packet */
};

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int hold_init(struct hold *h)
{
	*h = (struct hold){ .lock = PTHREAD_MUTEX_INITIALIZER };
	h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->wake_fd < 0)
		return -errno;
	h->calls = mmap(NULL, HOLD_CALLS * sizeof(*h->calls), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (h->calls == MAP_FAILED) {
		h->calls = NULL;
		return -errno;
	}
	return 0;
}

void hold_finish(struct hold *h)
{
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++)
		free(h->questions[i].e);
	if (h->calls)
		munmap(h->calls, HOLD_CALLS * sizeof(*h->calls));
	h->calls = NULL;
	scope_close(&h->wake_fd);
}

static void key_text(struct buf *b, const char *name, const char *text)
{
	buf_printf(b, "%s%zu:", name, text ? strlen(text) : 0);
	buf_puts(b, text ? text : "");
}

/* false: the action is too long to be shown whole, so that nobody could answer for it. */
static bool key_of(const struct worker *w, struct hold_key *ret)
{
	const struct action *a = &w->action;
	cleanup_free char *storage = malloc(KEY_TEXT);
	struct buf b;
	if (!storage || a->argv_truncated)
		return false;
	buf_init(&b, storage, KEY_TEXT);
	buf_printf(&b, "%d %d %u %u %u;", (int)a->type, (int)a->op, a->open_flags,
		   a->op == OP_EXEC ? 0 : a->mode, a->port);
	key_text(&b, "r", a->resource);
	key_text(&b, "s", a->resource2);
	key_text(&b, "p", a->program);
	key_text(&b, "a", a->address);
	key_text(&b, "t", a->protocol);
	key_text(&b, "q", a->statement);
	key_text(&b, "c", a->op == OP_EXEC ? a->cwd : NULL);
	buf_printf(&b, "v%zu:", a->argv_len);
	buf_put(&b, a->argv ? a->argv : "", a->argv ? a->argv_len : 0);
	/* A program is what it contains: rewritten or replaced it is another, whatever its name. */
	for (unsigned i = 0; a->op == OP_EXEC && i < 2; i++) {
		const struct stat *st = &w->place[i].st;
		if (w->place[i].exists)
			buf_printf(&b, "i%llu:%llu:%lld:%lld.%ld", (unsigned long long)st->st_dev,
				   (unsigned long long)st->st_ino, (long long)st->st_size,
				   (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	}
	if (b.overflow)
		return false;
	event_hash(b.data, b.len, ret->hash);
	return true;
}

static bool same(const struct hold_key *a, const struct hold_key *b)
{
	return memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static bool passes(const struct hold_pass *pass, const struct hold_key *key)
{
	for (unsigned i = 0; i < pass->count; i++)
		if (same(&pass->keys[i], key))
			return true;
	return false;
}

/* An answer that was given for the session, or to a call that had gone to take a signal. */
static bool granted(struct hold *h, const struct hold_key *key)
{
	uint64_t now = now_ms();
	for (unsigned i = 0; i < h->grant_count; i++) {
		struct hold_grant *g = &h->grants[i];
		bool hit = same(&g->key, key) && (!g->until_ms || now < g->until_ms);
		bool once = g->until_ms && (hit || now >= g->until_ms);
		if (once)
			*g = h->grants[--h->grant_count];
		if (hit)
			return true;
		i -= once;
	}
	return false;
}

static void grant(struct hold *h, const struct hold_key *key, uint64_t until_ms)
{
	if (h->grant_count < HOLD_GRANTS) /* else it is asked again: a bother, no danger */
		h->grants[h->grant_count++] =
			(struct hold_grant){ .key = *key, .until_ms = until_ms };
}

/* The open question of that @key, or a new one, which shows @e. NULL: no room. */
static struct hold_question *question_for(struct watch *watch, const struct hold_key *key,
					  const struct event *e)
{
	struct hold *h = &watch->hold;
	struct hold_question *q = NULL;
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++) {
		if (h->questions[i].id && same(&h->questions[i].key, key))
			return &h->questions[i];
		if (!h->questions[i].id && !q)
			q = &h->questions[i];
	}
	unsigned char *packed = q ? malloc(EVENT_PACKED_MAX) : NULL;
	if (!packed)
		return NULL;
	size_t len = event_pack(e, packed, EVENT_PACKED_MAX);
	unsigned char *fit = realloc(packed, len ? len : 1);
	*q = (struct hold_question){
		.id = ++h->ids,
		.key = *key,
		.deadline_ms = now_ms() + watch->plan->approval_ms,
		.refuse_errno = e->decision.deny_errno > 0 ? e->decision.deny_errno : EACCES,
		.e = fit ? fit : packed,
		.e_len = len,
	};
	h->questions_count++;
	uint64_t one = 1;
	(void)!write(h->wake_fd, &one, sizeof(one)); /* full: it is awake already */
	return q;
}

static struct hold_call *call_for(struct hold *h)
{
	if (h->waiting + h->ready + h->refused >= HOLD_CALLS)
		return NULL;
	if (h->call_end < HOLD_CALLS)
		return &h->calls[h->call_end++];
	for (unsigned i = 0; i < HOLD_CALLS; i++)
		if (h->calls[i].state == CALL_FREE)
			return &h->calls[i];
	return NULL;
}

/* From the next call on nothing is received until everything is frozen; hold_tick is woken to do it. */
static void hold_the_rest(struct watch *watch)
{
	uint64_t one = 1;
	if (__atomic_load_n(&watch->hold.let_go_ms, __ATOMIC_ACQUIRE) == UINT64_MAX)
		return;
	__atomic_store_n(&watch->hold.freeze_due, true, __ATOMIC_RELEASE);
	(void)!write(watch->hold.wake_fd, &one, sizeof(one)); /* full: it is awake already */
}

/* A task is in one call at a time: what it asked before was interrupted, and is asked again now. */
static void drop_former(struct hold *h, struct hold_question *q, pid_t tid)
{
	for (unsigned i = 0; q->calls && i < h->call_end; i++) {
		struct hold_call *c = &h->calls[i];
		if (c->state != CALL_WAITING || c->question != q->id || (pid_t)c->notif.pid != tid)
			continue;
		c->state = CALL_FREE;
		h->waiting--;
		q->calls--;
	}
}

int hold_call(struct worker *w)
{
	struct hold *h = &w->watch->hold;
	struct hold_key key;
	int r = HOLD_PASSED;
	if (!w->watch->plan->approval_ms || !key_of(w, &key) || w->pass.count == HOLD_PASSES)
		return -w->event.decision.deny_errno;
	pthread_mutex_lock(&h->lock);
	if (!passes(&w->pass, &key) && !granted(h, &key)) {
		struct event e = w->event;
		e.kind = EVENT_ACTION;
		e.seq = 0; /* it is given one when it is logged */
		e.syscall = w->row->name;
		e.action = w->action;
		e.result = EVENT_RESULT_PENDING;
		struct hold_question *q = question_for(w->watch, &key, &e);
		if (q && w->watch->listeners.growing) /* a container's: waits may be interrupted */
			drop_former(h, q, (pid_t)w->n.notif.pid);
		struct hold_call *c = q ? call_for(h) : NULL;
		r = c ? HOLD_KEPT : -w->event.decision.deny_errno;
		if (c) {
			*c = (struct hold_call){ .state = CALL_WAITING,
						 .question = q->id,
						 .notif = w->n.notif,
						 .listener = w->listener,
						 .pass = w->pass };
			q->calls++;
			q->lonely_ms = 0;
			h->waiting++;
			if (w->watch->policy->pause == PAUSE_TREE)
				hold_the_rest(w->watch);
		} else {
			h->turned_away++;
		}
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

int hold_threshold(struct watch *watch, const char *name, const struct event *e)
{
	struct hold *h = &watch->hold;
	struct hold_key key;
	char text[64];
	int r = HOLD_PASSED;
	snprintf(text, sizeof(text), "threshold %s", name);
	event_hash(text, strlen(text), key.hash);
	if (!watch->plan->approval_ms)
		return -EACCES;
	pthread_mutex_lock(&h->lock);
	if (!granted(h, &key)) {
		struct hold_question *q = question_for(watch, &key, e);
		r = q ? HOLD_KEPT : -EACCES;
		if (q && !q->threshold) {
			q->threshold = true;
			h->thresholds++;
		}
		if (q)
			hold_the_rest(watch);
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

void hold_condemn(struct watch *watch, const char *text)
{
	watch->hold.condemned = true;
	hold_the_rest(watch);
	packet_send(watch->plan->gateway_fd, MONITOR_DENIED, 0, 0, text, PACKET_WAIT);
}

bool hold_take(struct hold *h, struct worker *w)
{
	if (__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) == 0)
		return false;
	bool found = false;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < h->call_end && !found; i++) {
		struct hold_call *c = &h->calls[i];
		if (c->state != CALL_READY)
			continue;
		/* Interrupted since: where signals may end a wait (a container's filter) it comes back. */
		if (listener_valid(c->listener, c->notif.id) < 0) {
			grant(h, &c->pass.keys[c->pass.count - 1], now_ms() + LONELY_MS);
			c->state = CALL_FREE;
			__atomic_sub_fetch(&h->ready, 1, __ATOMIC_RELEASE);
			continue;
		}
		w->n.notif = c->notif;
		w->listener = c->listener;
		w->pass = c->pass;
		c->state = CALL_FREE;
		__atomic_sub_fetch(&h->ready, 1, __ATOMIC_RELEASE);
		/* in hand without a gap: the freezer must not take it for a task at large */
		__atomic_store_n(&w->serving, (pid_t)w->n.notif.pid, __ATOMIC_RELEASE);
		found = true;
	}
	pthread_mutex_unlock(&h->lock);
	return found;
}

void hold_spare(struct hold *h, void (*spare)(void *to, pid_t tid), void *to)
{
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < h->call_end; i++)
		if (h->calls[i].state != CALL_FREE)
			spare(to, (pid_t)h->calls[i].notif.pid);
	pthread_mutex_unlock(&h->lock);
}

static struct hold_question *find(struct hold *h, uint32_t id)
{
	for (unsigned i = 0; id && i < HOLD_QUESTIONS; i++)
		if (h->questions[i].id == id)
			return &h->questions[i];
	return NULL;
}

/* The question is over. */
static void settle(struct watch *watch, struct hold_question *q, bool denied)
{
	struct hold *h = &watch->hold;
	if (q->told)
		packet_send(watch->plan->gateway_fd, MONITOR_SETTLED, denied, q->id, NULL,
			    PACKET_WAIT);
	free(q->e);
	h->thresholds -= q->threshold;
	h->questions_count--;
	*q = (struct hold_question){ 0 };
}

/* The caller is no longer waiting: it died, or was sent to take its signal. */
static void forget_call(struct hold *h, struct hold_call *c)
{
	struct hold_question *q = find(h, c->question);
	c->state = CALL_FREE;
	h->waiting--;
	if (q && --q->calls == 0)
		q->lonely_ms = now_ms();
}

/* Looks after one that waits; answers only within the @gate. */
static void look_after(struct watch *watch, struct hold_call *c, bool gate)
{
	char name[16];
	snprintf(name, sizeof(name), "%d", (pid_t)c->notif.pid);
	struct tracee task = { .dir_fd = openat(watch->env.proc_fd, name,
						O_PATH | O_DIRECTORY | O_CLOEXEC) };
	bool signalled = task.dir_fd >= 0 && tracee_signalled(&task);
	scope_close(&task.dir_fd);
	/* asked last: what was read by number was read of the caller */
	if (listener_valid(c->listener, c->notif.id) < 0) {
		forget_call(&watch->hold, c);
	} else if (signalled && gate) {
		listener_answer(c->listener, c->notif.id, RESTART);
		forget_call(&watch->hold, c);
	}
}

static void log_answer(struct watch *watch, const struct hold_question *q, bool allow,
		       const char *by)
{
	struct event e;
	if (event_unpack(q->e, q->e_len, &e) < 0)
		return;
	const char *word = allow ? "allowed" : "denied";
	if (q->threshold) {
		watch_notice(watch, "approval %u %s %s: %s", q->id, word, by, e.text);
		if (allow)
			e.decision.verdict = VERDICT_ALLOW;
	} else {
		char calls[32] = "";
		if (q->calls > 1)
			snprintf(calls, sizeof(calls), ", %u calls", q->calls);
		watch_notice(watch, "approval %u %s %s: %s %s%s", q->id, word, by,
			     action_type_name(e.action.type), e.action.resource, calls);
		if (allow) /* what is carried out has an event of its own */
			return;
	}
	e.result = allow ? 0 : -q->refuse_errno;
	watch_publish(watch, &e);
	if (!allow && q->threshold)
		hold_condemn(watch, e.text);
}

static void answer(struct watch *watch, struct hold_question *q, bool allow, enum hold_scope scope,
		   const char *by)
{
	struct hold *h = &watch->hold;
	log_answer(watch, q, allow, by);
	if (allow && scope == SCOPE_SESSION)
		grant(h, &q->key, 0);
	else if (allow && q->calls == 0 && !q->threshold)
		grant(h, &q->key, now_ms() + LONELY_MS);
	for (unsigned i = 0; q->calls && i < h->call_end; i++) {
		struct hold_call *c = &h->calls[i];
		if (c->state != CALL_WAITING || c->question != q->id)
			continue;
		c->state = allow ? CALL_READY : CALL_REFUSED;
		c->refuse_errno = q->refuse_errno;
		if (allow) {
			c->pass.keys[c->pass.count++] = q->key;
			__atomic_add_fetch(&h->ready, 1, __ATOMIC_RELEASE);
		} else {
			h->refused++;
		}
		h->waiting--;
		q->calls--;
	}
	settle(watch, q, !allow);
}

int hold_answer(struct watch *watch, uint32_t id, bool allow, enum hold_scope scope, const char *by)
{
	struct hold *h = &watch->hold;
	pthread_mutex_lock(&h->lock);
	struct hold_question *q = find(h, id);
	if (q)
		answer(watch, q, allow, scope, by);
	pthread_mutex_unlock(&h->lock);
	if (!q)
		return -ENOENT;
	hold_tick(watch);
	return 0;
}

/* The question as the gateway shows it: {"id":…,"calls":…,"remaining_ms":…,"event":{…}} */
static void tell(struct watch *watch, struct hold_question *q)
{
	cleanup_free char *text = malloc(TELL_TEXT);
	char hash[EVENT_HASH_HEX];
	struct event e;
	struct buf b;
	if (!text || event_unpack(q->e, q->e_len, &e) < 0)
		return;
	uint64_t now = now_ms();
	buf_init(&b, text, TELL_TEXT);
	buf_printf(&b, "{\"id\":%u,\"remaining_ms\":%llu,\"event\":", q->id,
		   (unsigned long long)(q->deadline_ms > now ? q->deadline_ms - now : 0));
	event_json(&e, watch->plan->box->session_id, "", &b, hash);
	buf_putc(&b, '}');
	if (b.overflow) { /* nobody could read it: nobody can answer for it */
		answer(watch, q, false, SCOPE_ONCE, "because it is too long to be shown");
		return;
	}
	q->told = packet_send(watch->plan->gateway_fd, MONITOR_HELD, 0, q->id, text,
			      PACKET_NOWAIT) == 0;
	if (q->told)
		watch_publish(watch, &e);
}

static void tend_questions(struct watch *watch, uint64_t now)
{
	struct hold *h = &watch->hold;
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++) {
		struct hold_question *q = &h->questions[i];
		if (!q->id)
			continue;
		if (q->threshold && __atomic_load_n(&watch->detached, __ATOMIC_RELAXED))
			settle(watch, q, false); /* nothing is asked of them any more */
		else if (now >= q->deadline_ms)
			answer(watch, q, false, SCOPE_ONCE, "because nobody answered in time");
		else if (q->lonely_ms && watch->freeze.reasons)
			q->lonely_ms = now; /* its caller cannot come back while it is frozen */
		else if (q->lonely_ms && now - q->lonely_ms >= LONELY_MS)
			settle(watch, q, false);
		else if (!q->told)
			tell(watch, q);
	}
	if (h->turned_away)
		watch_notice(watch, "%llu calls denied: too many wait for a person already",
			     (unsigned long long)h->turned_away);
	h->turned_away = 0;
}

/* @gate: nobody is frozen, so that there may be answers. */
static void tend_calls(struct watch *watch, bool gate)
{
	struct hold *h = &watch->hold;
	for (unsigned i = 0; gate && h->refused && i < h->call_end; i++) {
		struct hold_call *c = &h->calls[i];
		if (c->state != CALL_REFUSED)
			continue;
		listener_answer(c->listener, c->notif.id, -c->refuse_errno);
		c->state = CALL_FREE;
		h->refused--;
	}
	unsigned looks = h->call_end < LOOKS ? h->call_end : LOOKS;
	for (unsigned n = 0; h->waiting && n < looks; n++) {
		if (h->next_look >= h->call_end)
			h->next_look = 0;
		struct hold_call *c = &h->calls[h->next_look++];
		if (c->state == CALL_WAITING)
			look_after(watch, c, gate);
	}
	while (h->call_end && h->calls[h->call_end - 1].state == CALL_FREE)
		h->call_end--;
}

/* What cannot be frozen must not wait for an answer that promises it. */
static void refuse_all(struct watch *watch, const char *why)
{
	struct hold *h = &watch->hold;
	pthread_mutex_lock(&h->lock);
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++)
		if (h->questions[i].id)
			answer(watch, &h->questions[i], false, SCOPE_ONCE, why);
	pthread_mutex_unlock(&h->lock);
}

/* Does a question want everything frozen? */
static bool wants_frozen(const struct watch *watch)
{
	return watch->hold.thresholds ||
	       (watch->policy->pause == PAUSE_TREE && hold_waiting(&watch->hold));
}

/* Frozen as long as somebody waits, where the policy or a threshold wants it so. */
static void freeze_the_rest(struct watch *watch)
{
	struct hold *h = &watch->hold;
	struct err err = { "" };
	uint64_t let_go_ms = __atomic_load_n(&h->let_go_ms, __ATOMIC_ACQUIRE);
	bool due = let_go_ms != UINT64_MAX && !__atomic_load_n(&watch->ending, __ATOMIC_RELAXED) &&
		   (h->condemned || (wants_frozen(watch) && now_ms() >= let_go_ms));
	if (!due)
		freeze_drop(&watch->freeze, FREEZE_HELD);
	else if (!freeze_has(&watch->freeze, FREEZE_HELD)) {
		int r = freeze_add(&watch->freeze, FREEZE_HELD, FREEZE_PATIENCE_MS, &err);
		if (r < 0 && r != -ETIMEDOUT) { /* late is frozen all the same, see freeze_add */
			watch_notice(watch, "%s", err.text);
			refuse_all(watch, "because not everything could be frozen");
		}
	}
	__atomic_store_n(&h->freeze_due, false, __ATOMIC_RELEASE);
}

void hold_signalled(struct watch *watch)
{
	if (!wants_frozen(watch))
		return;
	if (__atomic_load_n(&watch->hold.let_go_ms, __ATOMIC_ACQUIRE) == UINT64_MAX)
		return;
	__atomic_store_n(&watch->hold.let_go_ms, now_ms() + LONELY_MS, __ATOMIC_RELEASE);
	hold_tick(watch);
}

void hold_over(struct hold *h)
{
	__atomic_store_n(&h->let_go_ms, UINT64_MAX, __ATOMIC_RELEASE);
	__atomic_store_n(&h->freeze_due, false, __ATOMIC_RELEASE);
}

void hold_tick(struct watch *watch)
{
	struct hold *h = &watch->hold;
	uint64_t woken;
	(void)!read(h->wake_fd, &woken, sizeof(woken)); /* the poll that woke us */
	if (hold_interval_ms(h) < 0 && !freeze_has(&watch->freeze, FREEZE_HELD) && !h->condemned)
		return;
	freeze_the_rest(watch);
	bool gate = !watch->freeze.reasons;
	if (gate)
		freeze_gate(&watch->freeze);
	pthread_mutex_lock(&h->lock);
	tend_questions(watch, now_ms());
	tend_calls(watch, gate);
	pthread_mutex_unlock(&h->lock);
	if (gate)
		freeze_ungate(&watch->freeze);
	/* Out of its sleep, to take what is ready; again at each tick, should it just be going to sleep. */
	if (__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) &&
	    __atomic_load_n(&watch->receiving, __ATOMIC_ACQUIRE))
		pthread_kill(__atomic_load_n(&watch->leading, __ATOMIC_ACQUIRE), SIGALRM);
}

int hold_interval_ms(const struct hold *h)
{
	return h->questions_count || __atomic_load_n(&h->waiting, __ATOMIC_ACQUIRE) || h->refused ||
			       __atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) || h->turned_away
		       ? HOLD_TICK_MS
		       : -1;
}

unsigned hold_questions(struct hold *h)
{
	pthread_mutex_lock(&h->lock);
	unsigned count = h->questions_count;
	pthread_mutex_unlock(&h->lock);
	return count;
}

unsigned hold_waiting(const struct hold *h)
{
	return __atomic_load_n(&h->waiting, __ATOMIC_ACQUIRE);
}
