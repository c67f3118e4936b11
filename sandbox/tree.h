/*
 * The processes of an attached tree, found by looking at /proc: whoever descends from a member is
 * one, and stays one when its parent is gone. Only what was forked and orphaned between two looks is missed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tree_member {
	pid_t pid;
	uint64_t start_ticks; /* tells it from a later owner of the number */
};

struct tree {
	int proc_fd;                 /* whose numbers are meant; borrowed */
	struct tree_member *members; /* owned */
	unsigned count, room;
};

/* An empty one. @proc_fd: of the /proc that is looked at, borrowed. */
void tree_init(struct tree *t, int proc_fd);
/* 0; -ESRCH, -ENOMEM. */
int tree_add(struct tree *t, pid_t pid);
/* Takes in new descendants, drops who has ended. */
void tree_refresh(struct tree *t);
bool tree_has(const struct tree *t, pid_t pid);
/* SIGKILL to all, again until none is left or @patience_ms is over. Number left. */
unsigned tree_kill(struct tree *t, unsigned patience_ms);
void tree_finish(struct tree *t);
