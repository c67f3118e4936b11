#include "launcher/oci/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/config.h"
#include "launcher/exit.h"
#include "launcher/jsonfile.h"
#include "launcher/log.h"
#include "launcher/oci/guest.h"
#include "launcher/run.h"
#include "launcher/state.h"
#include "launcher/unboxed.h"
#include "sandbox/slate.h"

enum { CONFIG_MAX = 16 << 20, ARGS_MAX = 1024 };

/* What the bundle says of the process: for the session's record, and where the policy's names point to. */
struct bundle {
	struct json_object *config; /* owned; NULL it cannot be read */
	char *args[ARGS_MAX + 1];   /* borrowed from it */
	const char *home;
};

/*
 * As its user, who names it: root would open a device that a link leads to, and show what of others' containers
 * the user may not read.
 */
static struct json_object *open_config(const struct oci_guest *g)
{
	struct err err;
	uid_t self = geteuid();
	if (self == 0)
		setfsuid(g->uid);
	cleanup_fd int dir = open(g->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct json_object *config =
		dir < 0 ? NULL : jsonfile_open(dir, "config.json", CONFIG_MAX, &err);
	setfsuid(self);
	return config;
}

static void read_bundle(const struct oci_guest *g, struct bundle *b, char cwd[static 4096])
{
	static char unknown[] = "container";
	struct json_object *process = NULL, *v;
	snprintf(cwd, 4096, "/");
	b->home = "/root";
	b->args[0] = unknown;
	if (*g->bundle)
		b->config = open_config(g);
	if (!b->config || !json_object_object_get_ex(b->config, "process", &process))
		return;
	const char *dir = json_object_get_string(json_object_object_get(process, "cwd"));
	if (dir && *dir == '/')
		snprintf(cwd, 4096, "%s", dir);
	size_t n = json_object_object_get_ex(process, "args", &v) &&
				   json_object_is_type(v, json_type_array)
			   ? json_object_array_length(v)
			   : 0;
	for (size_t i = 0; i < n && i < ARGS_MAX; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(v, i));
		if (!word)
			break;
		b->args[i] = (char *)(uintptr_t)word; /* argv has the historical prototype */
	}
	n = json_object_object_get_ex(process, "env", &v) && json_object_is_type(v, json_type_array)
		    ? json_object_array_length(v)
		    : 0;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(v, i));
		if (text && !strncmp(text, "HOME=/", 6))
			b->home = text + 5;
	}
}

static int load_policy(struct run *run, const char *name, const char *home, struct err *err)
{
	struct config config;
	int r = config_load(&config, err);
	if (r < 0)
		return r;
	memcpy(run->notify, config.notify_command, sizeof(run->notify));
	const struct policy_env env = {
		.home = home,
		.workspace = run->cwd,
		.tmpdir = "/tmp",
		.dirs = state_policy_dirs(),
	};
	r = policy_load(name, &env, &run->policy, err);
	return r < 0 ? r : unboxed_policy(run->policy, err);
}

/* The session that served the container before its agent was started anew, "" none. */
static void read_predecessor(const struct oci_guest *g, char ret[static SLATE_SESSION_SIZE])
{
	struct err err;
	struct slate *slate = slate_open(g->slate_fd, &err);
	ret[0] = '\0'; /* the monitor opens it again, and says what is wrong with it */
	if (slate)
		slate_signed(slate, ret);
	slate_close(slate);
}

int oci_worker_run(const struct oci_guest *g, const struct container_plan *container)
{
	static char *no_env[] = { NULL };
	pid_t skip[] = { 0 };
	char before[SLATE_SESSION_SIZE];
	struct bundle bundle = { 0 };
	struct err err = { "" };
	struct run run = { .agents_dirfd = -1, .status_fd = -1, .ready_fd = -1 };
	const struct attach_plan attach = { .pid = g->init, .skip = skip, .container = container };
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	read_bundle(g, &bundle, run.cwd);
	read_predecessor(g, before);
	run.after = *before ? before : NULL;
	run.attach = &attach;
	run.container = g->id;
	run.argv = bundle.args;
	run.env_set = no_env;
	run.net = NET_HOST; /* as carried out: the container's own; the verdicts are the policy's */
	run.read_events = true;
	run.approve = APPROVE_WEB;
	run.approval_ms = APPROVAL_SECONDS * 1000;
	int r = run_agent_name(&run, NULL, &err);
	if (r == 0)
		r = load_policy(&run, g->policy, bundle.home, &err);
	if (r == 0 && !(run.history = history_new()))
		r = err_set(&err, ENOMEM, "out of memory");
	int code = EXIT_USAGE;
	if (r < 0)
		log_error("container %s: %s", g->id, err.text);
	else
		code = gateway_run(&run);
	history_free(run.history);
	policy_free(run.policy);
	scope_close(&run.agents_dirfd);
	json_object_put(bundle.config);
	return code;
}
