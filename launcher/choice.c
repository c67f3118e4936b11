#include "launcher/choice.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/config.h"
#include "launcher/kept.h"
#include "launcher/trust.h"

void choice_env(const char *cwd, struct policy_env *ret)
{
	const char *tmpdir = getenv("TMPDIR");
	*ret = (struct policy_env){
		.home = state_home(),
		.workspace = cwd,
		.tmpdir = tmpdir && tmpdir[0] == '/' ? tmpdir : "/tmp",
		.dirs = state_policy_dirs(),
	};
}

int choice_project_file(const char *cwd, char path[static STATE_PATH_SIZE], struct err *err)
{
	static const char *const names[] = { ".vsandbox.json", ".vsandbox/policy.json" };
	int found = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char file[2 * STATE_PATH_SIZE], real[PATH_MAX];
		snprintf(file, sizeof(file), "%s/%s", cwd, names[i]);
		if (!realpath(file, real)) {
			if (errno == ENOENT || errno == ENOTDIR)
				continue;
			/* There, but out of reach: not to be passed over. */
			return err_sys(err, errno, "the project's policy %s", file);
		}
		if (found++)
			return err_set(err, EINVAL,
				       "the project has both %s and %s: keep one of them", names[0],
				       names[1]);
		snprintf(path, STATE_PATH_SIZE, "%s", real);
	}
	return found;
}

/* The user's own policy named as the agent. */
static bool agent_policy(const char *agent)
{
	char path[2 * STATE_PATH_SIZE];
	if (!agent || !*agent || strpbrk(agent, "./") || !state_policy_dirs()[0])
		return false;
	snprintf(path, sizeof(path), "%s/%s.json", state_policy_dirs()[0], agent);
	return access(path, F_OK) == 0;
}

/* The policy that decides, before a project narrows it. */
static int load_chosen(const struct choice *c, const struct policy_env *env, struct policy **ret,
		       struct err *err)
{
	struct config config;
	if (c->policy)
		return policy_load(c->policy, env, ret, err);
	if (agent_policy(c->agent))
		return policy_load(c->agent, env, ret, err);
	int r = config_load(&config, err);
	if (r < 0)
		return r;
	return policy_load(*config.policy ? config.policy : "dev", env, ret, err);
}

/* The project's policy in the form that only narrows, and what is known of it. */
static int load_project(const struct choice *c, struct policy_env env, struct choice_result *ret,
			struct policy **ret_project, struct err *err)
{
	enum trust trust;
	int r = c->no_project ? 0 : choice_project_file(c->cwd, ret->project_file, err);
	if (r <= 0)
		return r;
	env.neutral = true;
	r = policy_load(ret->project_file, &env, ret_project, err);
	if (r == 0)
		r = trust_look(ret->project_file, (*ret_project)->digest, &trust, err);
	if (r < 0)
		return r;
	ret->project = trust == TRUST_GIVEN     ? CHOICE_TRUSTED
		       : trust == TRUST_CHANGED ? CHOICE_CHANGED
						: CHOICE_TIGHTENED;
	return 0;
}

int choice_load(const struct choice *c, struct choice_result *ret, struct err *err)
{
	struct policy_env env;
	struct policy *project = NULL;
	*ret = (struct choice_result){ 0 };
	choice_env(c->cwd, &env);
	int r = load_project(c, env, ret, &project, err);
	bool named = c->policy || agent_policy(c->agent);
	if (r == 0 && ret->project == CHOICE_TRUSTED && !named) {
		/* Read again with its defaults; what changed between the two readings is not it. */
		r = policy_load(ret->project_file, &env, &ret->policy, err);
		if (r == 0 && strcmp(ret->policy->digest, project->digest) != 0)
			r = err_set(err, EAGAIN, "%s changed while it was read", ret->project_file);
		policy_free(project);
		project = NULL;
	} else if (r == 0) {
		if (ret->project ==
		    CHOICE_TRUSTED) /* somebody asked for another: it narrows that */
			ret->project = CHOICE_TIGHTENED;
		r = load_chosen(c, &env, &ret->policy, err);
	}
	if (r == 0)
		r = kept_load(ret->policy, err);
	if (r < 0) {
		policy_free(project);
		policy_free(ret->policy);
		ret->policy = project = NULL;
	}
	ret->narrowing = project;
	return r;
}

int choice_narrow(struct choice_result *c, struct err *err)
{
	if (!c->narrowing)
		return 0;
	struct policy *project = take_ptr(c->narrowing);
	return policy_tighten(c->policy, project, err);
}

int choice_policy(const struct choice *c, struct policy **ret, struct err *err)
{
	struct choice_result chosen;
	*ret = NULL;
	int r = choice_load(c, &chosen, err);
	if (r == 0)
		r = choice_narrow(&chosen, err);
	if (r < 0)
		policy_free(chosen.policy);
	else
		*ret = chosen.policy;
	return r;
}
