/*
 * The box: namespaces, mounts, capabilities, static fences, pid 1. It holds
 * even if the monitor is wrong (law 1).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "policies/policy.h"
#include "rootfs/overlay.h"

/* Layers that --allow-degraded may name; the bits stand in banner, ps and log. */
enum box_layer {
	LAYER_USERNS,
	LAYER_NETNS,
	LAYER_OVERLAY,
	LAYER_PROC, /* a /proc of its own */
	LAYER_LANDLOCK,
	LAYER_NOTIFY, /* the monitor */
	LAYER_CGROUP, /* limits by cgroup, where limits are asked for */
	LAYER_COUNT,
};
const char *box_layer_name(enum box_layer layer);

/* All that is asked for. Strings are borrowed. */
struct fence;

struct box_plan {
	const struct policy *policy;
	const char *session_id;
	const char *session_path;
	int session_dirfd;
	char *const *argv;
	char *const *envp;
	const char *cwd;       /* absolute host path */
	const char *workspace; /* absolute; the directory the session was started from */
	const char
		*rootfs; /* absolute host directory of an image to run in; NULL the host's root */
	const struct fence *fence; /* our own directories of the host's, hidden inside */
	uint32_t degraded_ok;      /* bit per box_layer: --allow-degraded */
	enum policy_net net;
	const char *resolv_conf; /* text of /etc/resolv.conf inside; NULL: the host's */
	bool allow_ptrace;       /* --allow-ptrace: debuggers inside work */
	bool read_events;        /* false: plain read opens are allowed in the filter */
};

/* Can the agent come to hold sockets of the host's network (sandbox/handover.h)? */
static inline bool box_hands_over(const struct box_plan *plan)
{
	return plan->net == NET_ALLOWLIST && plan->policy && plan->policy->handover.count;
}

struct box {
	struct overlay overlay;
	pid_t init_pid;           /* as the host numbers it */
	int init_pidfd;           /* owned */
	int control_fd;           /* socket to init; owned */
	int listener_fd;          /* owned; -1 until box_listener */
	int proc_fd;              /* O_PATH of the outer /proc; owned */
	uint32_t degraded;        /* bits of layers that are missing */
	char cgroup_dirs[4][256]; /* ours, to remove at the end; "" none */
	int cgroup_parent_fds
		[4];     /* O_PATH of their parents, valid after box_enter too; owned, -1 none */
	pid_t agent_pid; /* as the host numbers it */
	int agent_pidfd; /* owned */
	int gate_fd;     /* socket to the agent until its execve; owned */
};

/*
 * Builds the box, which goes on inside when box_start is back: the caller has some milliseconds for work of its
 * own. box_await waits for the rest: then pid 1 runs, the agent's task exists, has its filter, and waits
 * for box_release just before its execve. Single-threaded callers only. Errors name the layer, the cause and
 * the fix; after one of box_start nothing is left, after one of box_await box_kill and box_finish are due.
 */
int box_start(const struct box_plan *plan, struct box *ret, struct err *err);
int box_await(struct box *b, struct err *err);

/* -EPERM when our stdin, stdout or stderr is a socket of the host's network: no command may be given one. */
int box_net_inherited(struct err *err);

/* The caller (the monitor) moves itself into the sandbox's user and mount namespaces, then
 * drops all powers but CAP_SYS_PTRACE and those the agent itself has there. */
int box_enter(const struct box_plan *plan, struct box *b, struct err *err);

/* The agent goes on to its execve. */
int box_release(struct box *b, struct err *err);

enum { BOX_MESSAGE_EXIT = 1, BOX_MESSAGE_STOPPED, BOX_MESSAGE_CONTINUED, BOX_MESSAGE_EXEC_FAILED };
/* What init reports on control_fd. */
struct box_message {
	int32_t type;
	int32_t status; /* EXIT: wait status of the agent; STOPPED: signal; EXEC_FAILED: errno */
};
/* One message; 0 on end of file, -errno. */
int box_receive(struct box *b, struct box_message *ret);
/* A signal for the agent, through init. */
int box_signal(struct box *b, int signum);

/* Ends everything inside at once (SIGKILL to pid 1) without waiting for it. Idempotent. */
void box_end(struct box *b);
/* box_end, waits until nothing is left, removes cgroups. Idempotent. */
void box_kill(struct box *b);
void box_finish(struct box *b);
