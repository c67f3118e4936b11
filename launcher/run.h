/* One run as it was asked for: what cmd_run.c makes of the flags and gateway.c carries out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "policies/policy.h"
#include "sandbox/box.h"
#include "sandbox/network.h"
#include "scoring/history.h"

enum { AGENT_NAME_SIZE = 65 };

struct run {
	struct policy *policy;   /* owned; flags applied */
	struct history *history; /* owned */
	int agents_dirfd;        /* owned; -1 none */
	char agent[AGENT_NAME_SIZE];
	char cwd[4096];
	char *const *argv;
	uint32_t degraded_ok; /* bit per enum box_layer */
	enum policy_net net;
	struct net_address resolvers[NETWORK_RESOLVERS_MAX]; /* --resolver */
	unsigned resolver_count;                             /* 0: those of the host */
	bool allow_ptrace, read_events, json, dry_run;
	int status_fd; /* -1 none */
};

/*
 * The agent's environment: ours or with @clean a minimal one, @set entries "K=V" or "K"
 * (NULL-terminated) on top, no VSANDBOX_* of the caller, then VSANDBOX=1 and the session's id.
 */
int run_environment(char *const *env, bool clean, const char *const *set, const char *session,
		    char ***ret, struct err *err);
void run_environment_free(char **envp);

/* Session, monitor, supervision, digest. Returns the exit code of the program. */
int gateway_run(struct run *run, bool clean_env, const char *const *env_set);
