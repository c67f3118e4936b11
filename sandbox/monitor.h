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
#include "sandbox/packet.h"
#include "scoring/history.h"

/* What the gateway may ask for while a session runs; sandbox/requests.c holds the table. */
enum monitor_request {
	REQUEST_STATUS, /* -> {"frozen":bool,"held":n} */
	REQUEST_PAUSE,  /* everything inside stops; idempotent */
	/* and goes on; idempotent; -EBUSY while somebody holds MONITOR_WORK_LOCK, or a commit is half done */
	REQUEST_RESUME,
	REQUEST_ROLLBACK, /* {"last":n,"dry_run":bool} -> rollback_json */
	REQUEST_DETACH,   /* attached: decide nothing any more; for good */
	REQUEST_ANSWER,   /* {"id":n,"allow":bool,"session":bool,"by":text} -> {} */
	REQUEST_PROMPT,   /* {"on":bool}: stopped while a person is asked on the terminal */
	REQUEST_ORDERS,   /* the session's orders.json has changed -> {"unenforced":[text]} */
	REQUEST_OVERFLOW, /* {"bytes":n}: a notice that the control plane is not told all -> {} */
	REQUEST_COUNT,
};

/* In the session directory, flock'ed by a command that works on the session's files while it is paused. */
#define MONITOR_WORK_LOCK "work.lock"

struct network_plan; /* sandbox/network.h */

struct monitor_plan {
	const struct box_plan *box;
	struct history *history; /* borrowed; saved by the monitor at the end to agents_dirfd */
	const char *agent;       /* --name */
	int agents_dirfd;        /* baseline directory; -1: learn nothing */
	int ring_wake_fd;        /* eventfd that wakes the gateway when events are published */
	int gateway_fd;          /* monitor's end of the pair */
	int tty_fd; /* where a person is asked; owned, -1 none: given back should the gateway die meanwhile */
	unsigned approval_ms; /* how long a call waits for a person; 0: it is denied at once */
	const struct network_plan *network; /* NULL: there is no broker */
	const struct attach_plan *attach;   /* NULL: a box of our own making */
};

/*
 * A container that somebody else's runtime makes, with a filter that it loads and a listener that it sends.
 * Descriptors are owned by the monitor.
 */
struct container_plan {
	int channel_fd; /* SEQPACKET: container_packet with a listener each; its end is the agent's */
	int slate_fd;   /* sandbox/slate.h */
	uid_t peer;     /* whose runtime it is */
};

/* What comes with a listener on the channel. */
struct container_packet {
	uint32_t number; /* of the listener, in the slate */
	int32_t pid;     /* that loaded the filter, as we number it; 0 not known */
	int32_t adopted; /* 1: a monitor before this one has served it */
};

enum attach_flags { ATTACH_NONE = 0, ATTACH_CUT_CONNECTIONS = 1 };
/* A process that runs already. */
struct attach_plan {
	pid_t pid;
	const pid_t *skip; /* 0-terminated: processes of ours among its descendants */
	enum attach_flags flags;
	const struct container_plan *container; /* pid is its init; NULL: a process of this host */
};

/*
 * Body of the monitor process: starts the box, supervises until the tree is
 * gone, reports on gateway_fd. Returns the process's exit code.
 */
int monitor_main(const struct monitor_plan *plan);
/* The same for plan->attach: until nothing is left of the tree; there is no box to enter. */
int monitor_attach_main(const struct monitor_plan *plan);
/* The same for plan->attach->container: until no task is left behind its filters. */
int monitor_container_main(const struct monitor_plan *plan);
