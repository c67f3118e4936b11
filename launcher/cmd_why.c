/*
 * why: the decision, the rule with file:line, the five dimensions, the fix.
 * Of an event it tells what was decided then; of an action to come it asks the
 * same evaluator that the monitor asks.
 */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/choice.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/explain.h"
#include "launcher/log.h"
#include "launcher/replay.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "scoring/judge.h"
#include "scoring/sql.h"

enum {
	WHY_EVENT,
	WHY_PATH,
	WHY_OP,
	WHY_HOST,
	WHY_EXEC,
	WHY_SQL,
	WHY_DATABASE,
	WHY_POLICY,
	WHY_NAME,
	WHY_NO_PROJECT,
	WHY_JSON,
};
const struct option_spec why_options[] = {
	[WHY_EVENT] = { "event", 0, "N", "the event of that number" },
	[WHY_PATH] = { "path", 0, "PATH", "what a file action on PATH would meet" },
	[WHY_OP] = { "op", 0, "read|write|delete", "with --path (default read)" },
	[WHY_HOST] = { "host", 0, "HOST[:PORT]", "what a connection would meet (port 443)" },
	[WHY_EXEC] = { "exec", 0, NULL, "what starting the command that follows would meet" },
	[WHY_SQL] = { "sql", 0, "STATEMENT", "what a database statement would meet" },
	[WHY_DATABASE] = { "database", 0, "URL",
			   "with --sql (default postgresql://localhost:5432/)" },
	[WHY_POLICY] = { "policy", 'p', "NAME|FILE", "the policy that is asked (default: as run)" },
	[WHY_NAME] = { "name", 0, "AGENT", "with this agent's baseline (default: a fresh one)" },
	[WHY_NO_PROJECT] = { "no-project", 0, NULL,
			     "leave the project's own policy out of account" },
	[WHY_JSON] = { "json", 0, NULL, "as JSON" },
	{ NULL },
};

static void from_event(const struct json_object *event, struct explanation *ret)
{
	struct json_object *scores, *one;
	*ret = (struct explanation){
		.type = event_text(event, "type"),
		.resource = event_text(event, "resource"),
		.decision = event_text(event, "decision"),
		.reason = event_text(event, "reason"),
		.rule = event_text(event, "rule"),
		.file = event_text(event, "policy_file"),
		.line = event_number(event, "policy_line"),
		.score = event_real(event, "score"),
		.text = event_text(event, "text"),
		.kind = event_text(event, "kind"),
		.program = event_text(event, "program"),
	};
	if (!json_object_object_get_ex(event, "scores", &scores))
		return;
	for (int d = 0; d < DIMENSION_COUNT; d++) {
		if (!json_object_object_get_ex(scores, dimension_name((enum dimension)d), &one))
			continue;
		ret->x[d] = event_real(one, "x");
		ret->why[d] = event_text(one, "why");
	}
}

/*
 * What would let the event's action through, tried under the policy file its session names. The
 * log says neither the flags of that run nor its history: only where the same decision comes out
 * is the answer about that event; else NULL. The policy, changed, is the caller's.
 */
static struct policy *event_remedy(const struct session *s, const struct json_object *event,
				   struct remedy *ret)
{
	struct replay_room room;
	struct action a;
	struct decision d;
	struct policy_env env;
	struct policy *p = NULL;
	const char *file = session_text(s, "policy_file");
	struct history *h = history_new();
	choice_env(session_text(s, "workspace"), &env);
	bool same = false;
	if (h && *file && replay_action(event, &room, &a) &&
	    policy_load(file, &env, &p, NULL) == 0) {
		judge(p, AGENT_RUNNING, h, &a, &d);
		same = !strcmp(verdict_name(d.verdict), event_text(event, "decision")) &&
		       !strcmp(d.reason ? reason_name(d.reason) : "", event_text(event, "reason"));
		if (same)
			remedy_find(p, h, &a, ret);
	}
	history_free(h);
	if (same)
		return p;
	policy_free(p);
	return NULL;
}

static void tell_event(const struct session *s, const struct eventfile_line *line, bool json)
{
	static struct remedy remedy; /* large for a stack */
	struct explanation e;
	if (json) {
		puts(line->text);
		return;
	}
	from_event(line->json, &e);
	/* The edits point into it. */
	struct policy *p = event_remedy(s, line->json, &remedy);
	e.remedy = p ? &remedy : NULL;
	explain(stdout, &e);
	policy_free(p);
}

static int why_event(const struct options *o, struct err *err)
{
	char *end;
	const char *given = options_value(o, WHY_EVENT);
	long long seq = strtoll(given, &end, 10);
	if (end == given || *end || seq <= 0)
		return err_set(err, EINVAL, "--event '%.20s' is no event number", given);
	struct session s;
	struct eventfile f;
	int r = session_find(o->args[0], &s, err);
	if (r < 0)
		return r;
	r = eventfile_open(s.dirfd, &f, err);
	bool found = false;
	while (r == 0 && !found) {
		struct eventfile_line line;
		int n = eventfile_next(&f, &line, err);
		if (n == 0)
			break;
		if (n < 0 && n != -EBADMSG)
			r = n;
		if (n <= 0)
			continue;
		if (event_number(line.json, "seq") == seq) {
			found = true;
			tell_event(&s, &line, options_has(o, WHY_JSON));
		}
		json_object_put(line.json);
	}
	if (r == 0 && !found)
		r = err_set(err, ENOENT, "session %s has no event %lld", s.id, seq);
	eventfile_close(&f);
	session_close(&s);
	return r;
}

/* Canonical as the monitor makes it: links followed; what is not there yet stays as written. */
static int canonical(const char *given, char path[static PATH_MAX], struct err *err)
{
	char parent[PATH_MAX], cwd[PATH_MAX] = "";
	if (given[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return err_sys(err, errno, "the current directory cannot be named");
	if (snprintf(parent, sizeof(parent), "%s%s%s", cwd, *cwd ? "/" : "", given) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	size_t whole = strlen(parent), at = whole;
	while (!realpath(parent, path)) {
		if (errno != ENOENT || at == 0)
			return err_sys(err, errno, "%s", given);
		while (at > 0 && parent[at - 1] != '/')
			at--;
		while (at > 1 && parent[at - 1] == '/')
			at--;
		parent[at] = 0; /* and once more with the directory above */
	}
	if (at == whole)
		return 0;
	/* parent was cut at several places: take the rest from the text as given */
	char rest[2 * PATH_MAX];
	if (snprintf(rest, sizeof(rest), "%s%s%s", cwd, *cwd ? "/" : "", given) >= PATH_MAX)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	size_t len = strcmp(path, "/") ? strlen(path) : 0;
	const char *tail = rest + at + strspn(rest + at, "/");
	if (snprintf(path + len, PATH_MAX - len, "/%s", tail) >= (int)(PATH_MAX - len))
		return err_set(err, ENAMETOOLONG, "the path is too long");
	return 0;
}

static int file_action(const struct options *o, struct action *a, char path[static PATH_MAX],
		       struct err *err)
{
	static const struct {
		const char *name;
		enum action_type type;
		enum action_op op, op_absent;
		uint32_t flags;
	} ops[] = {
		{ "read", ACTION_FILE_READ, OP_READ, OP_READ, 0 },
		{ "write", ACTION_FILE_WRITE, OP_WRITE, OP_CREATE, 1 },
		{ "delete", ACTION_FILE_DELETE, OP_DELETE, OP_DELETE, 0 },
	};
	const char *op = options_value(o, WHY_OP);
	struct stat st;
	int r = canonical(options_value(o, WHY_PATH), path, err);
	if (r < 0)
		return r;
	bool exists = stat(path, &st) == 0;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(op ? op : "read", ops[i].name))
			continue;
		a->type = ops[i].type;
		a->op = exists ? ops[i].op : ops[i].op_absent;
		a->open_flags = ops[i].flags;
		a->resource = path;
		a->provenance = exists ? PROVENANCE_EXISTING : PROVENANCE_UNKNOWN;
		a->size_bytes = exists ? st.st_size : -1;
		a->mode = exists ? st.st_mode : 0;
		return 0;
	}
	return err_set(err, EINVAL, "--op '%.20s': read, write or delete", op);
}

static int exec_action(const struct options *o, struct action *a, char path[static PATH_MAX],
		       char argv[static ACTION_ARGV_SIZE], struct err *err)
{
	const char *program = o->args[0];
	char found[PATH_MAX];
	snprintf(found, sizeof(found), "%s", program);
	if (!strchr(program, '/')) {
		const char *list = getenv("PATH");
		found[0] = 0;
		for (const char *at = list ? list : "/usr/bin:/bin"; *at;) {
			size_t n = strcspn(at, ":");
			snprintf(found, sizeof(found), "%.*s/%s", (int)n, at, program);
			if (access(found, X_OK) == 0)
				break;
			found[0] = 0;
			at += n + (at[n] == ':');
		}
		if (!found[0])
			return err_set(err, ENOENT, "%s: command not found", program);
	}
	int r = canonical(found, path, err);
	if (r < 0)
		return r;
	a->type = ACTION_CODE_EXECUTION;
	a->op = OP_EXEC;
	a->resource = path;
	a->provenance = PROVENANCE_EXISTING;
	a->argv = argv;
	for (char *const *arg = o->args; *arg; arg++) {
		size_t n = strlen(*arg) + 1;
		if (a->argv_len + n > ACTION_ARGV_SIZE) {
			a->argv_truncated = true;
			break;
		}
		memcpy(argv + a->argv_len, *arg, n);
		a->argv_len += n;
		a->argc++;
	}
	return 0;
}

static int host_action(const struct options *o, struct action *a, char host[static PATH_MAX],
		       struct err *err)
{
	const char *given = options_value(o, WHY_HOST);
	const char *colon = strrchr(given, ':');
	bool has_port = colon && strchr(given, ':') == colon && colon[1];
	char *end = NULL;
	long port = has_port ? strtol(colon + 1, &end, 10) : 443;
	if (port < 1 || port > 65535 || (end && *end) || !*given)
		return err_set(err, EINVAL, "--host '%.80s': HOST or HOST:PORT", given);
	snprintf(host, PATH_MAX, "%.*s:%ld",
		 (int)(has_port ? (size_t)(colon - given) : strlen(given)), given, port);
	a->type = ACTION_NETWORK_REQUEST;
	a->op = OP_CONNECT;
	a->resource = host;
	a->protocol = "tcp";
	a->port = (uint16_t)port;
	a->resolved = strspn(given, "0123456789.:abcdef[]") != strlen(given);
	return 0;
}

static int sql_action(const struct options *o, struct action *a, char url[static PATH_MAX],
		      struct err *err)
{
	const char *database = options_value(o, WHY_DATABASE);
	struct sql_shape shape;
	database = database ? database : "postgresql://localhost:5432/";
	if (!strstr(database, "://") || strlen(database) >= PATH_MAX)
		return err_set(err, EINVAL,
			       "--database '%.80s': a URL such as "
			       "postgresql://host:5432/name",
			       database);
	strcpy(url, database);
	sql_inspect(options_value(o, WHY_SQL), &shape);
	a->type = shape.kind <= SQL_READ ? ACTION_DATABASE_QUERY : ACTION_DATABASE_WRITE;
	a->op = OP_QUERY;
	a->resource = url;
	a->statement = options_value(o, WHY_SQL);
	a->resolved = true;
	return 0;
}

static int load_history(const struct options *o, struct history *h, struct err *err)
{
	char state_path[STATE_PATH_SIZE];
	const char *agent = options_value(o, WHY_NAME);
	if (!agent)
		return 0;
	cleanup_fd int state = state_open(state_path, err);
	cleanup_fd int agents = state < 0 ? state : state_subdir(state, "agents", err);
	return agents < 0 ? agents : history_load(h, agents, agent, err);
}

static int ask(const struct options *o, const struct action *a, struct err *err)
{
	static struct remedy remedy; /* large for a stack */
	char cwd[PATH_MAX];
	struct policy *policy = NULL, *copy = NULL;
	struct history *history = history_new();
	const struct choice choice = {
		.policy = options_value(o, WHY_POLICY),
		.agent = options_value(o, WHY_NAME),
		.no_project = options_has(o, WHY_NO_PROJECT),
		.cwd = cwd,
	};
	int r = history ? 0 : err_set(err, ENOMEM, "out of memory");
	if (r == 0 && !getcwd(cwd, sizeof(cwd)))
		r = err_sys(err, errno, "the current directory cannot be named");
	if (r == 0)
		r = choice_policy(&choice, &policy, err);
	if (r == 0)
		r = choice_policy(&choice, &copy, err);
	if (r == 0)
		r = load_history(o, history, err);
	if (r == 0) {
		struct decision d = { 0 };
		struct explanation e;
		judge(policy, AGENT_RUNNING, history, a, &d);
		explanation_of(a, &d, &e);
		e.policy = policy->name;
		remedy_find(copy, history, a, &remedy);
		e.remedy = &remedy;
		if (options_has(o, WHY_JSON))
			explain_json(stdout, &e);
		else
			explain(stdout, &e);
	}
	history_free(history);
	policy_free(policy);
	policy_free(copy);
	return r;
}

static int why_action(const struct options *o, struct err *err)
{
	static char resource[PATH_MAX], argv[ACTION_ARGV_SIZE];
	struct timespec t;
	struct action a = {
		.resource = "", .program = "", .size_bytes = -1, .syscall_nr = UINT32_MAX
	};
	struct tm tm;
	clock_gettime(CLOCK_MONOTONIC, &t);
	a.mono_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	clock_gettime(CLOCK_REALTIME, &t);
	a.wall_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	if (localtime_r(&t.tv_sec, &tm))
		a.utc_offset_min = (int16_t)(tm.tm_gmtoff / 60);
	int r;
	if (options_has(o, WHY_PATH))
		r = file_action(o, &a, resource, err);
	else if (options_has(o, WHY_HOST))
		r = host_action(o, &a, resource, err);
	else if (options_has(o, WHY_SQL))
		r = sql_action(o, &a, resource, err);
	else
		r = exec_action(o, &a, resource, argv, err);
	return r < 0 ? r : ask(o, &a, err);
}

int cmd_why(const struct options *o)
{
	struct err err;
	int questions = options_has(o, WHY_EVENT) + options_has(o, WHY_PATH) +
			options_has(o, WHY_HOST) + options_has(o, WHY_EXEC) +
			options_has(o, WHY_SQL);
	int r = 0;
	if (questions != 1)
		r = err_set(&err, EINVAL,
			    "ask one of --event N, --path PATH, --host HOST, --sql STATEMENT, "
			    "--exec CMD…");
	else if (!options_has(o, WHY_EXEC))
		r = options_want_args(o, 0, options_has(o, WHY_EVENT) ? 1 : 0, &err);
	else if (!o->arg_count)
		r = err_set(&err, EINVAL,
			    "--exec wants a command: vsandbox why --exec -- CMD ARG…");
	if (r == 0)
		r = options_has(o, WHY_EVENT) ? why_event(o, &err) : why_action(o, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	return out_finish();
}
