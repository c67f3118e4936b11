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
#include <unistd.h>

#include "base/scope.h"
#include "launcher/choice.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/explain.h"
#include "launcher/log.h"
#include "launcher/question.h"
#include "launcher/replay.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "scoring/judge.h"

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
	static struct question q; /* large for a stack */
	int r;
	question_init(&q);
	if (options_has(o, WHY_PATH))
		r = question_file(&q, options_value(o, WHY_PATH), options_value(o, WHY_OP), err);
	else if (options_has(o, WHY_HOST))
		r = question_host(&q, options_value(o, WHY_HOST), err);
	else if (options_has(o, WHY_SQL))
		r = question_sql(&q, options_value(o, WHY_SQL), options_value(o, WHY_DATABASE),
				 err);
	else
		r = question_exec(&q, o->args, err);
	return r < 0 ? r : ask(o, &q.action, err);
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
