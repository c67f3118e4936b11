/* approve list, allow, deny: the person's answer from another terminal. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/priority.h"
#include "base/scope.h"
#include "launcher/control.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { PATIENCE_MS = 5000 };
enum { APPROVE_SCOPE, APPROVE_REASON, APPROVE_SESSION, APPROVE_JSON };
const struct option_spec approve_options[] = {
	[APPROVE_SCOPE] = { "scope", 0, "once|session|always",
			    "what an allow holds for (default once)" },
	[APPROVE_REASON] = { "reason", 0, "TEXT", "why, for the log" },
	[APPROVE_SESSION] = { "session", 0, "SESSION", "only this one" },
	[APPROVE_JSON] = { "json", 0, NULL, "list as JSON" },
	{ NULL },
};

/*
 * Options may also stand behind the word and behind its number, where people write them. Leaves
 * the word and the number as the only arguments.
 */
static int gather(const struct options *o, struct options *ret, struct err *err)
{
	char *words[2];
	int count = 0, r = 0;
	*ret = *o;
	while (r == 0 && ret->arg_count && count < 2) {
		struct options rest;
		words[count++] = ret->args[0];
		r = options_parse(o->specs, ret->args + 1, &rest, err);
		for (unsigned i = 0; r == 0 && i < ret->count && rest.count < OPTIONS_GIVEN_MAX;
		     i++)
			rest.given[rest.count++] = ret->given[i];
		if (r == 0)
			*ret = rest;
	}
	if (r == 0 && ret->arg_count)
		r = err_set(err, EINVAL, "'%.40s' is one argument too many", ret->args[0]);
	/* o->args has room for at least as many */
	for (int i = 0; i < count; i++)
		o->args[i] = words[i];
	ret->args = o->args;
	ret->arg_count = count;
	return r == OPTIONS_HELP ? err_set(err, EINVAL, "vsandbox help approve") : r;
}

/* Each running session that answers, or the one that --session names. Number or -errno. */
static int sessions(const struct options *o, struct session **ret, struct err *err)
{
	const char *id = options_value(o, APPROVE_SESSION);
	if (!id && o->arg_count == 2 && !strcmp(o->args[0], "list"))
		id = o->args[1];
	char path[STATE_PATH_SIZE];
	if (id) {
		*ret = calloc(1, sizeof(**ret));
		int r = *ret ? session_find(id, *ret, err) : err_set(err, ENOMEM, "out of memory");
		return r < 0 ? r : 1;
	}
	cleanup_fd int state = state_open(path, err);
	return state < 0 ? state : session_list(state, path, ret, err);
}

/* All open questions of them, one array. Sessions that do not answer are named on stderr. */
static struct json_object *collect(const struct session *list, int count)
{
	struct json_object *all = json_object_new_array();
	for (int i = 0; i < count; i++) {
		struct json_object *some = NULL;
		struct err err;
		if (list[i].state != SESSION_RUNNING)
			continue;
		if (control_call(&list[i], "list", NULL, PATIENCE_MS, &some, &err) < 0) {
			log_warn("%s, continuing", err.text);
			continue;
		}
		for (size_t n = 0; n < json_object_array_length(some); n++)
			json_object_array_add(all,
					      json_object_get(json_object_array_get_idx(some, n)));
		json_object_put(some);
	}
	return all;
}

static void print(struct json_object *all)
{
	if (!json_object_array_length(all) && isatty(STDERR_FILENO))
		log_info("nothing waits for an answer");
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *o = json_object_array_get_idx(all, i);
		struct json_object *action = json_object_object_get(o, "action");
		printf("%-4lld %-16s %4llds  %.2f  %s ", (long long)event_number(o, "id"),
		       event_text(o, "session"), (long long)event_number(o, "remaining_ms") / 1000,
		       event_real(action, "score"), event_what(action));
		term_text(stdout, event_subject(action));
		if (*event_text(action, "program")) {
			fputs("  (", stdout);
			term_text(stdout, event_text(action, "program"));
			fputs(")", stdout);
		}
		fputs("\n", stdout);
	}
}

/* The session whose question @id is; more than one may have that number. */
static int owner_of(struct json_object *all, long id, const char **ret, struct err *err)
{
	*ret = NULL;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *o = json_object_array_get_idx(all, i);
		if (event_number(o, "id") != id)
			continue;
		if (*ret)
			return err_set(err, EINVAL,
				       "more than one session has an approval %ld: say --session",
				       id);
		*ret = event_text(o, "session");
	}
	return *ret ? 0 : err_set(err, ENOENT, "no approval %ld waits", id);
}

static int answer(const struct options *o, struct session *list, int count, struct json_object *all,
		  bool allow, struct err *err)
{
	const char *scope = options_value(o, APPROVE_SCOPE), *session;
	char *end;
	long id = strtol(o->args[1], &end, 10);
	if (scope && strcmp(scope, "once") && strcmp(scope, "session") && strcmp(scope, "always"))
		return err_set(err, EINVAL, "--scope '%.20s': once, session or always", scope);
	if (*end || id <= 0)
		return err_set(err, EINVAL, "'%.40s' is no number of an approval", o->args[1]);
	int r = owner_of(all, id, &session, err);
	if (r < 0)
		return r;
	struct json_object *argument = json_object_new_object();
	json_object_object_add(argument, "id", json_object_new_int64(id));
	json_object_object_add(argument, "allow", json_object_new_boolean(allow));
	json_object_object_add(argument, "scope", json_object_new_string(scope ? scope : "once"));
	if (options_has(o, APPROVE_REASON))
		json_object_object_add(argument, "reason",
				       json_object_new_string(options_value(o, APPROVE_REASON)));
	for (int i = 0; i < count; i++)
		if (!strcmp(list[i].id, session))
			r = control_call(&list[i], "answer", argument, PATIENCE_MS, NULL, err);
	json_object_put(argument);
	return r;
}

int cmd_approve(const struct options *given)
{
	struct options all_of_them;
	const struct options *o = &all_of_them;
	static const char *const words[] = { "list", "allow", "deny", NULL };
	struct session *list = NULL;
	struct json_object *all = NULL;
	struct err err = { "" };
	unsigned what = 0;
	int count = 0;
	priority_urgent();
	int r = gather(given, &all_of_them, &err);
	while (r == 0 && o->arg_count && words[what] && strcmp(o->args[0], words[what]))
		what++;
	if (r == 0 && !words[what])
		r = err_set(&err, EINVAL, "approve list, allow ID or deny ID; not '%.20s'",
			    o->args[0]);
	if (r == 0)
		r = what && o->arg_count < 2
			    ? err_set(&err, EINVAL, "approve %s ID: which?", words[what])
			    : 0;
	if (r == 0)
		r = count = sessions(o, &list, &err);
	if (r >= 0)
		all = collect(list, count);
	if (r >= 0 && what)
		r = answer(o, list, count, all, what == 1, &err);
	else if (r >= 0 && options_has(o, APPROVE_JSON))
		puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN));
	else if (r >= 0)
		print(all);
	if (r < 0)
		log_error("%s", err.text);
	json_object_put(all);
	session_list_free(list, count > 0 ? count : 0);
	return r < 0 ? EXIT_USAGE : out_finish();
}
