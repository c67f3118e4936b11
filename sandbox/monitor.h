/*
 * The judge: receives every policy-relevant system call before it happens,
 * decides on copies, carries it out, leaves an event. Runs as a process of its
 * own (design: inside the sandbox's user and mount namespaces, outside its pid
 * namespace). Its death kills the tree.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/eventlog.h"
#include "sandbox/box.h"
#include "scoring/history.h"

enum { MONITOR_MESSAGE_TEXT = 1000 };

/* Packets on the SOCK_SEQPACKET pair between gateway and monitor. */
enum monitor_message_type {
	/* monitor -> gateway */
	MONITOR_STARTED =
		1,       /* value: host pid of the agent; text: degraded layers, comma separated */
	MONITOR_FAILED,  /* value: errno; text: the err; nothing runs */
	MONITOR_STOPPED, /* value: signal that stopped the agent (job control) */
	MONITOR_CONTINUED,
	MONITOR_EXEC_FAILED, /* value: errno of the agent's first execve */
	MONITOR_EXIT,        /* value: wait status of the agent; the tree is gone */
	/* gateway -> monitor */
	MONITOR_SIGNAL, /* value: signal for the agent */
	MONITOR_KILL,   /* end the tree now */
};

struct monitor_message {
	int32_t type;
	int32_t value;
	char text[MONITOR_MESSAGE_TEXT];
};

struct network_plan; /* sandbox/network.h */

struct monitor_plan {
	const struct box_plan *box;
	struct history *history; /* borrowed; saved by the monitor at the end to agents_dirfd */
	const char *agent;       /* --name */
	int agents_dirfd;        /* baseline directory; -1: learn nothing */
	int ring_wake_fd;        /* eventfd that wakes the gateway when events are published */
	int gateway_fd;          /* monitor's end of the pair */
	const struct network_plan *network; /* NULL: there is no broker */
};

/*
 * Body of the monitor process: starts the box, supervises until the tree is
 * gone, reports on gateway_fd. Returns the process's exit code.
 */
int monitor_main(const struct monitor_plan *plan);
