/*
 * An order that a verb gives the monitor itself, by a signal, beside the one through the gateway. That one is
 * answered and logged; but the gateway belongs to the agent's terminal, is scheduled with what runs there,
 * and waits seconds for the processor when that is hundreds of busy processes.
 *
 * The kernel lets through who may signal the monitor: its user and root, nobody in the sandbox's pid namespace.
 * Of an attached tree a process may pause or end itself so; nothing lets go on.
 */
#pragma once

enum nudge {
	NUDGE_NONE,
	NUDGE_PAUSE, /* SIGURG: a monitor that does not know it ignores it */
	NUDGE_END,   /* SIGUSR2: a monitor that does not know it dies of it, and its tree with it */
};

/* For the monitor, before it has threads: from here on they come to the descriptor, non-blocking. -errno. */
int nudge_open(void);
/* The strongest that has come since; NUDGE_NONE: none. */
enum nudge nudge_take(int fd);
/* @pidfd: of the monitor. 0, -errno. */
int nudge_send(int pidfd, enum nudge what);
