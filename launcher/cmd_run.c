/* run: flags and policy made into a struct run; nothing is started before all of it is valid. */
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/choice.h"
#include "launcher/config.h"
#include "launcher/dump.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/netplan.h"
#include "launcher/policy_flags.h"
#include "launcher/program.h"
#include "launcher/run.h"
#include "launcher/state.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum {
	RUN_POLICY,
	RUN_NAME,
	RUN_MODE,
	RUN_ALLOW,
	RUN_BLOCK,
	RUN_ALLOW_HOSTS,
	RUN_BLOCK_HOSTS,
	RUN_MAX_RISK,
	RUN_NO_FS,
	RUN_NO_NET,
	RUN_NO_PROC,
	RUN_NO_CPU,
	RUN_NO_MEM,
	RUN_NO_DB,
	RUN_ON_EXIT,
	RUN_WORKSPACE,
	RUN_NET,
	RUN_ENV,
	RUN_CLEAN_ENV,
	RUN_MEM,
	RUN_CPU,
	RUN_PIDS,
	RUN_TIMEOUT,
	RUN_APPROVE,
	RUN_STATUS_FD,
	RUN_DRY_RUN,
	RUN_ALLOW_DEGRADED,
	RUN_NO_READ_EVENTS,
	RUN_ALLOW_PTRACE,
	RUN_NO_PROJECT,
	RUN_QUIET,
	RUN_VERBOSE,
	RUN_JSON,
	RUN_NO_SNAPSHOT,
	RUN_ROOTFS,
	RUN_HOST_PORT,
	RUN_PUBLISH,
	RUN_ALLOW_UNIX,
	RUN_RESOLVER,
	RUN_APPROVAL_TIMEOUT,
	RUN_NO_REPORT,
	RUN_DIRECT,
};

enum { APPROVAL_SECONDS_MAX = 7 * 24 * 3600 };

const struct option_spec run_options[] = {
	[RUN_POLICY] = { "policy", 'p', "NAME|FILE", "the policy (default dev)" },
	[RUN_NAME] = { "name", 0, "AGENT", "whose baseline to use (default: the command's name)" },
	[RUN_MODE] = { "mode", 0, "MODE",
		       "observe, alert, pause or rollback: what a risky action meets" },
	[RUN_ALLOW] = { "allow", 0, "PATTERN", "allow a path as well; repeatable" },
	[RUN_BLOCK] = { "block", 0, "PATTERN", "block a path; always wins; repeatable" },
	[RUN_ALLOW_HOSTS] = { "allow-hosts", 0, "HOST", "allow a host as well; repeatable" },
	[RUN_BLOCK_HOSTS] = { "block-hosts", 0, "HOST", "block a host; always wins; repeatable" },
	[RUN_MAX_RISK] = { "max-risk", 0, "0..1", "block what scores above" },
	[RUN_NO_FS] = { "no-fs", 0, NULL, "do not report or score file actions; still enforced" },
	[RUN_NO_NET] = { "no-net", 0, NULL,
			 "do not report or score network actions; still enforced" },
	[RUN_NO_PROC] = { "no-proc", 0, NULL,
			  "do not report or score program starts; still enforced" },
	[RUN_NO_CPU] = { "no-cpu", 0, NULL, "no alert on CPU use; limits still hold" },
	[RUN_NO_MEM] = { "no-mem", 0, NULL, "no alert on memory use; limits still hold" },
	[RUN_NO_DB] = { "no-db", 0, NULL,
			"do not report or score database actions; still enforced" },
	[RUN_ON_EXIT] = { "on-exit", 0, "keep|commit|discard|ask",
			  "what happens to the changes at the end" },
	[RUN_WORKSPACE] = { "workspace", 0, "overlay|direct|read-only",
			    "how the current directory is shown" },
	[RUN_NET] = { "net", 0, "none|allowlist|host", "the network inside" },
	[RUN_ENV] = { "env", 0, "K[=V]", "set a variable, or pass it on; repeatable" },
	[RUN_CLEAN_ENV] = { "clean-env", 0, NULL,
			    "pass only PATH, HOME, TERM, the locale and the like" },
	[RUN_MEM] = { "mem", 0, "SIZE", "memory limit: 512M, 2G" },
	[RUN_CPU] = { "cpu", 0, "N", "CPU limit, in processors: 1.5" },
	[RUN_PIDS] = { "pids", 0, "N", "limit of processes and threads" },
	[RUN_TIMEOUT] = { "timeout", 0, "SECONDS",
			  "end the run after that time, with exit code 124" },
	[RUN_APPROVE] = { "approve", 0, "tty|web|none",
			  "who answers held actions; none denies them at once (default tty)" },
	[RUN_STATUS_FD] = { "status-fd", 0, "N",
			    "write start and end as JSON lines to this descriptor" },
	[RUN_DRY_RUN] = { "dry-run", 0, NULL, "print the plan as JSON and start nothing" },
	[RUN_ALLOW_DEGRADED] = { "allow-degraded", 0, "LAYER",
				 "run although this layer is missing; repeatable" },
	[RUN_NO_READ_EVENTS] = { "no-read-events", 0, NULL,
				 "faster reads: not logged where the box alone enforces them" },
	[RUN_ALLOW_PTRACE] = { "allow-ptrace", 0, NULL, "let debuggers work inside" },
	[RUN_NO_PROJECT] = { "no-project", 0, NULL,
			     "leave the project's own policy out of account" },
	[RUN_QUIET] = { "quiet", 'q', NULL, "only errors on stderr" },
	[RUN_VERBOSE] = { "verbose", 'v', NULL, "more on stderr" },
	[RUN_JSON] = { "json", 0, NULL, "start, denials and end as JSON lines on stderr" },
	[RUN_NO_SNAPSHOT] = { "no-snapshot", 0, NULL,
			      "take no snapshot of the changes at the end" },
	[RUN_ROOTFS] = { "rootfs", 0, "DIR|IMAGE",
			 "run in this tree, tarball, OCI layout or docker-save archive" },
	[RUN_HOST_PORT] = { "host-port", 0, "P",
			    "let the sandbox reach port P of this host's loopback; repeatable" },
	[RUN_PUBLISH] = { "publish", 0, "P[:Q]",
			  "make port Q inside port P of this host's loopback; repeatable" },
	[RUN_ALLOW_UNIX] = { "allow-unix", 0, "PATH",
			     "let the sandbox connect to this socket of the host; repeatable" },
	[RUN_RESOLVER] = { "resolver", 0, "ADDR[:PORT]",
			   "ask this name server instead of the host's; repeatable" },
	[RUN_APPROVAL_TIMEOUT] = { "approval-timeout", 0, "SECONDS",
				   "how long a held action waits before it is denied (default "
				   "300)" },
	[RUN_NO_REPORT] = { "no-report", 0, NULL, "tell the control plane nothing of this run" },
	[RUN_DIRECT] = { "direct", 0, "DIR",
			 "make changes below this directory real at once; repeatable" },
	{ NULL },
};

static int apply_policy_flags(struct run *run, const struct options *o, struct err *err)
{
	run->policy_flags = json_object_new_array();
	int r = run->again ? policy_flags_repeat(run->policy, run->again, run->policy_flags, err)
			   : 0;
	if (r == 0)
		r = policy_flags_say(run->policy, o, run->policy_flags, err);
	if (r < 0)
		return r;
	struct policy_monitors *m = &run->policy->monitors;
	run->policy->snapshots &= !options_has(o, RUN_NO_SNAPSHOT);
	m->file_system &= !options_has(o, RUN_NO_FS);
	m->network &= !options_has(o, RUN_NO_NET);
	m->processes &= !options_has(o, RUN_NO_PROC);
	m->cpu &= !options_has(o, RUN_NO_CPU);
	m->memory &= !options_has(o, RUN_NO_MEM);
	m->database &= !options_has(o, RUN_NO_DB);
	return 0;
}

int run_agent_name(struct run *run, const char *given, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	const char *slash = strrchr(run->argv[0], '/');
	const char *name = given ? given : slash ? slash + 1 : run->argv[0];
	if (given && (strlen(name) >= AGENT_NAME_SIZE || !*name || *name == '.' || *name == '-' ||
		      strspn(name, allowed) != strlen(name)))
		return err_set(err, EINVAL,
			       "--name '%.80s': letters, digits and ._- only, at most %d", name,
			       AGENT_NAME_SIZE - 1);
	snprintf(run->agent, sizeof(run->agent), "%s", *name ? name : "agent");
	for (char *c = run->agent; *c; c++)
		if (!strchr(allowed, *c) || (c == run->agent && (*c == '.' || *c == '-')))
			*c = '_';
	return 0;
}

static int parse_layer(const char *name, uint32_t *bits, struct err *err)
{
	char known[256] = "";
	for (int i = 0; i < LAYER_COUNT; i++) {
		const char *layer = box_layer_name((enum box_layer)i);
		if (!strcmp(layer, name)) {
			*bits |= 1u << i;
			return 0;
		}
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
			 i ? ", " : "", layer);
	}
	return err_set(err, EINVAL, "--allow-degraded '%.40s': the layers are %s", name, known);
}

/* @usual: the configuration's word, where no flag says otherwise. */
static int parse_approval(struct run *run, const struct options *o, const char *usual,
			  struct err *err)
{
	static const char *const names[APPROVE_BY_COUNT] = {
		[APPROVE_TTY] = "tty", [APPROVE_WEB] = "web", [APPROVE_NONE] = "none"
	};
	const char *by = options_value(o, RUN_APPROVE);
	const char *seconds = options_value(o, RUN_APPROVAL_TIMEOUT);
	if (!by && *usual)
		by = usual;
	while (by && run->approve < APPROVE_BY_COUNT && strcmp(names[run->approve], by))
		run->approve++;
	if (run->approve == APPROVE_BY_COUNT)
		return err_set(err, EINVAL, "--approve '%.20s': tty, web or none", by);
	char *end = NULL;
	long n = seconds ? strtol(seconds, &end, 10) : APPROVAL_SECONDS;
	if (seconds && (*end || n < 1 || n > APPROVAL_SECONDS_MAX))
		return err_set(err, EINVAL, "--approval-timeout '%.20s': 1 to %d seconds", seconds,
			       APPROVAL_SECONDS_MAX);
	run->approval_ms = run->approve == APPROVE_NONE ? 0 : (unsigned)n * 1000;
	return 0;
}

/* An option's value; without it what the session that is entered again was started with. NULL: neither. */
static const char *given_or_kept(const struct run *run, const struct options *o, unsigned id,
				 const char *member)
{
	const char *value = options_value(o, id);
	const char *kept = run->again ? session_text(run->again, member) : "";
	return value || !*kept ? value : kept;
}

static int parse_own_flags(struct run *run, const struct options *o, struct err *err)
{
	const char *fd = options_value(o, RUN_STATUS_FD);
	struct config config;
	int r = config_load(&config, err);
	if (r < 0)
		return r;
	memcpy(run->notify, config.notify_command, sizeof(run->notify));
	r = parse_approval(run, o, config.approve, err);
	if (r < 0)
		return r;
	if (fd) {
		char *end;
		long n = strtol(fd, &end, 10);
		if (!*fd || *end || n < 0 || n > INT_MAX || fcntl((int)n, F_GETFD) < 0)
			return err_set(err, EINVAL, "--status-fd %.20s is not an open descriptor",
				       fd);
		run->status_fd = (int)n;
		fcntl(run->status_fd, F_SETFD, FD_CLOEXEC); /* it is ours, not the agent's */
	}
	for (unsigned i = 0; i < o->count; i++) {
		if (o->given[i].id == RUN_ALLOW_DEGRADED)
			r = parse_layer(o->given[i].value, &run->degraded_ok, err);
		else if (o->given[i].id == RUN_RESOLVER)
			r = netplan_add_resolver(run, o->given[i].value, err);
		if (r < 0)
			return r;
	}
	run->allow_ptrace = options_has(o, RUN_ALLOW_PTRACE);
	run->no_report = options_has(o, RUN_NO_REPORT);
	run->read_events = !options_has(o, RUN_NO_READ_EVENTS);
	run->json = options_has(o, RUN_JSON);
	run->dry_run = options_has(o, RUN_DRY_RUN);
	if (!getcwd(run->cwd, sizeof(run->cwd)))
		return err_sys(err, errno, "the current directory cannot be named");
	return run_agent_name(run, given_or_kept(run, o, RUN_NAME, "agent"), err);
}

/* The PATH that the command will be looked up in. */
static const char *path_of(const struct run *run)
{
	const char *path = NULL;
	for (char *const *e = run->env_set; *e; e++)
		if (strncmp(*e, "PATH=", 5) == 0)
			path = *e + 5;
	return path ? path : getenv("PATH");
}

/* The image before everything that depends on what is in it. */
static int open_image(struct run *run, const struct options *o, char *const *argv,
		      const char *const *env_set, struct err *err)
{
	const char *given = options_value(o, RUN_ROOTFS);
	int r = given ? image_open(given, &run->image, err) : 0;
	if (r < 0)
		return r;
	run->env_set = image_environment(&run->image, env_set);
	run->argv = image_argv(&run->image, argv);
	if (!run->argv)
		return err_set(err, EINVAL, "the image names no command; what is to be run?");
	if (!run->env_set)
		return err_set(err, ENOMEM, "out of memory");
	if (!argv[0] && run->image.config.working_dir)
		snprintf(run->start_dir, sizeof(run->start_dir), "%s",
			 run->image.config.working_dir);
	if (run->image.config.user)
		log_detail("the image asks for user %s; the command runs as you",
			   run->image.config.user);
	return 0;
}

static void tell_project(const struct choice_result *chosen)
{
	if (chosen->project == CHOICE_CHANGED)
		log_warn(
			"%s was trusted and has been changed since: it may only tighten the policy "
			"until vsandbox policy trust says otherwise",
			chosen->project_file);
	else if (chosen->project == CHOICE_TIGHTENED && isatty(STDERR_FILENO))
		log_info("%s tightens the policy %s", chosen->project_file, chosen->policy->name);
	else if (chosen->project == CHOICE_TIGHTENED)
		log_detail("%s tightens the policy %s", chosen->project_file, chosen->policy->name);
	else if (chosen->project == CHOICE_TRUSTED)
		log_detail("%s is trusted and is the policy", chosen->project_file);
}

/* The policy's file may say other than it did: whoever enters again says then what he wants. */
static int check_again(const struct run *run, const struct options *o, struct err *err)
{
	const char *mode = session_text(run->again, "mode"), *net = session_text(run->again, "net");
	if (!options_has(o, RUN_MODE) && strcmp(mode, policy_mode_name(run->policy->mode)) != 0)
		return err_set(err, EINVAL, "session %s ran in mode %s: give --mode",
			       run->again->id, mode);
	if (!options_has(o, RUN_NET) && strcmp(net, policy_net_name(run->net)) != 0)
		return err_set(err, EINVAL, "session %s had the network %s: give --net",
			       run->again->id, net);
	return 0;
}

static int load_policy(struct run *run, const struct options *o, struct err *err)
{
	const struct choice choice = {
		.policy = given_or_kept(run, o, RUN_POLICY, "policy_file"),
		.agent = given_or_kept(run, o, RUN_NAME, "agent"),
		.no_project = options_has(o, RUN_NO_PROJECT),
		.cwd = run->cwd,
	};
	struct choice_result chosen;
	int r = choice_load(&choice, &chosen, err);
	run->policy = chosen.policy;
	if (r < 0)
		return r;
	tell_project(&chosen);
	r = apply_policy_flags(run, o, err);
	if (r == 0)
		r = choice_narrow(&chosen, err);
	policy_free(chosen.narrowing);
	/* Whatever narrows, the program that was asked for may start. */
	for (struct policy *p = run->policy; r == 0 && p; p = p->also)
		r = program_allow(p, run->argv[0], run->image.root, path_of(run), err);
	if (r < 0)
		return r;
	run->net = run->policy->net;
	return run->again ? check_again(run, o, err) : 0;
}

static void print_plan(const struct run *run)
{
	fputs("{\"schema_version\":1", stdout);
	json_member(stdout, false, "agent", run->agent);
	json_member(stdout, false, "cwd", run->start_dir[0] ? run->start_dir : run->cwd);
	json_member(stdout, false, "rootfs", run->image.root[0] ? run->image.root : NULL);
	fputs(",\"argv\":[", stdout);
	for (char *const *arg = run->argv; *arg; arg++) {
		fputs(arg == run->argv ? "" : ",", stdout);
		json_text(stdout, *arg);
	}
	fputs("]", stdout);
	json_member(stdout, false, "net", policy_net_name(run->net));
	printf(",\"read_events\":%s,\"allow_ptrace\":%s,\"allow_degraded\":[",
	       run->read_events ? "true" : "false", run->allow_ptrace ? "true" : "false");
	const char *comma = "";
	for (int i = 0; i < LAYER_COUNT; i++) {
		if (!(run->degraded_ok & 1u << i))
			continue;
		printf("%s\"%s\"", comma, box_layer_name((enum box_layer)i));
		comma = ",";
	}
	fputs("],\"policy\":", stdout);
	dump_policy(stdout, run->policy);
	fputs("}\n", stdout);
}

static int prepare(struct run *run, const struct options *o, char *const *argv, struct err *err)
{
	const char *env_set[OPTIONS_GIVEN_MAX + 1];
	unsigned count = 0;
	for (unsigned i = 0; i < o->count; i++)
		if (o->given[i].id == RUN_ENV)
			env_set[count++] = o->given[i].value;
	env_set[count] = NULL;
	int r = open_image(run, o, argv, env_set, err);
	if (r == 0)
		r = parse_own_flags(run, o, err);
	if (r == 0)
		r = load_policy(run, o, err);
	if (r < 0)
		return r;
	/* Tried once before a session exists, so that a bad --env leaves nothing behind. */
	char **envp;
	r = run_environment(environ, run->clean_env, run->env_set, "", &envp, err);
	if (r < 0)
		return r;
	run_environment_free(envp);
	run->history = history_new();
	return run->history ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int run_in(const struct options *o, char *const *argv, struct session *again,
		  char session[static SESSION_ID_SIZE])
{
	/* most of its room for paths is never used, and so takes no memory */
	cleanup_free struct run *run = calloc(1, sizeof(*run));
	struct err err = { "" };
	int code = EXIT_USAGE;
	session[0] = '\0';
	if (!run) {
		log_error("out of memory");
		return code;
	}
	run->again = again;
	run->agents_dirfd = run->status_fd = run->ready_fd = -1;
	run->clean_env = options_has(o, RUN_CLEAN_ENV);
	if (options_has(o, RUN_QUIET))
		log_set_level(LOG_QUIET);
	else if (options_has(o, RUN_VERBOSE))
		log_set_level(LOG_VERBOSE);
	if (prepare(run, o, argv, &err) < 0) {
		log_error("%s", err.text);
	} else if (run->dry_run) {
		print_plan(run);
		code = out_finish();
	} else {
		code = gateway_run(run);
		memcpy(session, run->session, sizeof(run->session));
	}
	history_free(run->history);
	policy_free(run->policy);
	json_object_put(run->policy_flags);
	image_environment_free(run->env_set);
	free(run->argv);
	image_close(&run->image);
	scope_close(&run->agents_dirfd);
	return code;
}

int run_command(const struct options *o, char *const *argv, char session[static SESSION_ID_SIZE])
{
	return run_in(o, argv, NULL, session);
}

int run_again(const struct options *o, char *const *argv, struct session *again)
{
	char session[SESSION_ID_SIZE];
	return run_in(o, argv, again, session);
}

int cmd_run(const struct options *o)
{
	char session[SESSION_ID_SIZE];
	if (o->arg_count || options_value(o, RUN_ROOTFS))
		return run_command(o, o->args, session);
	log_error("what is to be run? vsandbox run [OPTION…] [--] COMMAND [ARG…]");
	return EXIT_USAGE;
}
