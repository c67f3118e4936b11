/*
 * top: what each running session does right now, from the ends of their logs. Redrawn every second
 * on a terminal; anywhere else, and with --once, one look.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/action.h"
#include "base/clock.h"
#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/replay.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { TOP_ONCE, TOP_JSON };
const struct option_spec top_options[] = {
	[TOP_ONCE] = { "once", 0, NULL, "one look, without redrawing" },
	[TOP_JSON] = { "json", 0, NULL, "one look, as JSON" },
	{ NULL },
};

/* A minute of a busy session fits; of a busier one the rates say "at least". */
enum { TAIL_BYTES = 8 << 20, SPANS = 3 };
static const unsigned span_s[SPANS] = { 1, 10, 60 };

struct load {
	uint64_t actions[SPANS];
	uint64_t by_type[ACTION_TYPE_COUNT];
	uint64_t alerts, denials; /* of the last minute */
	double top_score;
	bool cut; /* the tail begins within the minute */
	char last[200];
};

static void count_event(struct load *l, const struct json_object *event, uint64_t now_ns)
{
	struct replay_room room;
	struct action a;
	enum verdict verdict = VERDICT_ALLOW;
	if (!replay_action(event, &room, &a) || !replay_verdict(event, &verdict))
		return;
	uint64_t age_ns = now_ns > a.mono_ns ? now_ns - a.mono_ns : 0;
	if (age_ns > span_s[SPANS - 1] * UINT64_C(1000000000))
		return;
	for (int i = 0; i < SPANS; i++)
		l->actions[i] += age_ns <= span_s[i] * UINT64_C(1000000000);
	l->by_type[a.type]++;
	l->alerts += verdict == VERDICT_ALERT;
	l->denials += verdict > VERDICT_ALERT;
	double score = event_real(event, "score");
	if (score > l->top_score)
		l->top_score = score;
	struct buf b;
	buf_init(&b, l->last, sizeof(l->last));
	buf_printf(&b, "%s ", action_type_name(a.type));
	term_path(&b, a.resource);
}

static void read_load(const struct session *s, struct load *ret)
{
	char path[STATE_PATH_SIZE + 32];
	struct eventfile f;
	struct eventfile_line line;
	struct err err;
	*ret = (struct load){ 0 };
	snprintf(path, sizeof(path), "%s/events.jsonl", s->path);
	if (eventfile_open_path(path, &f, &err) < 0)
		return;
	off_t size = lseek(f.fd, 0, SEEK_END);
	bool tail = size > TAIL_BYTES;
	lseek(f.fd, tail ? size - TAIL_BYTES : 0, SEEK_SET);
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	bool first = true;
	for (int r; (r = eventfile_next(&f, &line, &err)) != 0;) {
		if (r < 0 && r != -EBADMSG)
			break;
		if (r < 0) /* a tail begins in the middle of a line */
			continue;
		uint64_t at = (uint64_t)event_number(line.json, "mono_ns");
		if (first && tail)
			ret->cut = now - at < span_s[SPANS - 1] * UINT64_C(1000000000);
		first = false;
		count_event(ret, line.json, now);
		json_object_put(line.json);
	}
	eventfile_close(&f);
}

static void print_json(const struct session *s, const struct load *l, bool first)
{
	fputs(first ? "{" : ",{", stdout);
	json_member(stdout, true, "id", s->id);
	json_member(stdout, false, "agent", session_text(s, "agent"));
	json_member(stdout, false, "policy", session_text(s, "policy"));
	fputs(",\"actions\":{", stdout);
	for (int i = 0; i < SPANS; i++)
		printf("%s\"%us\":%llu", i ? "," : "", span_s[i],
		       (unsigned long long)l->actions[i]);
	fputs("},\"types\":{", stdout);
	const char *comma = "";
	for (int t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++) {
		if (!l->by_type[t])
			continue;
		printf("%s\"%s\":%llu", comma, action_type_name((enum action_type)t),
		       (unsigned long long)l->by_type[t]);
		comma = ",";
	}
	printf("},\"alerts\":%llu,\"denials\":%llu,\"top_score\":%.4f,\"at_least\":%s}",
	       (unsigned long long)l->alerts, (unsigned long long)l->denials, l->top_score,
	       l->cut ? "true" : "false");
}

static void print_row(const struct session *s, const struct load *l, unsigned width)
{
	char text[512];
	double rate = (double)l->actions[1] / span_s[1];
	snprintf(text, sizeof(text),
		 "%-16s %-12.12s %-12.12s %6llu %8.1f %7llu%c %6llu %6llu  %.2f  %s", s->id,
		 session_text(s, "agent"), session_text(s, "policy"),
		 (unsigned long long)l->actions[0], rate, (unsigned long long)l->actions[2],
		 l->cut ? '+' : ' ', (unsigned long long)l->alerts, (unsigned long long)l->denials,
		 l->top_score, l->last);
	term_line(stdout, text, width);
}

/* Number of running sessions shown, or -errno. */
static int show(bool json, struct err *err)
{
	char path[STATE_PATH_SIZE];
	struct session *list = NULL;
	cleanup_fd int state = state_open(path, err);
	int count = state < 0 ? state : session_list(state, path, &list, err), shown = 0;
	unsigned width = json ? 0 : term_width(STDOUT_FILENO);
	if (count < 0)
		return count;
	if (json)
		fputs("{\"schema_version\":1,\"sessions\":[", stdout);
	else
		term_line(stdout,
			  "SESSION          AGENT        POLICY       LAST1S  /S(10S)  LAST60S  "
			  "ALERTS DENIED SCORE LAST ACTION",
			  width);
	for (int i = 0; i < count; i++) {
		struct load l;
		if (list[i].state != SESSION_RUNNING)
			continue;
		read_load(&list[i], &l);
		if (json)
			print_json(&list[i], &l, shown == 0);
		else
			print_row(&list[i], &l, width);
		shown++;
	}
	if (json)
		puts("]}");
	session_list_free(list, count);
	return shown;
}

int cmd_top(const struct options *o)
{
	struct err err;
	bool json = options_has(o, TOP_JSON);
	int r = options_want_args(o, 0, 0, &err);
	bool live = !json && !options_has(o, TOP_ONCE) && isatty(STDOUT_FILENO);
	while (r >= 0) {
		if (live)
			fputs("\033[H\033[2J", stdout); /* until Ctrl-C */
		r = show(json, &err);
		if (live && r == 0)
			puts("no session is running");
		if (!live || r < 0 || fflush(stdout) != 0)
			break;
		sleep(1);
	}
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	return out_finish();
}
