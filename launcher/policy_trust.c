/* policy trust: a project's policy that a person has read may do more than tighten. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "launcher/choice.h"
#include "launcher/confirm.h"
#include "launcher/policy_verbs.h"
#include "launcher/term.h"
#include "launcher/trust.h"

static int project_file(const struct options *o, char path[static STATE_PATH_SIZE], struct err *err)
{
	char cwd[STATE_PATH_SIZE], real[PATH_MAX];
	if (o->arg_count && realpath(o->args[0], real)) {
		snprintf(path, STATE_PATH_SIZE, "%s", real);
		return 0;
	}
	/* A file that is gone can still lose its trust. */
	if (o->arg_count && options_has(o, POLICY_REVOKE) && o->args[0][0] == '/') {
		snprintf(path, STATE_PATH_SIZE, "%s", o->args[0]);
		return 0;
	}
	if (o->arg_count)
		return err_sys(err, errno, "%s", o->args[0]);
	if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(err, errno, "the current directory cannot be named");
	int r = choice_project_file(cwd, path, err);
	return r ? (r < 0 ? r : 0)
		 : err_set(err, ENOENT,
			   "this directory has no .vsandbox.json and no .vsandbox/policy.json");
}

int policy_trust(const struct options *o, struct err *err)
{
	char path[STATE_PATH_SIZE];
	struct policy_env env;
	struct policy *p;
	enum trust before;
	if (options_has(o, POLICY_NAMES))
		return trust_print(stdout, err);
	int r = options_want_args(o, 0, 1, err);
	if (r == 0)
		r = project_file(o, path, err);
	if (r < 0)
		return r;
	if (options_has(o, POLICY_REVOKE))
		return trust_revoke(path, err);
	/* The digest is of the form a run looks at. */
	policy_environment(&env);
	env.neutral = true;
	r = policy_load(path, &env, &p, err);
	if (r < 0)
		return r;
	if (!p->digest)
		r = err_set(err, EINVAL,
			    "%s is a policy of your own or a shipped one: it needs no "
			    "trust",
			    path);
	if (r == 0)
		r = trust_look(path, p->digest, &before, err);
	if (r == 0) {
		static const char *const said[] = { [TRUST_NONE] = "not trusted so far",
						    [TRUST_CHANGED] =
							    "changed since it was trusted",
						    [TRUST_GIVEN] = "trusted already" };
		term_text(stdout, path);
		printf("\n  sha-256 %s\n  %s\n  mode %s, %u rules, %u blocked patterns, %s%s\n",
		       p->digest, said[before], policy_mode_name(p->mode), p->rule_count,
		       p->blocked.count, p->allowed.present ? "a list of allowed resources, " : "",
		       "read it before you say yes");
		r = confirm(options_has(o, POLICY_YES), err,
			    "Let it decide in place of the default?");
	}
	if (r == 0)
		r = trust_give(path, p->digest, err);
	policy_free(p);
	return r;
}
