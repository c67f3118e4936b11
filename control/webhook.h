/*
 * Alerts, posted to a URL as they are opened.
 *
 * The queue is outbox.h's. A post has what Slack and its like show and the alert's row, with its count in a second post
 * when its window is over and it was repeated.
 */
#pragma once

#include "control/outbox.h"

struct webhook;

struct webhook_plan {
	const char *url;    /* https, or http to this host */
	const char *secret; /* what the signature is made with; NULL: none is sent */
	int64_t window_us;  /* as alert_open's */
};

/* -EINVAL: not such a URL, or a secret of less than 16 characters. Also readies libcurl, before the server is confined. */
int webhook_check(const struct webhook_plan *plan, struct err *err);
/* Starts the thread. @plan's texts are borrowed until webhook_stop. NULL: no memory or no thread. */
struct webhook *webhook_new(const struct webhook_plan *plan, struct store *store,
			    struct metrics *metrics);
/* Ends what is under way, and frees. NULL is fine. */
void webhook_stop(struct webhook *w);
