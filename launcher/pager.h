/* What is longer than the terminal is shown by the user's pager: $PAGER, else less. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct pager {
	pid_t pid;       /* 0: there is none */
	int terminal_fd; /* what standard output was; owned */
};

enum { PAGER_ANY_LENGTH = -1 };

/*
 * Standard output goes to the pager from here on, until pager_end; where it is no terminal, that has room
 * for @lines (PAGER_ANY_LENGTH: not known, the pager sees), or no pager can be had, it stays as it is.
 * term_color(1) answers as before; isatty(1) does not.
 */
void pager_begin(struct pager *p, int64_t lines);
/* Waits until the person has seen enough. That not all was looked at is no error of standard output. */
void pager_end(struct pager *p);
