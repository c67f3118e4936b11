/*
 * What a run tells its user while it goes on and at its end: the start line,
 * denials, the digest; and to programs, the lines of --status-fd and --json.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/event.h"
#include "launcher/effects.h"
#include "launcher/run.h"
#include "launcher/session.h"

enum { REPORT_BURST = 10, REPORT_PER_SECOND = 5 };

struct report {
	const struct run *run;
	const struct session *session;
	uint64_t by_verdict[VERDICT_COUNT];
	uint64_t by_type[ACTION_TYPE_COUNT];
	uint64_t denied_by_type[ACTION_TYPE_COUNT];
	uint64_t events, ambient;
	uint64_t outside; /* allowed network and API actions: they cannot be undone */
	struct effects effects;
	bool changed; /* an action that may have changed files was allowed */
	/* rate limit of denial lines: a bucket of REPORT_BURST, REPORT_PER_SECOND refill */
	uint64_t refilled_ns;
	unsigned tokens;
	uint64_t suppressed; /* denials not shown since the last line */
};

/* @r is zeroed by who allocated it. */
void report_init(struct report *r, const struct run *run, const struct session *session);
/* The agent runs: banner, status line. @degraded: comma separated layer names. */
void report_started(struct report *r, pid_t agent_pid, const char *degraded);
/* eventlog_drain's callback; @report is a struct report. */
void report_event(const struct event *e, void *report);
/* All is over: digest, status line. @reason: "exit", "signal", "timeout" … */
void report_ended(struct report *r, int exit_code, int wait_status, const char *reason);
/* end.json. */
int report_save(const struct report *r, int exit_code, int wait_status, const char *reason,
		struct err *err);
