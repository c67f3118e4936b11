/* ci: jobs of CI systems in a sandbox, under the contracts of their runners. */
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "launcher/ci/ci.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/verb.h"

const struct option_spec ci_options[] = {
	[CI_BUILDS_DIR] = { "builds-dir", 0, "DIR", "gitlab config: where jobs are checked out" },
	[CI_CACHE_DIR] = { "cache-dir", 0, "DIR", "gitlab config: where the runner keeps caches" },
	[CI_REPORT_DIR] = { "report-dir", 0, "DIR",
			    "write each job's report here: text, JUnit, SARIF" },
	[CI_FORMAT] = { "format", 0, "text|junit|sarif", "report: how (default text)" },
	[CI_IMAGES_DIR] = { "images-dir", 0, "DIR",
			    "github: images that jobs may name, one file or directory each" },
	[CI_POLICY] = { "policy", 'p', "NAME|FILE", "the policy (default ci)" },
	{ "allow", 0, "PATTERN", "allow a path as well; repeatable" },
	{ "block", 0, "PATTERN", "block a path; always wins; repeatable" },
	{ "allow-hosts", 0, "HOST", "allow a host as well; repeatable" },
	{ "block-hosts", 0, "HOST", "block a host; always wins; repeatable" },
	{ "net", 0, "none|allowlist|host", "the network inside" },
	{ "resolver", 0, "ADDR[:PORT]", "ask this name server instead of the host's; repeatable" },
	{ "workspace", 0, "overlay|direct|read-only", "how the current directory is shown" },
	{ "direct", 0, "DIR", "make changes below this directory real at once; repeatable" },
	{ "rootfs", 0, "DIR|IMAGE",
	  "run in this tree, tarball, OCI layout or docker-save archive" },
	{ "mem", 0, "SIZE", "memory limit: 512M, 2G" },
	{ "cpu", 0, "N", "CPU limit, in processors: 1.5" },
	{ "pids", 0, "N", "limit of processes and threads" },
	{ "timeout", 0, "SECONDS", "end the job after that time" },
	{ "allow-degraded", 0, "LAYER", "run although this layer is missing; repeatable" },
	{ NULL },
};

static const struct {
	const char *name;
	int (*run)(const struct options *o);
} contracts[] = {
	{ "shell", ci_shell },   { "gitlab", ci_gitlab }, { "github", ci_github },
	{ "report", ci_report }, { NULL, NULL },
};

int ci_run_words(const struct options *o, char names[][OPTION_WORD_SIZE], char **words, int room)
{
	static char policy[] = "--policy", ci[] = "ci";
	int n = 0;
	words[n++] = policy;
	words[n++] = ci;
	int more = options_words(o, CI_FIRST_OF_RUN, names, words + n, room - n);
	return more < 0 ? more : n + more;
}

/*
 * A job's variables may stand in our environment, and no job chooses its policy: only the command line counts.
 * Leaves @o with what that gave.
 */
static int forget_environment(struct options *o, struct err *err)
{
	static char *none[] = { NULL };
	static struct options from_environment;
	int r = options_parse(ci_options, none, &from_environment, err);
	if (r < 0)
		return r;
	o->count -= from_environment.count;
	memmove(o->given, o->given + from_environment.count, o->count * sizeof(o->given[0]));
	for (const struct option_spec *s = run_options; s->name; s++) {
		char name[64];
		options_variable(s, name, sizeof(name));
		unsetenv(name);
	}
	for (const struct option_spec *s = ci_options; s->name; s++) {
		char name[64];
		options_variable(s, name, sizeof(name));
		unsetenv(name);
	}
	return 0;
}

int cmd_ci(const struct options *given)
{
	static struct options own, rest;
	struct err err;
	const char *name = given->arg_count ? given->args[0] : "";
	own = *given;
	int r = forget_environment(&own, &err);
	for (size_t i = 0; r == 0 && contracts[i].name; i++) {
		if (strcmp(contracts[i].name, name) != 0)
			continue;
		r = options_parse_after_word(&own, &rest, &err);
		if (r == 0)
			return contracts[i].run(&rest);
		if (r == OPTIONS_HELP) {
			help_print(verb_find("ci"));
			return 0;
		}
	}
	const char *near = nearest_word(name, &contracts[0].name, sizeof(contracts[0]));
	if (r < 0)
		log_error("ci: %s (vsandbox help ci)", err.text);
	else
		log_error("ci: shell, gitlab, github or report%s%s (vsandbox help ci)",
			  near ? "; did you mean " : "", near ? near : "");
	return EXIT_USAGE;
}
