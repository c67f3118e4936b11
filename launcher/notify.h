/*
 * Tells a person of questions that wait, by a program of that person's choice ("notify_command"): run outside
 * the sandbox, without a shell, in a session of its own, with no descriptor but /dev/null. What it is told stands in
 * its environment, escaped for a terminal:
 *   VSANDBOX_SESSION, VSANDBOX_APPROVAL  the id to answer with, VSANDBOX_WAITING  how many wait,
 *   VSANDBOX_TYPE, VSANDBOX_OP, VSANDBOX_RESOURCE, VSANDBOX_PROGRAM, VSANDBOX_COMMAND, VSANDBOX_RULE, VSANDBOX_SCORE
 *
 * One runs at a time, one is started in a second; what comes meanwhile is told by the next, as a number.
 * Nothing here waits for it, and after NOTIFY_PATIENCE_MS it is killed.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "launcher/approvals.h"

enum { NOTIFY_INTERVAL_MS = 1000, NOTIFY_PATIENCE_MS = 10000 };

struct notify {
	const char *program; /* absolute path; "" or NULL: nobody is told. Borrowed */
	pid_t pid;           /* that runs; 0 none */
	uint64_t next_ms, kill_ms;
};

/* Starts, reaps, kills: to be called whenever the gateway is awake. */
void notify_tend(struct notify *n, struct approvals *a, uint64_t now_ms);
/* When notify_tend is wanted at the latest, monotonic; 0: nothing is to be done. */
uint64_t notify_due_ms(const struct notify *n, const struct approvals *a, uint64_t now_ms);
