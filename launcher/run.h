/* One run as it was asked for: what cmd_run.c makes of the flags and gateway.c carries out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "launcher/approvals.h"
#include "launcher/image.h"
#include "launcher/session.h"
#include "policies/policy.h"
#include "sandbox/box.h"
#include "sandbox/monitor.h"
#include "sandbox/network.h"
#include "scoring/history.h"

enum {
	AGENT_NAME_SIZE = 65,
	APPROVAL_SECONDS = 300, /* how long a call waits for a person when nothing else is said */
};

struct run {
	struct policy *policy;            /* owned; flags applied */
	struct json_object *policy_flags; /* those flags, "name=value"; owned, NULL none */
	struct history *history;          /* owned */
	int agents_dirfd;                 /* owned; -1 none */
	char agent[AGENT_NAME_SIZE];
	char cwd[4096];
	char start_dir[4096]; /* where the command starts, when that is not cwd; "" cwd */
	struct image image;   /* --rootfs; owned */
	char **argv;          /* owned; the strings are borrowed */
	char **env_set;       /* on top of our environment; owned */
	bool clean_env;       /* of ours only what is needed */
	uint32_t degraded_ok; /* bit per enum box_layer */
	enum policy_net net;
	struct net_address resolvers[NETWORK_RESOLVERS_MAX]; /* --resolver */
	unsigned resolver_count;                             /* 0: those of the host */
	bool allow_ptrace, read_events, json, dry_run;
	struct session *
		again; /* one that has ended, to go on in; NULL a new one. Taken over by gateway_run */
	bool no_report;                /* to the control plane, although there is one */
	int status_fd;                 /* -1 none */
	char session[SESSION_ID_SIZE]; /* set by gateway_run once there is one; "" none */
	const struct attach_plan
		*attach; /* a process that runs already; NULL: argv is started. Borrowed */
	const char *
		container; /* attach: the id of the container it is, as its runtime calls it; NULL none */
	const char *after; /* the session whose changes this one can undo too; NULL none */
	int ready_fd; /* attach: gets the session's id once it enforces; the gateway then leaves the
		       * terminal. -1: it stays there */
	enum approve_by approve;
	char notify[STATE_PATH_SIZE]; /* program that is told of held calls; "" none */
	unsigned approval_ms;         /* how long a call waits for a person; 0: denied at once */
};

struct options;
/*
 * A run with the options of the verb run: policy, supervision, digest. Returns its exit code;
 * @session gets the id, "" when none was made (bad options, --dry-run).
 */
int run_command(const struct options *o, char *const *argv, char session[static SESSION_ID_SIZE]);

/* The same in a session that has ended (session_again.h): its policy, agent and directory where no option says. */
int run_again(const struct options *o, char *const *argv, struct session *again);

/*
 * The agent's environment: ours or with @clean a minimal one, @set entries "K=V" or "K"
 * (NULL-terminated) on top, no VSANDBOX_* of the caller, then VSANDBOX=1 and the session's id.
 */
int run_environment(char *const *env, bool clean, char *const *set, const char *session,
		    char ***ret, struct err *err);
void run_environment_free(char **envp);

/* Whose baseline: --name, or the name of the program. */
int run_agent_name(struct run *run, const char *given, struct err *err);

/* Session, monitor, supervision, digest. Returns the exit code of the program. */
int gateway_run(struct run *run);
