/*
 * Alerts, posted to a URL as they are opened.
 *
 * Theory of operation. The queue is the store itself: a row remembers up to which alert all were delivered, so that a
 * restart loses none, and its size is what retention leaves. Several servers on one store agree by a lease in that row
 * on who delivers. An alert goes out again until it is taken (2xx), with waits from one second to five minutes;
 * one refused five times (4xx), or a day old, is dropped and counted. It can arrive twice: its id says so.
 */
#pragma once

#include "control/metrics.h"
#include "control/store.h"

struct webhook;

struct webhook_plan {
	const char *url;    /* https, or http to this host */
	const char *secret; /* what the signature is made with; NULL: none is sent */
};

/* -EINVAL: not such a URL, or a secret of less than 16 characters. Also readies libcurl, before the server is confined. */
int webhook_check(const struct webhook_plan *plan, struct err *err);
/* Starts the thread. @plan's texts are borrowed until webhook_stop. NULL: no memory or no thread. */
struct webhook *webhook_new(const struct webhook_plan *plan, struct store *store,
			    struct metrics *metrics);
/* Ends what is under way, and frees. NULL is fine. */
void webhook_stop(struct webhook *w);
