/*
 * What is said over a channel that does not block (net/broker.h): what there is no room for now is kept, and
 * sent in the same order when there is.
 */
#pragma once

#include <stdbool.h>

#include "net/broker.h"

struct broker_queued; /* opaque */

struct broker_queue {
	int fd;                              /* borrowed */
	struct broker_queued *first, **last; /* owned */
};

void broker_queue_init(struct broker_queue *q, int fd);
/* As broker_send, after all that is kept. @fds stay the caller's. 0: sent or kept; -errno: nobody will hear it. */
int broker_queue_send(struct broker_queue *q, struct broker_message *m, const char *text,
		      size_t text_len, const int *fds, unsigned fd_count);
/* Keeps it until the next call of broker_queue_send or broker_queue_flush. 0, -errno. */
int broker_queue_keep(struct broker_queue *q, const struct broker_message *m, const char *text,
		      size_t text_len, const int *fds, unsigned fd_count);
/* Sends what is kept, as far as there is room. 0, -errno: nobody will hear it. */
int broker_queue_flush(struct broker_queue *q);
bool broker_queue_empty(const struct broker_queue *q);
