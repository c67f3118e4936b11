/*
 * Calls that wait for a person. No thread waits with them: the notification is kept, and
 * when it is approved the leader carries the call out again from its beginning, with a pass
 * for exactly the action that was shown. Whatever was raced meanwhile is another action, and asked anew.
 *
 * Calls that want the same action by the same program are one question. States of a call:
 *   WAITING  hold_call                  -> READY, REFUSED (hold_answer, the deadline), gone
 *   READY    hold_take by the leader    -> gone
 *   REFUSED  hold_tick, unless frozen   -> gone
 * With "pause": "tree" everything is frozen as long as a call waits: hold_call stops the leader from receiving,
 * hold_tick freezes. A signal that a person sends lets all go on for HOLD_LONELY_MS, to be acted on
 * (hold_signalled); one that comes from inside, a timer's, does not.
 * A caller that died leaves; one that has a signal to act on is answered ERESTARTSYS, as a
 * sleeping call is natively, and its question stays a moment for the call to come back.
 *
 * A threshold that is passed (CPU, memory, processes) is a question that no call waits for:
 * everything is frozen until it is answered. Allowed, all goes on; denied, it stays frozen and the gateway
 * is told to end it (MONITOR_DENIED), since nothing smaller could be refused.
 */
#pragma once

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/event.h"

struct listener;
struct watch;
struct worker;

enum {
	HOLD_QUESTIONS = 64, /* at most that many at once; further ones are refused */
	HOLD_CALLS = 16384,  /* waiting for them */
	HOLD_PASSES = 4,   /* one call may need that many answers (an exec and its interpreters) */
	HOLD_GRANTS = 512, /* answers for the rest of the session */
	HOLD_TICK_MS = 20,
};

/* What makes two actions the same: a digest of all that was shown, and of an executable's state. */
struct hold_key {
	char hash[HASH_HEX];
};

struct hold_pass {
	unsigned count;
	struct hold_key keys[HOLD_PASSES];
};

enum hold_state { CALL_FREE, CALL_WAITING, CALL_READY, CALL_REFUSED };

struct hold_call {
	enum hold_state state;
	uint32_t question;
	int refuse_errno;
	struct seccomp_notif notif;
	struct listener *listener; /* that it came from */
	struct hold_pass pass;
};

struct hold_question {
	uint32_t id; /* 0 free */
	struct hold_key key;
	unsigned calls;       /* waiting for it */
	bool threshold;       /* no call waits, everything does */
	uint64_t deadline_ms; /* monotonic */
	uint64_t lonely_ms;   /* since when nobody waits; 0 somebody does */
	int refuse_errno;
	bool told;        /* to the gateway */
	unsigned char *e; /* the packed event; owned */
	size_t e_len;
};

struct hold_grant {
	struct hold_key key;
	uint64_t until_ms; /* 0: for the session; else for one call that comes back before */
};

struct hold {
	pthread_mutex_t lock;
	struct hold_question questions[HOLD_QUESTIONS];
	struct hold_call *calls; /* HOLD_CALLS, owned; pages are used as touched */
	unsigned call_end;       /* none is used from here on */
	unsigned next_look;      /* hold_tick goes round */
	struct hold_grant grants[HOLD_GRANTS];
	unsigned grant_count;
	uint32_t ids;     /* given out so far */
	unsigned waiting; /* calls that wait; atomic */
	unsigned ready;   /* calls that the leader is to take; atomic */
	unsigned refused; /* calls to be answered when not frozen */
	unsigned questions_count;
	unsigned thresholds;  /* of the questions */
	bool condemned;       /* a threshold was denied: frozen until everything ends */
	bool freeze_due;      /* a question is open and not all is frozen yet; atomic */
	uint64_t let_go_ms;   /* until then not frozen, for signals to be acted on */
	uint64_t turned_away; /* calls refused for want of room, not yet told */
	int wake_fd;          /* eventfd: a question is new; owned */
};

/* @h is zeroed by who allocated it: most of it a run never touches, and so it takes no memory. 0, -errno. */
int hold_init(struct hold *h);

/*
 * For watch_decide, by the leader: may @w's action pass without asking, is it to wait, or is there
 * no room? HOLD_PASSED, HOLD_KEPT (do not answer), or -errno to answer with.
 */
enum { HOLD_PASSED = 0, HOLD_KEPT = 1 };
int hold_call(struct worker *w);

/*
 * For watch_threshold, by the thread that supervises: asks about @e, a sample, under the threshold's @name.
 * HOLD_KEPT: everything freezes at the next hold_tick, and @e is published with the question; HOLD_PASSED:
 * allowed for the session already; -errno: nobody can be asked.
 */
int hold_threshold(struct watch *watch, const char *name, const struct event *e);
/* What comes of a threshold that nobody allows. @text: what was passed, and why it is denied. */
void hold_condemn(struct watch *watch, const char *text);

/* The leader's next approved call into @w: its notification and pass. false: none. */
bool hold_take(struct hold *h, struct worker *w);

/* Who waits, for the freezer. */
void hold_spare(struct hold *h, void (*spare)(void *to, pid_t tid), void *to);

/* What follows is for the thread that supervises. */

/* A person has sent a signal inside. */
void hold_signalled(struct watch *watch);
/* Everything inside is ending: nothing is frozen for those who wait any more. */
void hold_over(struct hold *h);
/* Deadlines, signals, deaths, refusals to be answered, questions to be told. */
void hold_tick(struct watch *watch);
/* Questions that are open, and calls that wait for them. */
unsigned hold_questions(struct hold *h);
unsigned hold_waiting(const struct hold *h);
/* Milliseconds until hold_tick is wanted; -1 when nobody waits. */
int hold_interval_ms(const struct hold *h);

/* SCOPE_ALWAYS: the launcher has written it down; here it holds for the session. */
enum hold_scope { SCOPE_ONCE, SCOPE_SESSION, SCOPE_ALWAYS };
/* Answers question @id; @by says who and why, for the log. -ENOENT: there is no such question. */
int hold_answer(struct watch *watch, uint32_t id, bool allow, enum hold_scope scope,
		const char *by);
