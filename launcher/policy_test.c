/* policy test: a log decided once more, under another policy; what would be different. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/log.h"
#include "launcher/policy_verbs.h"
#include "launcher/replay.h"
#include "launcher/session.h"
#include "launcher/state.h"
#include "launcher/term.h"

enum { LISTED = 200 }; /* lines of text; JSON lists all */

struct test {
	const struct policy *policy;
	struct history *history;
	bool json;
	uint64_t actions, stricter, looser, damaged;
	uint64_t by_verdict[VERDICT_COUNT]; /* as @policy decides */
};

static void print_change(struct test *t, const struct json_object *event, const struct action *a,
			 enum verdict before, const struct decision *d)
{
	uint64_t shown = t->stricter + t->looser;
	long long seq = (long long)event_number(event, "seq");
	if (t->json) {
		fputs(shown > 1 ? ",{" : "{", stdout);
		printf("\"seq\":%lld", seq);
		json_member(stdout, false, "type", action_type_name(a->type));
		json_member(stdout, false, "resource", a->resource);
		json_member(stdout, false, "old", verdict_name(before));
		json_member(stdout, false, "new", verdict_name(d->verdict));
		json_member(stdout, false, "reason",
			    d->reason == REASON_NONE ? NULL : reason_name(d->reason));
		json_member(stdout, false, "rule", d->rule);
		json_member(stdout, false, "policy_file", d->file);
		printf(",\"policy_line\":%u,\"score\":%.4f}", d->line, (double)d->score.total);
		return;
	}
	if (shown > LISTED)
		return;
	char path[6000];
	struct buf b;
	buf_init(&b, path, sizeof(path));
	term_path(&b, a->resource);
	printf("%6lld %-6s -> %-8s %-16s %.2f  %s", seq, verdict_name(before),
	       verdict_name(d->verdict), action_type_name(a->type), (double)d->score.total, path);
	if (d->reason != REASON_NONE) {
		printf(" (%s", reason_name(d->reason));
		if (d->rule) {
			fputs(" ", stdout);
			term_text(stdout, d->rule);
		}
		if (d->file) {
			fputs(", ", stdout);
			term_text(stdout, d->file);
			printf(":%u", d->line);
		}
		putchar(')');
	}
	putchar('\n');
}

static void test_event(struct test *t, const struct json_object *event)
{
	struct replay_room room;
	struct action a;
	struct decision d;
	enum verdict before;
	if (!replay_action(event, &room, &a) || !replay_verdict(event, &before))
		return;
	replay_judge(t->policy, t->history, &a, &d);
	t->actions++;
	t->by_verdict[d.verdict]++;
	if (d.verdict == before)
		return;
	if (d.verdict > before)
		t->stricter++;
	else
		t->looser++;
	print_change(t, event, &a, before, &d);
}

static int replay(struct test *t, struct eventfile *f, struct err *err)
{
	struct eventfile_line line;
	for (;;) {
		int r = eventfile_next(f, &line, err);
		if (r == 0)
			return 0;
		if (r == -EBADMSG) { /* part of a log tells less than its sums pretend */
			t->damaged++;
			log_warn("%s", err->text);
			continue;
		}
		if (r < 0)
			return r;
		test_event(t, line.json);
		json_object_put(line.json);
	}
}

/* A file by its path, else a session. */
static int open_log(const char *given, struct eventfile *f, struct err *err)
{
	struct stat st;
	struct session s;
	if (given && strchr(given, '/') && stat(given, &st) == 0 && S_ISREG(st.st_mode))
		return eventfile_open_path(given, f, err);
	size_t len = given ? strlen(given) : 0;
	if (len > 6 && !strcmp(given + len - 6, ".jsonl"))
		return eventfile_open_path(given, f, err);
	int r = session_find(given, &s, err);
	if (r == 0) {
		r = eventfile_open(s.dirfd, f, err);
		session_close(&s);
	}
	return r;
}

static int load_history(const char *agent, struct history *h, struct err *err)
{
	char path[STATE_PATH_SIZE];
	if (!agent)
		return 0;
	cleanup_fd int state = state_open(path, err);
	cleanup_fd int agents = state < 0 ? state : state_subdir(state, "agents", err);
	return agents < 0 ? agents : history_load(h, agents, agent, err);
}

static int parse_fail_on(const char *text, bool *stricter, bool *looser, struct err *err)
{
	const char *word = text ? text : "any";
	bool any = !strcmp(word, "any");
	*stricter = any || !strcmp(word, "stricter");
	*looser = any || !strcmp(word, "looser");
	return *stricter || *looser || !strcmp(word, "none")
		       ? 0
		       : err_set(err, EINVAL, "--fail-on '%.20s': stricter, looser, any or none",
				 word);
}

static void print_sums(const struct test *t)
{
	if (t->json) {
		printf("],\"actions\":%llu,\"stricter\":%llu,\"looser\":%llu,\"damaged_lines\":%"
		       "llu,"
		       "\"decisions\":{",
		       (unsigned long long)t->actions, (unsigned long long)t->stricter,
		       (unsigned long long)t->looser, (unsigned long long)t->damaged);
		for (int v = 0; v < VERDICT_COUNT; v++)
			printf("%s\"%s\":%llu", v ? "," : "", verdict_name((enum verdict)v),
			       (unsigned long long)t->by_verdict[v]);
		puts("}}");
		return;
	}
	uint64_t changes = t->stricter + t->looser;
	if (changes > LISTED)
		printf("and %llu more\n", (unsigned long long)(changes - LISTED));
	printf("%llu actions: %llu would meet a stricter decision, %llu a more lenient one\n",
	       (unsigned long long)t->actions, (unsigned long long)t->stricter,
	       (unsigned long long)t->looser);
}

int policy_test(const struct options *o, struct err *err)
{
	struct policy_env env;
	struct policy *p = NULL;
	struct eventfile f = { .fd = -1 };
	bool stricter = false, looser = false;
	int r = options_want_args(o, 1, 1, err);
	if (r == 0)
		r = parse_fail_on(options_value(o, POLICY_FAIL_ON), &stricter, &looser, err);
	if (r < 0)
		return r;
	policy_environment(&env);
	struct test t = { .history = history_new(), .json = options_has(o, POLICY_JSON) };
	r = t.history ? policy_load(o->args[0], &env, &p, err)
		      : err_set(err, ENOMEM, "out of memory");
	t.policy = p;
	if (r == 0)
		r = load_history(options_value(o, POLICY_NAME), t.history, err);
	if (r == 0)
		r = open_log(options_value(o, POLICY_LOG), &f, err);
	if (r == 0) {
		if (t.json)
			fputs("{\"schema_version\":1,\"changes\":[", stdout);
		r = replay(&t, &f, err);
	}
	if (r == 0) {
		print_sums(&t);
		r = (stricter && t.stricter) || (looser && t.looser) || t.damaged;
	}
	eventfile_close(&f);
	history_free(t.history);
	policy_free(p);
	return r;
}
