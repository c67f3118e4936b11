/*
 * CONFIG/config.json: what a person wants of every run without saying it. JSON with comments;
 * an unknown key, a wrong type or a bad value is refused with file:line, and nothing runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "launcher/state.h"

enum { CONFIG_WORD_SIZE = 256 };

struct config {
	char policy[STATE_PATH_SIZE];         /* "default_policy": name or absolute path; "" none */
	char approve[CONFIG_WORD_SIZE];       /* "approve": who answers held actions; "" not said */
	char notify_command[STATE_PATH_SIZE]; /* absolute path of a program; "" none */
	bool mask_upload;   /* "mask_upload": secrets and personal data leave the host masked */
	bool server_always; /* "server_always": people at the control plane may allow for good */
	uint64_t
		upload_bytes; /* "upload_budget": of a log that may wait for the control plane; 0 no limit */
	/* "budgets": what `prune` leaves; 0 no limit */
	uint64_t sessions, bytes, age_seconds;
};

/* All empty, mask_upload and server_always true, upload_budget 4G, when there is no file. -errno with a message that names file:line. */
int config_load(struct config *ret, struct err *err);
/* As when there is no file. */
void config_defaults(struct config *ret);
