/*
 * What the parts of the gateway share: gateway.c (its loop), gateway_start.c, gateway_messages.c and gateway_end.c.
 * Others call gateway_run (run.h).
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/eventlog.h"
#include "launcher/approvals.h"
#include "launcher/control.h"
#include "launcher/netplan.h"
#include "launcher/notify.h"
#include "launcher/report.h"
#include "launcher/run.h"
#include "launcher/session.h"
#include "sandbox/fence.h"
#include "sandbox/packet.h"

enum { GATEWAY_KILL_PATIENCE_MS = 2000 }; /* from MONITOR_KILL to SIGKILL for the monitor */

struct gateway {
	const struct run *run;
	struct session session;
	struct session_start start;
	struct report report;
	struct eventlog_reader *log;
	struct control control;
	struct control_host host;
	struct approvals approvals;
	struct notify notify;
	struct fence fence;                                 /* owned */
	int lock_fd, monitor_fd, signal_fd, ring_fd, pidfd; /* owned */
	struct netplan_broker broker;
	int server_fd; /* owned; who is reported to, for the uplink; -1 nobody */
	pid_t monitor_pid;
	uint64_t drain_ms, deadline_ms, kill_ms, interrupt_ms; /* monotonic; 0 none */
	bool busy; /* a drain is due; the ring's wake-ups do not matter until then */
	bool started, exited, monitor_gone, deadline_passed;
	const char *reason; /* why the tree was ended by us; NULL it was not */
	int exit_code;      /* of a start that failed; -1 none */
	int status;         /* wait status of the agent */
};

/* gateway.c */
void gateway_drop_fd(int *fd);
/* Ends the tree; when the monitor does not answer, by the monitor's own death. @reason: static text. */
void gateway_end_tree(struct gateway *g, const char *reason);
/* Takes over what is published in the ring. */
void gateway_drain(struct gateway *g);
/* struct control_host */
int gateway_host_ask(void *gateway, enum monitor_request what, const char *argument,
		     uint32_t ticket);
void gateway_host_end(void *gateway, const char *reason);

/* gateway_start.c */
/* Before the first fork: the key must be in nobody's environment. That nothing is reported is no reason not to run. */
void gateway_open_server(struct gateway *g, int state_fd);
/* Everything up to a monitor that builds the box. @mask gets the signals that were blocked before. 0, -errno. */
int gateway_start(struct gateway *g, char *const *envp, sigset_t *mask, struct err *err);

/* gateway_messages.c */
/* Reads all packets that are there, so that a stop already undone does not stop us. */
void gateway_messages(struct gateway *g);
/*
 * For audit: what the run left, whatever becomes of it later. Not where the changes are to be gone.
 * @reason: "end" or "rollback"; nothing may be writing meanwhile.
 */
void gateway_keep_snapshot(struct gateway *g, const char *reason);

/* gateway_end.c */
/* The log's end, end.json, digest. Returns our exit code. */
int gateway_finish(struct gateway *g);
/* What is to become of the changes; @code unless that changes it. @mask: put back. */
int gateway_settle(struct gateway *g, const sigset_t *mask, int code);
