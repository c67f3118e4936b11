/*
 * prune: takes old sessions away until the budgets hold. Never one that runs, and never one with
 * changes that were neither committed nor discarded, unless --changes says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/scope.h"
#include "launcher/config.h"
#include "launcher/confirm.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/session_store.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "policies/amount.h"

enum {
	PRUNE_AGE,
	PRUNE_BYTES,
	PRUNE_SESSIONS,
	PRUNE_CHANGES,
	PRUNE_DRY_RUN,
	PRUNE_YES,
	PRUNE_JSON
};
const struct option_spec prune_options[] = {
	[PRUNE_AGE] = { "max-age", 0, "TIME", "none older than 12h, 30d" },
	[PRUNE_BYTES] = { "max-bytes", 0, "SIZE", "no more than 20G in all; the oldest go first" },
	[PRUNE_SESSIONS] = { "max-sessions", 0, "N", "no more than N; the oldest go first" },
	[PRUNE_CHANGES] = { "changes", 0, NULL,
			    "also those with changes neither committed nor discarded" },
	[PRUNE_DRY_RUN] = { "dry-run", 0, NULL, "say which would go, and do nothing" },
	[PRUNE_YES] = { "yes", 'y', NULL, "do not ask" },
	[PRUNE_JSON] = { "json", 0, NULL, "as JSON" },
	{ NULL },
};

struct candidate {
	const struct session *session; /* borrowed */
	struct session_store store;
	const char *why; /* it goes: over which budget; NULL it stays */
};

struct prune {
	struct candidate *all; /* oldest first */
	int count;
	uint64_t bytes, sessions;
	uint64_t max_age, max_bytes, max_sessions; /* 0 none */
	bool changes;
};

static int budgets(const struct options *o, struct prune *p, struct err *err)
{
	struct config config;
	const char *age = options_value(o, PRUNE_AGE), *bytes = options_value(o, PRUNE_BYTES);
	const char *sessions = options_value(o, PRUNE_SESSIONS);
	int r = config_load(&config, err);
	if (r < 0)
		return r;
	bool given = age || bytes || sessions;
	p->max_age = given ? 0 : config.age_seconds;
	p->max_bytes = given ? 0 : config.bytes;
	p->max_sessions = given ? 0 : config.sessions;
	if (age && (seconds_parse(age, &p->max_age) < 0 || !p->max_age))
		return err_set(err, EINVAL, "--max-age '%.40s': a time such as 12h or 30d", age);
	if (bytes && (size_parse(bytes, &p->max_bytes) < 0 || !p->max_bytes))
		return err_set(err, EINVAL, "--max-bytes '%.40s': a size such as 20G", bytes);
	if (sessions) {
		char *end;
		long long n = strtoll(sessions, &end, 10);
		if (!*sessions || *end || n < 1)
			return err_set(err, EINVAL, "--max-sessions '%.40s': a number from 1",
				       sessions);
		p->max_sessions = (uint64_t)n;
	}
	p->changes = options_has(o, PRUNE_CHANGES);
	if (!p->max_age && !p->max_bytes && !p->max_sessions)
		return err_set(err, EINVAL,
			       "no budget: give --max-age, --max-bytes or "
			       "--max-sessions, or \"budgets\" in config.json");
	return 0;
}

static int by_age(const void *a, const void *b)
{
	int64_t x = ((const struct candidate *)a)->store.at;
	int64_t y = ((const struct candidate *)b)->store.at;
	return (x > y) - (x < y);
}

static bool may_go(const struct prune *p, const struct candidate *c)
{
	return c->session->state != SESSION_RUNNING && (p->changes || !c->store.changes);
}

static void choose(struct prune *p)
{
	int64_t now = time(NULL);
	for (int i = 0; i < p->count; i++) {
		p->bytes += p->all[i].store.bytes;
		p->sessions++;
	}
	for (int i = 0; i < p->count; i++) {
		struct candidate *c = &p->all[i];
		if (!may_go(p, c))
			continue;
		if (p->max_age && now - c->store.at > (int64_t)p->max_age)
			c->why = "age";
		else if (p->max_sessions && p->sessions > p->max_sessions)
			c->why = "sessions";
		else if (p->max_bytes && p->bytes > p->max_bytes)
			c->why = "bytes";
		if (!c->why)
			continue;
		p->bytes -= c->store.bytes;
		p->sessions--;
	}
}

static void print(const struct prune *p, bool json)
{
	const char *comma = "";
	if (json)
		fputs("{\"schema_version\":1,\"removed\":[", stdout);
	for (int i = 0; i < p->count; i++) {
		const struct candidate *c = &p->all[i];
		if (!c->why)
			continue;
		if (json)
			printf("%s{\"id\":\"%s\",\"bytes\":%llu,\"changes\":%llu,\"budget\":\"%"
			       "s\"}",
			       comma, c->session->id, (unsigned long long)c->store.bytes,
			       (unsigned long long)c->store.changes, c->why);
		else
			printf("%-16s %-8s %8.1f MiB  %llu changes  over the budget of %s\n",
			       c->session->id, session_state_name(c->session->state),
			       (double)c->store.bytes / 1048576,
			       (unsigned long long)c->store.changes, c->why);
		comma = ",";
	}
	if (json)
		printf("],\"left\":{\"sessions\":%llu,\"bytes\":%llu}}\n",
		       (unsigned long long)p->sessions, (unsigned long long)p->bytes);
}

/* What stays although a budget is broken is said: nobody should believe that it holds. */
static void tell_kept(const struct prune *p)
{
	uint64_t kept = 0;
	for (int i = 0; i < p->count; i++)
		kept += !p->changes && p->all[i].store.changes &&
			p->all[i].session->state != SESSION_RUNNING;
	bool over = (p->max_sessions && p->sessions > p->max_sessions) ||
		    (p->max_bytes && p->bytes > p->max_bytes);
	if (kept)
		log_info(
			"%llu sessions hold changes and stay: commit or discard them, or --changes",
			(unsigned long long)kept);
	if (over)
		log_warn("the budget does not hold: %llu sessions, %.1f MiB are left",
			 (unsigned long long)p->sessions, (double)p->bytes / 1048576);
}

static int prune(const struct options *o, struct prune *p, int state, struct err *err)
{
	unsigned going = 0;
	int failed = 0;
	bool dry = options_has(o, PRUNE_DRY_RUN);
	choose(p);
	for (int i = 0; i < p->count; i++)
		going += p->all[i].why != NULL;
	print(p, options_has(o, PRUNE_JSON));
	tell_kept(p);
	if (!going || dry)
		return 0;
	int r = confirm(options_has(o, PRUNE_YES), err, "Remove %u sessions, logs included?",
			going);
	for (int i = 0; r == 0 && i < p->count; i++) {
		if (!p->all[i].why || session_store_remove(state, p->all[i].session->id, err) == 0)
			continue;
		log_error("%s", err->text);
		failed = 1;
	}
	return r < 0 ? r : failed;
}

int cmd_prune(const struct options *o)
{
	char path[STATE_PATH_SIZE];
	struct session *list = NULL;
	struct prune p = { 0 };
	struct err err;
	cleanup_fd int state = -1;
	int r = options_want_args(o, 0, 0, &err);
	if (r == 0)
		r = budgets(o, &p, &err);
	if (r == 0)
		r = state = state_open(path, &err);
	if (r >= 0)
		r = p.count = session_list(state, path, &list, &err);
	if (r >= 0) {
		p.all = calloc((size_t)r + 1, sizeof(*p.all));
		r = p.all ? 0 : err_set(&err, ENOMEM, "out of memory");
	}
	for (int i = 0; r == 0 && i < p.count; i++) {
		p.all[i].session = &list[i];
		session_store_look(&list[i], &p.all[i].store);
	}
	if (r == 0) {
		qsort(p.all, (size_t)p.count, sizeof(*p.all), by_age);
		r = prune(o, &p, state, &err);
	}
	free(p.all);
	session_list_free(list, list ? p.count : 0);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	int out = out_finish();
	return out ? out : r;
}
