/* policy create, delete: files of the user's own, in CONFIG/policies. Nothing else is touched. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/confirm.h"
#include "launcher/policy_verbs.h"
#include "launcher/state.h"
#include "launcher/term.h"

enum { NAME_MAX_LEN = 64 };

static int check_name(const char *name, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";
	if (*name && *name != '-' && strlen(name) <= NAME_MAX_LEN &&
	    strspn(name, allowed) == strlen(name))
		return 0;
	return err_set(err, EINVAL, "'%.80s': letters, digits, _ and - only, at most %d", name,
		       NAME_MAX_LEN);
}

static int open_own(char path[static STATE_PATH_SIZE], struct err *err)
{
	cleanup_fd int config = state_config_open(path, err);
	return config < 0 ? config : state_subdir(config, "policies", err);
}

static int template_text(const char *name, const char *base, const char *agent, char **ret,
			 size_t *len, struct err *err)
{
	FILE *f = open_memstream(ret, len);
	if (!f)
		return err_set(err, ENOMEM, "out of memory");
	fprintf(f,
		"// What %s says, and what stands here: a list adds to its list, any other value\n"
		"// takes the place of its value, a block stays. vsandbox policy schema tells the "
		"keys.\n"
		"{\n\t\"name\": ",
		base);
	json_text(f, name);
	fputs(",\n\t\"description\": ", f);
	char text[256];
	snprintf(text, sizeof(text), "%s%s%sfrom %s", agent ? "for the agent " : "",
		 agent ? agent : "", agent ? ", " : "", base);
	json_text(f, text);
	fputs(",\n\t\"extends\": [ ", f);
	json_text(f, base);
	fputs(" ],\n"
	      "\t// paths nobody may touch, such as \"${WORKSPACE}/migrations/**\"\n"
	      "\t\"blocked_resources\": [],\n"
	      "\t// hosts as well as those of the policy it extends\n"
	      "\t// \"network\": { \"allow_hosts\": [ \"api.example.com:443\" ] },\n"
	      "\t\"rules\": [\n"
	      "\t\t// { \"name\": \"no-deletes\", \"action_type\": \"file_delete\",\n"
	      "\t\t//   \"resource_pattern\": \"${WORKSPACE}/data/**\", \"effect\": \"block\" }\n"
	      "\t]\n}\n",
	      f);
	return fclose(f) == 0 ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* Beside, then linked to its name: whole, and never over one that is there. */
static int write_new(int dir, const char *file, const char *text, size_t len, struct err *err)
{
	char aside[32];
	snprintf(aside, sizeof(aside), ".create.%d", (int)getpid() % 1000000);
	int r = state_write_file(dir, aside, text, len, err);
	if (r < 0)
		return r;
	if (linkat(dir, aside, dir, file, 0) < 0)
		r = errno == EEXIST ? err_set(err, EEXIST, "you have a policy %s already", file)
				    : err_sys(err, errno, "cannot make %s", file);
	unlinkat(dir, aside, 0);
	return r;
}

int policy_create(const struct options *o, struct err *err)
{
	const char *base = options_value(o, POLICY_TEMPLATE);
	const char *agent = options_value(o, POLICY_AGENT_ID);
	char path[STATE_PATH_SIZE], file[NAME_MAX_LEN + 8];
	cleanup_free char *text = NULL;
	struct policy_env env;
	struct policy *p = NULL;
	size_t len = 0;
	int r = options_want_args(o, agent ? 0 : 1, 1, err);
	if (r < 0)
		return r;
	const char *name = o->arg_count ? o->args[0] : agent;
	base = base ? base : "dev";
	/* A run finds it by the agent's name. */
	if (agent && strcmp(agent, name) != 0)
		r = err_set(err, EINVAL,
			    "with --agent-id the policy is named as the agent: leave "
			    "'%.80s' out",
			    name);
	if (r == 0)
		r = check_name(name, err);
	if (r == 0)
		r = check_name(base, err); /* the name of a template, not a path */
	policy_environment(&env);
	if (r == 0)
		r = policy_load(base, &env, &p, err); /* must be there and sound */
	policy_free(p);
	if (r == 0 && !strcmp(base, name))
		r = err_set(err, EINVAL, "%s cannot extend itself: choose another name", name);
	if (r == 0)
		r = template_text(name, base, agent, &text, &len, err);
	if (r < 0)
		return r;
	cleanup_fd int dir = open_own(path, err);
	if (dir < 0)
		return dir;
	snprintf(file, sizeof(file), "%s.json", name);
	r = write_new(dir, file, text, len, err);
	if (r < 0)
		return r;
	term_text(stdout, path);
	printf("/policies/%s\n", file);
	return 0;
}

int policy_delete(const struct options *o, struct err *err)
{
	char path[STATE_PATH_SIZE], file[NAME_MAX_LEN + 8];
	int r = options_want_args(o, 1, 1, err);
	if (r == 0)
		r = check_name(o->args[0], err);
	if (r < 0)
		return r;
	snprintf(file, sizeof(file), "%s.json", o->args[0]);
	cleanup_fd int dir = open_own(path, err);
	if (dir < 0)
		return dir;
	if (faccessat(dir, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		for (const char *const *d = state_policy_dirs() + 1; *d; d++) {
			char shipped[2 * STATE_PATH_SIZE];
			snprintf(shipped, sizeof(shipped), "%s/%s", *d, file);
			if (access(shipped, F_OK) == 0)
				return err_set(
					err, EPERM,
					"%s is a shipped policy; only your own can be deleted",
					o->args[0]);
		}
		return err_set(err, ENOENT, "you have no policy %s", o->args[0]);
	}
	r = confirm(options_has(o, POLICY_YES), err, "Delete %s/policies/%s?", path, file);
	if (r < 0)
		return r;
	return unlinkat(dir, file, 0) < 0 ? err_sys(err, errno, "cannot delete %s", file) : 0;
}
