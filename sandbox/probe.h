/*
 * What this machine can enforce, found out by trying: each probe does in a
 * forked child what a run would do, so nothing of the caller changes.
 */
#pragma once

enum probe_level { PROBE_OK, PROBE_WARN, PROBE_FAIL, PROBE_LEVEL_COUNT };

struct probe_result {
	enum probe_level level;
	char text[256]; /* what was found; for warn and fail the cause */
	char fix[256];  /* one line to do about it; "" nothing */
};

struct probe {
	const char *name;
	const char *purpose; /* what a run needs it for */
	/* @state_path: the state directory, where the overlays' upper halves will be */
	void (*run)(const char *state_path, struct probe_result *ret);
};

/* Ended by a NULL name. */
extern const struct probe probe_table[];

const char *probe_level_name(enum probe_level level); /* "ok" "warn" "fail" */
