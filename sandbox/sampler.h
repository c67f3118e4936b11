/*
 * CPU, memory and processes of the sandbox against the policy's thresholds: one event when one is
 * passed, the next only after it was below again. Samples while something may run, twice a second;
 * while everything is frozen no time passes and no episode ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "policies/policy.h"
#include "sandbox/tree.h"

struct watch;

struct sampler {
	const struct policy_monitors *monitors;
	int proc_fd; /* the sandbox's own /proc, or that of @only; owned, -1 nothing to watch */
	const struct tree
		*only; /* attached: whose use counts; NULL: all that /proc shows. Borrowed */
	uint64_t last_ns;
	uint64_t last_ticks; /* user and system time of all tasks, reaped ones included */
	double above_s;      /* how long CPU has been above its threshold */
	bool cpu_told, memory_told, processes_told;
	bool was_frozen; /* the next look only finds out from where to count on */
};

/* Call after box_enter: /proc is then the sandbox's. @only: see there. */
void sampler_init(struct sampler *s, const struct policy *policy, const struct tree *only);
/* How long the caller may sleep; -1: for ever. */
int sampler_interval_ms(const struct sampler *s);
/* Samples when it is time. */
void sampler_take(struct sampler *s, struct watch *watch);
