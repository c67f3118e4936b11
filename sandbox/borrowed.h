/*
 * The terminal while the gateway asks on it. The gateway sets its mode and puts it back; should it be killed
 * in between, the monitor does, so that nobody is left with a terminal that shows nothing of what is typed.
 */
#pragma once

#include <stdbool.h>
#include <termios.h>

struct borrowed {
	int fd; /* of the terminal; owned, -1 none */
	bool taken;
	struct termios before; /* as the agent has it */
};

/* @fd may be -1. */
void borrowed_init(struct borrowed *b, int fd);
/* The gateway is about to borrow it: everything inside is frozen, so its mode is as it stays. */
void borrowed_note(struct borrowed *b);
/* The gateway has put it back. */
void borrowed_returned(struct borrowed *b);
/* The gateway is gone: as it was, unless somebody else (the shell) has set it since. */
void borrowed_restore(struct borrowed *b);
void borrowed_finish(struct borrowed *b);
