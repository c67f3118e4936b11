#include "sandbox/hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/scope.h"
#include "sandbox/hold_private.h"

int hold_init(struct hold *h)
{
	pthread_mutex_init(&h->lock, NULL);
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

/* The open question of that @key, or a new one, which shows @e. NULL: no room. */
static struct hold_question *question_for(struct watch *watch, const struct hold_key *key,
					  const struct event *e)
{
	struct hold *h = &watch->hold;
	struct hold_question *q = NULL;
	for (unsigned i = 0; i < HOLD_QUESTIONS; i++) {
		if (h->questions[i].id && hold_key_same(&h->questions[i].key, key))
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
		.deadline_ms = clock_ms() + watch->plan->approval_ms,
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
	if (!w->watch->plan->approval_ms || !hold_key_of(w, &key) || w->pass.count == HOLD_PASSES)
		return -w->event.decision.deny_errno;
	pthread_mutex_lock(&h->lock);
	if (!hold_passes(&w->pass, &key) && !hold_granted(h, &key)) {
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
	hash_hex(text, strlen(text), key.hash);
	if (!watch->plan->approval_ms)
		return -EACCES;
	pthread_mutex_lock(&h->lock);
	if (!hold_granted(h, &key)) {
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
			hold_grant(h, &c->pass.keys[c->pass.count - 1],
				   clock_ms() + HOLD_LONELY_MS);
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

struct hold_question *hold_find(struct hold *h, uint32_t id)
{
	for (unsigned i = 0; id && i < HOLD_QUESTIONS; i++)
		if (h->questions[i].id == id)
			return &h->questions[i];
	return NULL;
}

void hold_settle(struct watch *watch, struct hold_question *q, bool denied)
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

void hold_decide(struct watch *watch, struct hold_question *q, bool allow, enum hold_scope scope,
		 const char *by)
{
	struct hold *h = &watch->hold;
	log_answer(watch, q, allow, by);
	if (allow && scope == SCOPE_SESSION)
		hold_grant(h, &q->key, 0);
	else if (allow && q->calls == 0 && !q->threshold)
		hold_grant(h, &q->key, clock_ms() + HOLD_LONELY_MS);
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
	hold_settle(watch, q, !allow);
}

int hold_answer(struct watch *watch, uint32_t id, bool allow, enum hold_scope scope, const char *by)
{
	struct hold *h = &watch->hold;
	pthread_mutex_lock(&h->lock);
	struct hold_question *q = hold_find(h, id);
	if (q)
		hold_decide(watch, q, allow, scope, by);
	pthread_mutex_unlock(&h->lock);
	if (!q)
		return -ENOENT;
	hold_tick(watch);
	return 0;
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
