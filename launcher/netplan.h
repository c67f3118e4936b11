/*
 * What a run's network needs from the host before anything is built: its resolvers, its hosts file,
 * the text of the sandbox's resolv.conf, and the broker.
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
 * Starts the broker when the policy needs one: an allowlist, ports. It ends when its channel does.
 * 0, -errno.
 */
int netplan_start(const struct run *run, struct netplan *ret, struct err *err);
/* The gateway's copies; the monitor has its own. */
void netplan_finish(struct netplan *n);

/* "ADDR", "ADDR:PORT", "[V6]:PORT". */
int netplan_add_resolver(struct run *run, const char *text, struct err *err);
