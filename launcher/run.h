/* One run as it was asked for: what cmd_run.c makes of the flags and gateway.c carries out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "launcher/approvals.h"
#include "launcher/image.h"
#include "policies/policy.h"
#include "sandbox/box.h"
#include "scoring/history.h"

enum { AGENT_NAME_SIZE = 65 };

struct run {
	struct policy *policy;   /* owned; flags applied */
	struct history *history; /* owned */
	int agents_dirfd;        /* owned; -1 none */
	char agent[AGENT_NAME_SIZE];
	char cwd[4096];
	char start_dir[4096]; /* where the command starts, when that is not cwd; "" cwd */
	struct image image;   /* --rootfs; owned */
	char **argv;          /* owned; the strings are borrowed */
	char **env_set;       /* on top of our environment; owned */
	bool clean_env;       /* of ours only what is needed */
	uint32_t degraded_ok; /* bit per enum box_layer */
	enum policy_net net;  /* as carried out */
	bool net_lowered;     /* the policy asked for an allowlist, which is not built yet */
	bool allow_ptrace, read_events, json, dry_run;
	int status_fd; /* -1 none */
	enum approve_by approve;
	unsigned approval_ms; /* how long a call waits for a person; 0: denied at once */
};

/*
 * The agent's environment: ours or with @clean a minimal one, @set entries "K=V" or "K"
 * (NULL-terminated) on top, no VSANDBOX_* of the caller, then VSANDBOX=1 and the session's id.
 */
int run_environment(char *const *env, bool clean, char *const *set, const char *session,
		    char ***ret, struct err *err);
void run_environment_free(char **envp);

/* Session, monitor, supervision, digest. Returns the exit code of the program. */
int gateway_run(struct run *run);
