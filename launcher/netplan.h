/*
 * What a run's network needs from the host before anything is built: its resolvers, its hosts file,
 * the text of the sandbox's resolv.conf, and the broker, which is started when somebody needs it.
 */
#pragma once

#include "base/err.h"
#include "launcher/run.h"
#include "sandbox/network.h"

struct netplan {
	struct network_plan plan; /* channel_fd -1: no broker is needed */
	char *resolv_conf;        /* owned; NULL: the host's */
};

/*
 * A broker that is yet to be started. Owned; both -1: there is none to start, or it runs. Its program is pinned: an
 * update while the session runs may bring one that speaks otherwise than our monitor.
 */
struct netplan_broker {
	int channel_fd; /* its end: readable when the monitor has told it something */
	int program_fd; /* O_PATH */
};

/*
 * What the policy's network needs: an allowlist or ports a broker, for @ret_broker, or started already when it is
 * wanted at once (network_at_once). It ends when its channel does. 0, -errno.
 */
int netplan_start(const struct run *run, struct netplan *ret, struct netplan_broker *ret_broker,
		  struct err *err);
/* The gateway's copies; the monitor has its own. */
void netplan_finish(struct netplan *n);

/* Starts it, if it is yet to be started; why that fails the monitor is told in its place, and refuses what needs it. */
void netplan_wake(struct netplan_broker *b);
void netplan_broker_finish(struct netplan_broker *b);

/* "ADDR", "ADDR:PORT", "[V6]:PORT". */
int netplan_add_resolver(struct run *run, const char *text, struct err *err);
