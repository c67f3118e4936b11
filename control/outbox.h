/*
 * Alerts on their way to another system: the queue, whoever carries them.
 *
 * Theory of operation. The queue is the store itself: a row for each carrier remembers up to which alert all were
 * delivered, so that a restart loses none, and its size is what retention leaves. Several servers on one store agree by
 * a lease in that row on who delivers. An alert goes out as soon as it is opened, and once more when its window is over
 * and more was counted under it (alerts.h). It goes out again until it is taken, with waits from one second to five
 * minutes; one refused five times, or a day old, is dropped and counted. It can arrive twice: its id says so.
 */
#pragma once

#include "control/metrics.h"
#include "control/store.h"
#include "control/worker.h"

struct json_object;
struct outbox;

/* Rows of the table outboxes: a number keeps its meaning. */
enum outbox_id { OUTBOX_WEBHOOK = 1, OUTBOX_SYSLOG = 2 };
enum outbox_news { OUTBOX_OPENED, OUTBOX_REPEATED };
enum outbox_answer {
	OUTBOX_TAKEN,
	OUTBOX_FAILED,  /* it may be taken later */
	OUTBOX_REFUSED, /* and most probably never */
};

/* What receivers know it by. */
const char *outbox_event(enum outbox_news news);

struct outbox_plan {
	enum outbox_id id;
	enum metric delivered, failed, dropped;
	int64_t window_us; /* as alert_open's */
	/*
	 * Sends one alert, as alert_get has it; in time when @worker is to stop. What is not OUTBOX_TAKEN has its reason in
	 * @err, for people, without addresses.
	 */
	enum outbox_answer (*send)(void *arg, const struct worker *worker,
				   struct json_object *alert, enum outbox_news news,
				   struct err *err);
	void *arg;
};

/* Starts the thread that calls plan->send. NULL: no memory or no thread. */
struct outbox *outbox_new(const struct outbox_plan *plan, struct store *store,
			  struct metrics *metrics);
/* Ends what is under way, and frees. NULL is fine. */
void outbox_stop(struct outbox *o);
