/*
 * What this process counted since it started, in the text format that Prometheus reads. Servers on one store each
 * count their own; what the store holds is asked of it at each scrape.
 */
#pragma once

#include <stdint.h>

#include "control/store.h"

struct metrics;

enum metric {
	METRIC_ACTIONS_ALLOW,
	METRIC_ACTIONS_ALERT,
	METRIC_ACTIONS_PAUSE,
	METRIC_ACTIONS_ROLLBACK,
	METRIC_ACTIONS_BLOCK,
	METRIC_ACTIONS_REPEATED,
	METRIC_MASKED,
	METRIC_WEBHOOK_DELIVERED,
	METRIC_WEBHOOK_FAILED,
	METRIC_WEBHOOK_DROPPED,
	METRIC_SYSLOG_DELIVERED,
	METRIC_SYSLOG_FAILED,
	METRIC_SYSLOG_DROPPED,
	METRIC_REMOVED_ACTIONS,
	METRIC_REMOVED_KEYS, /* of actions that were posted with an id */
	METRIC_REMOVED_ALERTS,
	METRIC_REMOVED_APPROVALS,
	METRIC_REMOVED_COMMANDS,
	METRIC_REMOVED_ROLLBACKS,
	METRIC_REMOVED_SESSIONS,
	METRIC_REMOVED_DAILY,
	METRIC_REMOVED_LOGINS,
	METRIC_REMOVED_FEED,
	METRIC_COUNT,
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Any thread. */
void metrics_add(struct metrics *m, enum metric which, uint64_t n);
/* A request to route number @route of routes[] (-1: none of them) was answered after @us microseconds. */
void metrics_request(struct metrics *m, int route, int status, int64_t us);

/* All of it; owned by the caller. A store that is away is told as such. NULL: no memory. */
char *metrics_text(struct metrics *m, struct store *store);
