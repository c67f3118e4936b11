/*
 * Alerts, sent to a syslog receiver as they are opened, in order, from the queue of outbox.h.
 *
 * RFC 5424 over UDP (RFC 5426) and TCP (octet counting, RFC 6587). To the socket of this host the head is that of libc's
 * syslog(): it is what journald and rsyslog's imuxsock read there, and neither reads the other by itself. libc's own
 * function is not used, since it tells nobody when a message was lost.
 *
 * Syslog has no receipts: what the kernel took counts as delivered.
 */
#pragma once

#include "control/outbox.h"

struct syslog;

struct syslog_plan {
	const char *
		target; /* "unix:PATH", "udp:HOST:PORT", "tcp:HOST:PORT"; an IPv6 address in brackets */
	int64_t window_us; /* as alert_open's */
};

/* -EINVAL: not such a target. Also reads the time zone, before the server is confined. */
int syslog_check(const struct syslog_plan *plan, struct err *err);
/* Starts the thread; @plan was checked. NULL: no memory or no thread. */
struct syslog *syslog_new(const struct syslog_plan *plan, struct store *store,
			  struct metrics *metrics);
/* Ends what is under way, and frees. NULL is fine. */
void syslog_stop(struct syslog *s);
