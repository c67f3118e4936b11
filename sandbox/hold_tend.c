/* What the thread that supervises does for those who wait. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/scope.h"
#include "sandbox/hold_private.h"

enum {
	RESTART = -512, /* ERESTARTSYS: only while a signal is pending */
	LOOKS = 24,     /* callers looked after in one tick: the leader waits meanwhile */
	FREEZE_PATIENCE_MS = 500,
	TELL_TEXT = 28672, /* of a question in a packet */
};

/* The caller is no longer waiting: it died, or was sent to take its signal. */
static void forget_call(struct hold *h, struct hold_call *c)
{
	struct hold_question *q = hold_find(h, c->question);
	c->state = CALL_FREE;
	h->waiting--;
	if (q && --q->calls == 0)
		q->lonely_ms = clock_ms();
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

/* The question as the gateway shows it: {"id":…,"remaining_ms":…,"event":{…}} */
static void tell(struct watch *watch, struct hold_question *q)
{
	cleanup_free char *text = malloc(TELL_TEXT);
	char hash[HASH_HEX];
	struct event e;
	struct buf b;
	if (!text || event_unpack(q->e, q->e_len, &e) < 0)
		return;
	uint64_t now = clock_ms();
	buf_init(&b, text, TELL_TEXT);
	buf_printf(&b, "{\"id\":%u,\"remaining_ms\":%llu,\"event\":", q->id,
		   (unsigned long long)(q->deadline_ms > now ? q->deadline_ms - now : 0));
	event_json(&e, watch->plan->box->session_id, "", &b, hash);
	buf_putc(&b, '}');
	if (b.overflow) { /* nobody could read it: nobody can answer for it */
		hold_decide(watch, q, false, SCOPE_ONCE, "because it is too long to be shown");
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
			hold_settle(watch, q, false); /* nothing is asked of them any more */
		else if (now >= q->deadline_ms)
			hold_decide(watch, q, false, SCOPE_ONCE, "because nobody answered in time");
		else if (q->lonely_ms && watch->freeze.reasons)
			q->lonely_ms = now; /* its caller cannot come back while it is frozen */
		else if (q->lonely_ms && now - q->lonely_ms >= HOLD_LONELY_MS)
			hold_settle(watch, q, false);
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
			hold_decide(watch, &h->questions[i], false, SCOPE_ONCE, why);
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
		   (h->condemned || (wants_frozen(watch) && clock_ms() >= let_go_ms));
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
	__atomic_store_n(&watch->hold.let_go_ms, clock_ms() + HOLD_LONELY_MS, __ATOMIC_RELEASE);
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
	tend_questions(watch, clock_ms());
	tend_calls(watch, gate);
	pthread_mutex_unlock(&h->lock);
	/*
	 * Out of its sleep, to take what is ready; again at each tick, should it just be going to sleep. Within the
	 * gate: it acts for nobody then. A signal in the middle of an injection takes the descriptor back and not the
	 * answer, so that an open returns 0 with none (the kernel's seccomp_notify_addfd).
	 */
	if (__atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) &&
	    __atomic_load_n(&watch->receiving, __ATOMIC_ACQUIRE))
		pthread_kill(__atomic_load_n(&watch->leading, __ATOMIC_ACQUIRE), SIGALRM);
	if (gate)
		freeze_ungate(&watch->freeze);
}

int hold_interval_ms(const struct hold *h)
{
	return h->questions_count || __atomic_load_n(&h->waiting, __ATOMIC_ACQUIRE) || h->refused ||
			       __atomic_load_n(&h->ready, __ATOMIC_ACQUIRE) || h->turned_away
		       ? HOLD_TICK_MS
		       : -1;
}
