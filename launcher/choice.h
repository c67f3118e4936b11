/*
 * Which policy decides: the one asked for, else the one named as the agent, else that of a
 * trusted project, else the configuration's, else dev; narrowed by the project's own.
 * `run`, `why` and `policy test` ask here, so that they mean the same.
 */
#pragma once

#include <stdbool.h>

#include "launcher/state.h"
#include "policies/policy.h"

struct choice {
	const char *policy; /* --policy; NULL not given */
	const char *agent;  /* --name; NULL not given */
	bool no_project;    /* --no-project: the project's own policy does not count */
	const char *cwd;    /* absolute: the workspace, where a project's policy lies */
};

enum choice_project {
	CHOICE_NO_PROJECT,
	CHOICE_TIGHTENED, /* the project's policy narrows */
	CHOICE_CHANGED,   /* as before, and it was trusted until it was changed */
	CHOICE_TRUSTED,   /* it is the policy */
};

struct choice_result {
	struct policy *policy;    /* owned by the caller */
	struct policy *narrowing; /* the project's, until choice_narrow; owned by the caller */
	enum choice_project project;
	char project_file[STATE_PATH_SIZE];
};

/* What patterns expand and where names are looked up, for a workspace. Strings are borrowed. */
void choice_env(const char *cwd, struct policy_env *ret);

/* -errno leaves nothing to free. Flags are applied between this and choice_narrow. */
int choice_load(const struct choice *c, struct choice_result *ret, struct err *err);
/* The project's policy, where there is one, narrows: policy_tighten. */
int choice_narrow(struct choice_result *c, struct err *err);
/* Both at once, for who has no flags of a run: the policy, owned by the caller. */
int choice_policy(const struct choice *c, struct policy **ret, struct err *err);

/*
 * The project's policy file in @cwd (.vsandbox.json or .vsandbox/policy.json), canonical. 1, 0
 * when there is none, -EINVAL when there are both.
 */
int choice_project_file(const char *cwd, char path[static STATE_PATH_SIZE], struct err *err);
