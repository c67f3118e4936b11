/* oci: containers of other runtimes. The words after the verb, each a function in one table. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/nearest.h"
#include "base/scope.h"
#include "launcher/exit.h"
#include "launcher/jsonfile.h"
#include "launcher/log.h"
#include "launcher/oci/agent.h"
#include "launcher/oci/hook.h"
#include "launcher/oci/patch.h"
#include "launcher/oci/runtime.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum {
	OCI_POLICY,
	OCI_SOCKET,
	OCI_RUNTIME,
	OCI_CHECK,
	OCI_STDOUT,
	OCI_IN_PLACE,
	OCI_REGISTER,
	OCI_LISTEN,
	OCI_DEFAULT_POLICY,
	OCI_ALLOW_UID,
	OCI_REQUIRE_REGISTRATION,
	OCI_QUIET,
	OCI_VERBOSE,
};
const struct option_spec oci_options[] = {
	[OCI_POLICY] = { "policy", 'p', "NAME", "patch, hook precreate: the container's policy" },
	[OCI_SOCKET] = { "socket", 0, "PATH",
			 "patch, hook: the agent's (default /run/vsandbox/seccomp.sock)" },
	[OCI_RUNTIME] = { "runtime", 0, "runc|crun", "patch, hook precreate: who will read it" },
	[OCI_CHECK] = { "check", 0, NULL, "patch: say whether it could be, and change nothing" },
	[OCI_STDOUT] = { "stdout", 0, NULL, "patch: print the result (the default)" },
	[OCI_IN_PLACE] = { "in-place", 0, NULL, "patch: replace the file" },
	[OCI_REGISTER] = { "register", 0, NULL,
			   "patch: with hooks that tell the agent beforehand" },
	[OCI_LISTEN] = { "listen", 0, "PATH", "agent: the socket to listen on" },
	[OCI_DEFAULT_POLICY] = { "default-policy", 0, "NAME",
				 "agent: for containers that name none (default: refuse them)" },
	[OCI_ALLOW_UID] = { "allow-uid", 0, "UID",
			    "agent: who else may send, with the default policy; repeatable" },
	[OCI_REQUIRE_REGISTRATION] = { "require-registration", 0, NULL,
				       "agent: only what a createRuntime hook has told of" },
	[OCI_QUIET] = { "quiet", 'q', NULL, "only errors on stderr" },
	[OCI_VERBOSE] = { "verbose", 'v', NULL, "more on stderr" },
	{ NULL },
};

enum { CONFIG_MAX = 16 << 20 };

static struct oci_patch patch_of(const struct options *o)
{
	const char *socket = options_value(o, OCI_SOCKET);
	return (struct oci_patch){
		.policy = options_value(o, OCI_POLICY),
		.socket = socket ? socket : oci_default_socket,
		.runtime = options_value(o, OCI_RUNTIME),
		.flags = options_has(o, OCI_REGISTER) ? OCI_PATCH_REGISTER : OCI_PATCH_NONE,
	};
}

static int patch_file(const struct options *o, const struct oci_patch *p, const char *path,
		      struct err *err)
{
	struct json_object *config = jsonfile_open(AT_FDCWD, path, CONFIG_MAX, err);
	if (!config)
		return -EBADMSG;
	int r = oci_patch_config(config, p, err);
	if (r >= 0 && options_has(o, OCI_CHECK)) {
		log_info("%s: %s", path,
			 r == OCI_PATCH_ALREADY ? "it asks the agent" : "it can be patched");
		r = 0;
	} else if (r >= 0 && options_has(o, OCI_IN_PLACE)) {
		r = r == OCI_PATCH_ALREADY ? 0 : jsonfile_replace(path, config, err);
	} else if (r >= 0) {
		puts(json_object_to_json_string_ext(
			config, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
		r = out_finish();
	}
	json_object_put(config);
	return r;
}

static int oci_patch_word(const struct options *o, struct err *err)
{
	char self[4096];
	struct oci_patch p = patch_of(o);
	int ways = options_has(o, OCI_CHECK) + options_has(o, OCI_STDOUT) +
		   options_has(o, OCI_IN_PLACE);
	int r = options_want_args(o, 1, 1, err);
	if (r < 0)
		return r;
	if (ways > 1)
		return err_set(err, EINVAL, "one of --check, --stdout and --in-place");
	if (!p.runtime)
		return err_set(err, EINVAL, "--runtime says who will read the configuration");
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	p.program = self;
	return patch_file(o, &p, o->args[0], err);
}

static int oci_hook_word(const struct options *o, struct err *err)
{
	const struct oci_patch p = patch_of(o);
	int r = options_want_args(o, 1, 1, err);
	if (r < 0)
		return r;
	if (!strcmp(o->args[0], "precreate"))
		return oci_hook_precreate(&p, err);
	if (!strcmp(o->args[0], "createRuntime") || !strcmp(o->args[0], "poststop"))
		return oci_hook_tell(o->args[0], p.socket, err);
	return err_set(err, EINVAL, "'%.40s' is no hook: precreate, createRuntime, poststop",
		       o->args[0]);
}

static int oci_agent_word(const struct options *o, struct err *err)
{
	struct oci_agent_options a = {
		.listen = options_value(o, OCI_LISTEN),
		.default_policy = options_value(o, OCI_DEFAULT_POLICY),
		.flags = options_has(o, OCI_REQUIRE_REGISTRATION) ? OCI_AGENT_REGISTERED
								  : OCI_AGENT_NONE,
	};
	int r = options_want_args(o, 0, 0, err);
	for (unsigned i = 0; r == 0 && i < o->count; i++) {
		if (o->given[i].id != OCI_ALLOW_UID)
			continue;
		char *end;
		errno = 0;
		unsigned long uid = strtoul(o->given[i].value, &end, 10);
		if (*o->given[i].value < '0' || *o->given[i].value > '9' || *end || errno ||
		    uid >= UINT32_MAX || a.uid_count == OCI_AGENT_UIDS)
			r = err_set(err, EINVAL, "--allow-uid '%.40s' is no user number",
				    o->given[i].value);
		else
			a.uids[a.uid_count++] = (uid_t)uid;
	}
	return r < 0 ? r : oci_agent_run(&a);
}

static const struct {
	const char *name;
	/* The exit code, or -errno with the reason. */
	int (*run)(const struct options *o, struct err *err);
} words[] = {
	{ "patch", oci_patch_word },
	{ "agent", oci_agent_word },
	{ "hook", oci_hook_word },
	{ NULL, NULL },
};

static int unknown_word(const char *word, struct err *err)
{
	const char *near = nearest_word(word, &words->name, sizeof(*words));
	if (!*word)
		return err_set(err, EINVAL, "patch, agent, hook or runtime?");
	return err_set(err, EINVAL, "there is no 'oci %.40s'%s%s%s", word,
		       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

int cmd_oci(const struct options *o)
{
	static struct options rest; /* large */
	struct err err = { "" };
	if (options_has(o, OCI_QUIET))
		log_set_level(LOG_QUIET);
	/* everything after it is the runtime's */
	if (o->arg_count && !strcmp(o->args[0], "runtime"))
		return oci_runtime_main(o->args);
	int r = options_parse_after_word(o, &rest, &err);
	if (r == OPTIONS_HELP) {
		help_print(verb_find("oci"));
		return 0;
	}
	if (options_has(&rest, OCI_QUIET))
		log_set_level(LOG_QUIET);
	else if (options_has(&rest, OCI_VERBOSE))
		log_set_level(LOG_VERBOSE);
	const char *word = o->arg_count ? o->args[0] : "";
	size_t i = 0;
	while (words[i].name && strcmp(word, words[i].name) != 0)
		i++;
	if (r == 0)
		r = words[i].name ? words[i].run(&rest, &err) : unknown_word(word, &err);
	if (r < 0)
		log_error("oci: %s", err.text);
	return r < 0 ? EXIT_USAGE : r;
}
