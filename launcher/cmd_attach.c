/* attach and detach: a process that runs already, put under supervision and let go again. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/config.h"
#include "launcher/control.h"
#include "launcher/exit.h"
#include "launcher/kept.h"
#include "launcher/log.h"
#include "launcher/policy_flags.h"
#include "launcher/run.h"
#include "launcher/session.h"
#include "launcher/state.h"
#include "launcher/term.h"
#include "launcher/unboxed.h"
#include "launcher/verb.h"
#include "sandbox/attachable.h"
#include "sandbox/proc.h"

enum {
	ATTACH_POLICY,
	ATTACH_NAME,
	ATTACH_MODE,
	ATTACH_ALLOW,
	ATTACH_BLOCK,
	ATTACH_ALLOW_HOSTS,
	ATTACH_BLOCK_HOSTS,
	ATTACH_MAX_RISK,
	ATTACH_NET,
	ATTACH_CUT,
	ATTACH_FOREGROUND,
	ATTACH_QUIET,
	ATTACH_VERBOSE,
	ATTACH_JSON,
};

const struct option_spec attach_options[] = {
	[ATTACH_POLICY] = { "policy", 'p', "NAME|FILE", "the policy (default dev)" },
	[ATTACH_NAME] = { "name", 0, "AGENT",
			  "whose baseline to use (default: the program's name)" },
	[ATTACH_MODE] = { "mode", 0, "MODE", "observe or alert: what a risky action meets" },
	[ATTACH_ALLOW] = { "allow", 0, "PATTERN", "allow a path as well; repeatable" },
	[ATTACH_BLOCK] = { "block", 0, "PATTERN", "block a path; always wins; repeatable" },
	[ATTACH_ALLOW_HOSTS] = { "allow-hosts", 0, "HOST", "allow a host as well; repeatable" },
	[ATTACH_BLOCK_HOSTS] = { "block-hosts", 0, "HOST",
				 "block a host; always wins; repeatable" },
	[ATTACH_MAX_RISK] = { "max-risk", 0, "0..1", "block what scores above" },
	[ATTACH_NET] = { "net", 0, "none|allowlist|host", "which new connections are allowed" },
	[ATTACH_CUT] = { "cut-connections", 0, NULL, "shut down the TCP connections it has" },
	[ATTACH_FOREGROUND] = { "foreground", 0, NULL, "stay, and print what is denied" },
	[ATTACH_QUIET] = { "quiet", 'q', NULL, "only errors on stderr" },
	[ATTACH_VERBOSE] = { "verbose", 'v', NULL, "more on stderr" },
	[ATTACH_JSON] = { "json", 0, NULL, "start, denials and end as JSON lines on stderr" },
	{ NULL },
};

enum { ARGV_SIZE = 65536, ARGV_MAX = 4096, DETACH_PATIENCE_MS = 5000 };

/* What is to be known of the process that was named. */
struct target {
	pid_t pid;
	char argv_text[ARGV_SIZE];
	char *argv[ARGV_MAX + 1];
	char environ[ARGV_SIZE];
	const char *home; /* its own; NULL it has none */
};

static int read_target(const char *text, struct target *t, char cwd[static 4096], struct err *err)
{
	char path[32], *end;
	long pid = strtol(text, &end, 10);
	if (*end || end == text || pid <= 0 || pid > INT32_MAX)
		return err_set(err, EINVAL, "'%.40s' is no process number", text);
	t->pid = (pid_t)pid;
	snprintf(path, sizeof(path), "/proc/%d", t->pid);
	int r = attachable_check_all(t->pid, ATTACHABLE_RUNS, err);
	if (r < 0)
		return r;
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t len = proc_read(dir, "cmdline", t->argv_text, sizeof(t->argv_text));
	if (len <= 0 && (len = proc_read(dir, "comm", t->argv_text, sizeof(t->argv_text))) > 0)
		t->argv_text[strcspn(t->argv_text, "\n")] = '\0';
	unsigned count = 0;
	for (char *at = t->argv_text; at < t->argv_text + len && count < ARGV_MAX;
	     at += strlen(at) + 1)
		t->argv[count++] = at;
	if (!count)
		t->argv[count++] = "";
	t->argv[count] = NULL;
	ssize_t n = readlinkat(dir, "cwd", cwd, 4095);
	if (n < 0)
		return err_sys(err, errno, "the directory of process %d cannot be seen", t->pid);
	cwd[n] = '\0';
	len = proc_read(dir, "environ", t->environ, sizeof(t->environ));
	for (char *at = t->environ; len > 0 && at < t->environ + len; at += strlen(at) + 1)
		if (!strncmp(at, "HOME=/", 6))
			t->home = at + 5;
	return 0;
}

static int load_policy(struct run *run, const struct target *t, const struct options *o,
		       struct err *err)
{
	const char *name = options_value(o, ATTACH_POLICY);
	struct config config;
	int r = config_load(&config, err);
	if (r < 0)
		return r;
	memcpy(run->notify, config.notify_command, sizeof(run->notify));
	struct policy_env env = {
		.home = t->home ? t->home : state_home(),
		.workspace = run->cwd,
		.tmpdir = "/tmp",
		.dirs = state_policy_dirs(),
	};
	r = policy_load(name ? name : "dev", &env, &run->policy, err);
	if (r == 0)
		r = kept_load(run->policy, err);
	run->policy_flags = json_object_new_array();
	if (r == 0)
		r = policy_flags_say(run->policy, o, run->policy_flags, err);
	if (r == 0)
		r = unboxed_policy(run->policy, err);
	if (r < 0)
		return r;
	run->net = NET_HOST; /* as carried out: the verdicts are the policy's */
	return 0;
}

/* The verb's side of a gateway that goes into the background: 0 once it enforces. */
static int await(pid_t gateway, int fd, bool json)
{
	char id[SESSION_ID_SIZE] = "";
	ssize_t n;
	do
		n = read(fd, id, sizeof(id) - 1);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		if (json)
			printf("{\"schema_version\":1,\"session\":\"%s\"}\n", id);
		else
			puts(id);
		return out_finish();
	}
	int status;
	if (waitpid(gateway, &status, 0) != gateway || !WIFEXITED(status) || !WEXITSTATUS(status))
		return EXIT_USAGE;
	return WEXITSTATUS(status);
}

static int supervise(struct run *run, const struct options *o)
{
	static char *no_env[] = { NULL };
	pid_t skip[] = { getpid(), 0, 0 };
	struct attach_plan attach = {
		.pid = run->attach->pid,
		.skip = skip,
		.flags = options_has(o, ATTACH_CUT) ? ATTACH_CUT_CONNECTIONS : ATTACH_NONE,
	};
	run->attach = &attach;
	run->env_set = no_env;
	if (options_has(o, ATTACH_FOREGROUND))
		return gateway_run(run);
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0) {
		log_error("attach: %s", strerrordesc_np(errno));
		return EXIT_USAGE;
	}
	pid_t gateway = fork();
	if (gateway == 0) {
		close(pair[0]);
		setsid();
		skip[1] = getpid();
		run->ready_fd = pair[1];
		return gateway_run(run);
	}
	close(pair[1]);
	if (gateway < 0) {
		log_error("attach: %s", strerrordesc_np(errno));
		close(pair[0]);
		return EXIT_USAGE;
	}
	int code = await(gateway, pair[0], options_has(o, ATTACH_JSON));
	close(pair[0]);
	return code;
}

int cmd_attach(const struct options *o)
{
	struct target *t = calloc(1, sizeof(*t));
	struct run run = { .agents_dirfd = -1, .status_fd = -1, .ready_fd = -1 };
	struct attach_plan attach = { 0 };
	struct err err = { "" };
	int code = EXIT_USAGE;
	if (options_has(o, ATTACH_QUIET))
		log_set_level(LOG_QUIET);
	else if (options_has(o, ATTACH_VERBOSE))
		log_set_level(LOG_VERBOSE);
	int r = t ? options_want_args(o, 1, 1, &err) : err_set(&err, ENOMEM, "out of memory");
	if (r == 0)
		r = read_target(o->args[0], t, run.cwd, &err);
	if (r == 0) {
		attach.pid = t->pid;
		run.attach = &attach;
		run.argv = t->argv;
		run.read_events = true;
		run.json = options_has(o, ATTACH_JSON);
		run.approve = APPROVE_WEB; /* from another terminal: this one is given back */
		run.approval_ms = APPROVAL_SECONDS * 1000;
		r = run_agent_name(&run, options_value(o, ATTACH_NAME), &err);
	}
	if (r == 0)
		r = load_policy(&run, t, o, &err);
	if (r == 0) {
		run.history = history_new();
		if (!run.history)
			r = err_set(&err, ENOMEM, "out of memory");
	}
	if (r < 0)
		log_error("%s", err.text);
	else
		code = supervise(&run, o);
	history_free(run.history);
	policy_free(run.policy);
	json_object_put(run.policy_flags);
	scope_close(&run.agents_dirfd);
	free(t);
	return code;
}

int cmd_detach(const struct options *o)
{
	struct session s;
	struct err err;
	int r = options_want_args(o, 1, 1, &err);
	if (r == 0)
		r = session_find(o->args[0], &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int64_t pid = session_number(&s, "attached_pid");
	if (s.state != SESSION_RUNNING)
		r = err_set(&err, ESRCH, "session %s is not running", s.id);
	else /* not by a signal, which the process itself might send */
		r = control_call(&s, "detach", NULL, DETACH_PATIENCE_MS, NULL, &err);
	if (r < 0)
		log_error("%s", err.text);
	else
		log_info("pid %lld goes on, and nothing it does is decided or logged any more. Its "
			 "filter and no_new_privs cannot be taken out: the monitor stays and lets "
			 "every call through",
			 (long long)pid);
	session_close(&s);
	return r < 0 ? EXIT_USAGE : 0;
}
