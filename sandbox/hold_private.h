/* What hold.c, hold_key.c and hold_tend.c share; all of it is called with the lock of struct hold held. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sandbox/watch.h"

enum { HOLD_LONELY_MS = 1000 }; /* a call that took a signal comes back within that time */

/* hold_key.c */
/* The key of @w's action. false: it is too long to be shown whole, so that nobody could answer for it. */
bool hold_key_of(const struct worker *w, struct hold_key *ret);
bool hold_key_same(const struct hold_key *a, const struct hold_key *b);
/* Has a person allowed exactly this to the call that has the @pass? */
bool hold_passes(const struct hold_pass *pass, const struct hold_key *key);
/* Or for the session, or to a call that had gone to take a signal; then that is used up. */
bool hold_granted(struct hold *h, const struct hold_key *key);
/* @until_ms: CLOCK_MONOTONIC, for one call before then; 0 for the session. */
void hold_grant(struct hold *h, const struct hold_key *key, uint64_t until_ms);

/* hold.c */
/* The open question @id; NULL none. */
struct hold_question *hold_find(struct hold *h, uint32_t id);
/* The question is over: the gateway is told, and it is free for another. */
void hold_settle(struct watch *watch, struct hold_question *q, bool denied);
/* The answer to @q: logged, remembered as far as @scope says, handed to the calls that wait; then settled. */
void hold_decide(struct watch *watch, struct hold_question *q, bool allow, enum hold_scope scope,
		 const char *by);
