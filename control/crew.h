/*
 * Threads for calls that may wait for a commit.
 *
 * Theory of operation. A thread of HTTP has many connections, and one that waited for the disk would hold up all of them:
 * the answer to a check would be as late as the post of somebody else. So such a call is given away, and its connection
 * set aside until the call has run. There are more of these threads than processors, since they mostly wait, and what
 * they wait for together is one commit (store.h). What is given is run in order; bodies that are worked on at a time are
 * bounded together, since a parsed one is many times its text.
 */
#pragma once

#include <stddef.h>

struct crew;

/* The giver's; @run is called once, on some thread, and may free it. */
struct task {
	void (*run)(struct task *t);
	size_t bytes; /* of its body */
	struct task *next;
};

/* NULL: no memory or no thread. */
struct crew *crew_new(void);
/* Runs @t: after what was given before, or here and now when the crew was told to end. */
void crew_give(struct crew *c, struct task *t);
/* Ends once all that was given has run; crew_give() is fine until crew_free(). NULL is fine for both. */
void crew_end(struct crew *c);
void crew_free(struct crew *c);
