/* Exit codes of our own; everything else is the agent's, untouched. */
#pragma once

enum {
	EXIT_POLICY = 120,   /* ended by policy, or because the monitor is gone */
	EXIT_APPROVAL = 121, /* approval denied or timed out */
	EXIT_CONFLICT = 122, /* commit conflict */
	EXIT_DOCTOR = 123,   /* doctor found a missing layer */
	EXIT_TIMEOUT = 124,
	EXIT_USAGE = 125, /* usage or set-up failure; nothing ran */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128, /* plus the signal that ended the agent */
};
