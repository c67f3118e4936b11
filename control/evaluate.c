#include "control/evaluate.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/ids.h"
#include "control/json.h"
#include "control/policies.h"

enum {
	AGENTS_KEPT = 256, /* a history is 140 kB */
	FOLD_FIRST = 500,  /* actions that a cold history is made of */
	FOLD_MORE = 2000,  /* and at most so many of other servers at a time */
	FOLD_EVERY_US = 1000000,
	ARGV_SIZE = 4096,
};

struct seen {
	char id[AGENT_ID_SIZE];
	int64_t agent_version, rules_version;
	struct policy *policy;
	struct history *history;
	int64_t folded; /* id of the last action in the history that another server logged */
	int64_t folded_us;
	uint64_t used; /* tick of the last use: the oldest makes room */
};

struct evaluator {
	pthread_mutex_t turn; /* of who takes the lock next */
	pthread_mutex_t lock;
	struct seen seen[AGENTS_KEPT];
	uint64_t tick;
};

/* ---- words ---------------------------------------------------------------------------- */

static const struct {
	const char *word;
	enum action_type type;
	enum action_op op;
} words[] = {
	{ "file_read", ACTION_FILE_READ, OP_READ },
	{ "file_write", ACTION_FILE_WRITE, OP_NONE },
	{ "file_delete", ACTION_FILE_DELETE, OP_DELETE },
	{ "api_call", ACTION_API_CALL, OP_CONNECT },
	{ "database_query", ACTION_DATABASE_QUERY, OP_QUERY },
	{ "database_write", ACTION_DATABASE_WRITE, OP_QUERY },
	{ "code_execution", ACTION_CODE_EXECUTION, OP_EXEC },
	{ "network_request", ACTION_NETWORK_REQUEST, OP_CONNECT },
	/* older clients */
	{ "delete", ACTION_FILE_DELETE, OP_DELETE },
	{ "execute", ACTION_CODE_EXECUTION, OP_EXEC },
	{ "database_read", ACTION_DATABASE_QUERY, OP_QUERY },
	{ "permission_change", ACTION_FILE_WRITE, OP_CHMOD },
	{ "process_spawn", ACTION_CODE_EXECUTION, OP_EXEC },
	{ "env_access", ACTION_FILE_READ, OP_READ },
	{ "session_start", ACTION_NONE, OP_NONE },
	{ "session_end", ACTION_NONE, OP_NONE },
	{ "resource_spike", ACTION_NONE, OP_NONE },
	{ "cpu_spike", ACTION_NONE, OP_NONE },
	{ "memory_spike", ACTION_NONE, OP_NONE },
	{ "alert", ACTION_NONE, OP_NONE },
	{ "rollback", ACTION_NONE, OP_NONE },
	{ "custom", ACTION_NONE, OP_NONE },
};

static int find_word(const char *word)
{
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, word) == 0)
			return (int)i;
	return -EINVAL;
}

int evaluate_type(const char *word, enum action_type *ret)
{
	int i = find_word(word);
	if (i < 0)
		return i;
	*ret = words[i].type;
	return 0;
}

/* ---- an inquiry as an action ------------------------------------------------------------ */

static const char *first_text(struct json_object *payload, const char *const *names)
{
	for (; *names; names++) {
		struct json_object *v = json_object_object_get(payload, *names);
		if (json_object_is_type(v, json_type_string))
			return json_object_get_string(v);
	}
	return NULL;
}

/* argv of a payload: a list, or one command line for a shell. */
static void put_argv(struct action *a, struct json_object *payload, char argv[static ARGV_SIZE])
{
	static const char *const names[] = { "command", "cmd", "code", NULL };
	struct json_object *list = json_object_object_get(payload, "argv");
	const char *line = first_text(payload, names);
	size_t count =
		json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	for (size_t i = 0; i < count; i++) {
		const char *arg = json_object_get_string(json_object_array_get_idx(list, i));
		size_t len = arg ? strlen(arg) + 1 : 0;
		if (!len || a->argv_len + len > ARGV_SIZE) {
			a->argv_truncated = true;
			break;
		}
		memcpy(argv + a->argv_len, arg, len);
		a->argv_len += len;
		a->argc++;
	}
	if (!count && line) {
		int n = snprintf(argv, ARGV_SIZE, "sh%c-c%c%s", 0, 0, line);
		a->argv_truncated = n >= ARGV_SIZE;
		a->argv_len = a->argv_truncated ? ARGV_SIZE : (size_t)n + 1;
		a->argc = 3;
	}
	a->argv = a->argc ? argv : NULL;
}

static void put_payload(struct action *a, struct json_object *payload, char argv[static ARGV_SIZE])
{
	static const char *const statements[] = { "query", "sql", "statement", NULL };
	static const char *const sizes[] = { "size", "size_bytes", "bytes", "rows", NULL };
	if (!json_object_is_type(payload, json_type_object))
		return;
	a->statement = first_text(payload, statements);
	for (unsigned i = 0; sizes[i]; i++) {
		struct json_object *v = json_object_object_get(payload, sizes[i]);
		if (json_object_is_type(v, json_type_int))
			a->size_bytes = json_object_get_int64(v);
	}
	if (a->type == ACTION_CODE_EXECUTION)
		put_argv(a, payload, argv);
}

/* The name of a host, without scheme, path and port, is no raw address when it has a letter and a dot
 * that is not of an address; what clients name was resolved by them. */
static bool named_host(const char *resource)
{
	const char *host = strstr(resource, "://");
	host = host ? host + 3 : resource;
	size_t len = strcspn(host, "/:");
	return len > 0 && *host != '[' && strspn(host, "0123456789.") < len;
}

static int make_action(const struct inquiry *q, struct action *ret, char argv[static ARGV_SIZE])
{
	int i = find_word(q->type);
	if (i < 0)
		return i;
	*ret = (struct action){
		.type = words[i].type,
		.op = words[i].op,
		.provenance = PROVENANCE_UNKNOWN,
		.resource = q->resource,
		.program = "",
		.size_bytes = -1,
		.resolved = named_host(q->resource),
		.mono_ns = (uint64_t)q->at_us * 1000,
		.wall_ns = (uint64_t)q->at_us * 1000,
		.syscall_nr = UINT32_MAX,
	};
	put_payload(ret, q->payload, argv);
	return 0;
}

/* ---- profile and rules as a policy ------------------------------------------------------ */

static const struct policy_env no_env = { .dirs = (const char *const[]){ NULL } };

static struct json_object *profile_json(const struct agent *a)
{
	struct json_object *o = json_object_new_object();
	json_put(o, "name", json_object_new_string("agent"));
	json_put(o, "mode", json_object_new_string(a->mode));
	if (a->allowed_types)
		json_put(o, "allowed_action_types", json_stored(a->allowed_types));
	if (a->allowed)
		json_put(o, "allowed_resources", json_stored(a->allowed));
	if (a->blocked)
		json_put(o, "blocked_resources", json_stored(a->blocked));
	if (a->rate >= 0)
		json_put(o, "max_actions_per_minute", json_object_new_int64(a->rate));
	if (a->max_risk >= 0)
		json_put(o, "max_risk_score", json_object_new_double(a->max_risk));
	return o;
}

/* A row of the store as a rule of a policy file: what is null there is left out here. */
static struct json_object *rule_json(struct json_object *row)
{
	static const char *const names[] = { "name",       "action_type", "resource_pattern",
					     "effect",     "priority",    "max_risk_score",
					     "time_start", "time_end",    "days_allowed" };
	struct json_object *rule = json_object_new_object();
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct json_object *v = json_object_object_get(row, names[i]);
		if (v)
			json_put(rule, names[i], json_object_get(v));
	}
	if (!json_object_object_get(row, "resource_pattern"))
		json_put(rule, "resource_pattern", json_object_new_string("*"));
	return rule;
}

static int parse(struct json_object *o, struct policy **ret, struct err *err)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	return policy_parse(text, strlen(text), "profile", &no_env, ret, err);
}

int evaluate_check_profile(const struct agent *a, struct err *err)
{
	struct policy *policy;
	struct json_object *o = profile_json(a);
	int r = parse(o, &policy, err);
	json_object_put(o);
	if (r == 0)
		policy_free(policy);
	return r;
}

int evaluate_rule(struct json_object *rule, struct policy **ret, struct err *err)
{
	struct json_object *o = json_object_new_object(), *rules = json_object_new_array();
	json_put(o, "name", json_object_new_string("rule"));
	json_object_array_add(rules, rule_json(rule));
	json_put(o, "rules", rules);
	int r = parse(o, ret, err);
	json_object_put(o);
	return r;
}

bool evaluate_rule_bites(const struct policy *rule, const struct inquiry *q, double risk)
{
	char argv[ARGV_SIZE];
	struct action action;
	struct policy_match match;
	if (make_action(q, &action, argv) < 0 || action.type == ACTION_NONE)
		return false;
	policy_match(rule, &action, &match);
	return match.rule_count &&
	       (!match.rules[0]->has_max_risk || risk > (double)match.rules[0]->max_risk);
}

int evaluate_check_rule(struct json_object *rule, struct err *err)
{
	struct policy *policy;
	int r = evaluate_rule(rule, &policy, err);
	if (r == 0)
		policy_free(policy);
	return r;
}

int evaluate_policy(struct db *db, const struct agent *a, struct json_object **ret, struct err *err)
{
	struct json_object *rows = json_object_new_array(), *rules = json_object_new_array();
	int64_t n = rule_list(db, true, RULES_MAX, rows, err);
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		json_object_array_add(rules, rule_json(json_object_array_get_idx(rows, i)));
	*ret = profile_json(a);
	json_put(*ret, "rules", rules);
	json_object_put(rows);
	return n < 0 ? (int)n : 0;
}

static int load_policy(struct db *db, const struct agent *a, struct policy **ret, struct err *err)
{
	struct json_object *o;
	int r = evaluate_policy(db, a, &o, err);
	if (r == 0)
		r = parse(o, ret, err);
	json_object_put(o);
	return r;
}

/* ---- history ---------------------------------------------------------------------------- */

static int fold(const struct db_row *row, void *arg)
{
	struct seen *s = arg;
	char argv[ARGV_SIZE];
	struct action action;
	struct json_object *payload = json_stored(db_is_null(row, 3) ? NULL : db_text(row, 3));
	const char *decision = db_text(row, 4);
	struct inquiry q = { .type = db_text(row, 1),
			     .resource = db_text(row, 2),
			     .payload = payload,
			     .at_us = db_int(row, 5) };
	if (make_action(&q, &action, argv) == 0 && action.type != ACTION_NONE)
		history_note(s->history, &action,
			     strcmp(decision, "ALLOW") == 0 || strcmp(decision, "ALERT") == 0);
	s->folded = db_int(row, 0);
	json_object_put(payload);
	return 0;
}

static int64_t fold_first(struct db *db, struct seen *s, struct err *err)
{
	return db_each(
		db, err, fold, s,
		"SELECT id, type, resource, payload, decision, at FROM"
		" (SELECT id, type, resource, payload, decision, at FROM actions WHERE agent = $1"
		" ORDER BY id DESC LIMIT $2) AS latest ORDER BY id",
		db_t(s->id), db_i(FOLD_FIRST));
}

/* What other servers on the same store logged since; our own was noted as it came. */
static int64_t fold_others(struct db *db, struct seen *s, int64_t now_us, struct err *err)
{
	if (now_us - s->folded_us < FOLD_EVERY_US && now_us >= s->folded_us)
		return 0;
	int64_t n = db_each(
		db, err, fold, s,
		"SELECT id, type, resource, payload, decision, at FROM actions"
		" WHERE agent = $1 AND id > $2 AND ((id >> 7) & 31) <> $3 ORDER BY id LIMIT $4",
		db_t(s->id), db_i(s->folded), db_i(ids_node()), db_i(FOLD_MORE));
	/* a row may be committed a little after its number was made */
	if (n >= 0 && n < FOLD_MORE && s->folded < ids_at(now_us - FOLD_EVERY_US))
		s->folded = ids_at(now_us - FOLD_EVERY_US);
	s->folded_us = now_us;
	return n;
}

/* ---- the cache -------------------------------------------------------------------------- */

static void forget(struct seen *s)
{
	policy_free(s->policy);
	history_free(s->history);
	*s = (struct seen){ 0 };
}

static struct seen *find(struct evaluator *e, const char *id)
{
	struct seen *oldest = &e->seen[0];
	for (unsigned i = 0; i < AGENTS_KEPT; i++) {
		if (strcmp(e->seen[i].id, id) == 0)
			return &e->seen[i];
		if (e->seen[i].used < oldest->used)
			oldest = &e->seen[i];
	}
	forget(oldest);
	snprintf(oldest->id, sizeof(oldest->id), "%s", id);
	return oldest;
}

/* What is known of the agent, brought up to date with the store. */
static int refresh(struct evaluator *e, struct db *db, const struct agent *a, int64_t rules,
		   struct seen **ret, struct err *err)
{
	struct seen *s = find(e, a->id);
	s->used = ++e->tick;
	*ret = s;
	if (!s->history) {
		s->history = history_new();
		int64_t n = s->history ? fold_first(db, s, err)
				       : err_set(err, ENOMEM, "evaluator: out of memory");
		if (n < 0) {
			forget(s);
			return (int)n;
		}
		s->folded_us = ids_now_us();
	}
	int64_t n = fold_others(db, s, ids_now_us(), err);
	if (n < 0)
		return (int)n;
	if (s->policy && s->agent_version == a->version && s->rules_version == rules)
		return 0;
	struct policy *policy;
	int r = load_policy(db, a, &policy, err);
	if (r < 0)
		return r;
	policy_free(s->policy);
	s->policy = policy;
	s->agent_version = a->version;
	s->rules_version = rules;
	return 0;
}

struct evaluator *evaluator_new(void)
{
	struct evaluator *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	pthread_mutex_init(&e->turn, NULL);
	pthread_mutex_init(&e->lock, NULL);
	return e;
}

void evaluator_free(struct evaluator *e)
{
	for (unsigned i = 0; e && i < AGENTS_KEPT; i++)
		forget(&e->seen[i]);
	free(e);
}

/* ---- the answer ------------------------------------------------------------------------- */

static void explain(const struct agent *a, const struct inquiry *q, const struct policy *p,
		    const struct decision *d, struct evaluation *e)
{
	char *out = e->reason;
	const size_t size = sizeof(e->reason);
	switch (d->reason) {
	case REASON_AGENT_STATE:
		snprintf(out, size, "Agent is %s", a->terminated ? "terminated" : "paused");
		break;
	case REASON_TYPE:
		snprintf(out, size, "Action type '%s' is not allowed for this agent", q->type);
		break;
	case REASON_BLOCKED:
		snprintf(out, size, "Resource '%.300s' is blocked for this agent", q->resource);
		break;
	case REASON_NOT_ALLOWED:
	case REASON_SPAWN:
		snprintf(out, size, "Resource '%.300s' is not allowed for this agent", q->resource);
		break;
	case REASON_MAX_RISK:
		snprintf(out, size, "Risk score %.2f exceeds this agent's maximum of %.2f", e->risk,
			 (double)p->max_risk);
		break;
	case REASON_RULE:
		snprintf(out, size, "Policy '%.200s' matched", d->rule ? d->rule : "");
		break;
	case REASON_THRESHOLD:
		snprintf(out, size, "Risk score %.2f reaches the threshold of %.2f", e->risk,
			 (double)p->risk_threshold);
		break;
	case REASON_RATE:
		snprintf(out, size, "More than %u actions in a minute", p->rate_general);
		break;
	case REASON_INTERNAL:
		snprintf(out, size, "Internal error");
		break;
	case REASON_NONE:
	case REASON_COUNT:
		snprintf(out, size, "Allowed");
		break;
	}
}

static void put_breakdown(const struct score *score, char out[static BREAKDOWN_SIZE])
{
	char *to = out; /* names have 20 bytes at most, so that it always fits */
	for (unsigned d = 0; d < DIMENSION_COUNT; d++) {
		to = stpcpy(to, d ? ",\"" : "{\"");
		to = stpcpy(to, dimension_name((enum dimension)d));
		to = stpcpy(to, "\":");
		to += json_score_text((double)score->x[d], to);
	}
	stpcpy(to, "}");
}

int evaluate(struct evaluator *e, struct db *db, const struct agent *a, int64_t rules,
	     const struct inquiry *q, bool note, struct evaluation *ret, struct err *err)
{
	char argv[ARGV_SIZE];
	struct action action;
	struct decision d = { 0 };
	struct seen *s = NULL;
	*ret = (struct evaluation){ 0 };
	if (make_action(q, &action, argv) < 0)
		return err_set(err, EINVAL, "unknown action type \"%.60s\"", q->type);
	/* Whoever evaluates a batch is back at once: without a turn, a check would come in after its last action. */
	pthread_mutex_lock(&e->turn);
	pthread_mutex_lock(&e->lock);
	pthread_mutex_unlock(&e->turn);
	int r = refresh(e, db, a, rules, &s, err);
	if (r == 0) {
		enum agent_state state = a->terminated ? AGENT_TERMINATED
					 : a->paused   ? AGENT_PAUSED
						       : AGENT_RUNNING;
		if (action.type != ACTION_NONE)
			judge(s->policy, state, s->history, &action, &d);
		if (note && action.type != ACTION_NONE)
			history_note(s->history, &action, d.verdict <= VERDICT_ALERT);
		ret->verdict = d.verdict;
		ret->why = d.reason;
		ret->risk = round((double)d.score.total * 100) / 100; /* as people quote it */
		snprintf(ret->rule, sizeof(ret->rule), "%s", d.rule ? d.rule : "");
		explain(a, q, s->policy, &d, ret);
		put_breakdown(&d.score, ret->breakdown);
	}
	pthread_mutex_unlock(&e->lock);
	return r;
}
