#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/action.h"
#include "base/nearest.h"
#include "base/verdict.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/log.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { LOGS_FOLLOW, LOGS_JSON, LOGS_TYPE, LOGS_DECISION, LOGS_SINCE };
const struct option_spec logs_options[] = {
	[LOGS_FOLLOW] = { "follow", 'f', NULL, "go on until the session ends" },
	[LOGS_JSON] = { "json", 0, NULL, "the lines as they are kept: vsandbox-events(5)" },
	[LOGS_TYPE] = { "type", 0, "TYPE",
			"only this action type: file_write, network_request, …" },
	[LOGS_DECISION] = { "decision", 0, "VERDICT", "only this decision: block, alert, allow" },
	[LOGS_SINCE] = { "since", 0, "TIME",
			 "only since 10m, 2h, 1d ago, or a UTC time 2026-01-31T12:00" },
	{ NULL },
};

struct filter {
	const char *type, *decision;
	char since[40]; /* as the "time" member: such texts compare as the times do */
};

static int parse_since(const char *text, char since[static 40], struct err *err)
{
	char *end;
	long n = strtol(text, &end, 10);
	const char *units = "smhd";
	static const long seconds[] = { 1, 60, 3600, 86400 };
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (end != text && n >= 0 && n < 100000000 && unit && !end[1]) {
		time_t at = time(NULL) - n * seconds[unit - units];
		struct tm tm;
		gmtime_r(&at, &tm);
		strftime(since, 40, "%FT%T", &tm);
		return 0;
	}
	if (strlen(text) >= 10 && strlen(text) < 40 && text[4] == '-' && text[7] == '-' &&
	    strspn(text, "0123456789-:.TZ") == strlen(text)) {
		snprintf(since, 40, "%s", text);
		return 0;
	}
	return err_set(err, EINVAL, "--since '%.40s': give 30s, 10m, 2h, 1d or 2026-01-31T12:00",
		       text);
}

static int parse_filter(const struct options *o, struct filter *ret, struct err *err)
{
	enum action_type type;
	*ret = (struct filter){ .type = options_value(o, LOGS_TYPE),
				.decision = options_value(o, LOGS_DECISION) };
	if (ret->type && action_type_parse(ret->type, &type) < 0) {
		const char *names[ACTION_TYPE_COUNT] = { NULL };
		for (int i = ACTION_NONE + 1; i < ACTION_TYPE_COUNT; i++)
			names[i - 1] = action_type_name((enum action_type)i);
		const char *near = nearest_word(ret->type, names, sizeof(names[0]));
		return err_set(err, EINVAL, "--type '%.40s' is no action type; %s%s", ret->type,
			       near ? "did you mean " : "vsandbox-policy(5) lists them",
			       near ? near : "");
	}
	for (int v = 0; ret->decision && strcmp(ret->decision, verdict_name((enum verdict)v));) {
		if (++v == VERDICT_COUNT)
			return err_set(err, EINVAL,
				       "--decision '%.40s': one of allow, alert, pause, "
				       "rollback, block",
				       ret->decision);
	}
	const char *since = options_value(o, LOGS_SINCE);
	return since ? parse_since(since, ret->since, err) : 0;
}

static bool passes(const struct filter *f, const struct json_object *event)
{
	return (!f->type || !strcmp(event_text(event, "type"), f->type)) &&
	       (!f->decision || !strcmp(event_text(event, "decision"), f->decision)) &&
	       (!f->since[0] || strcmp(event_text(event, "time"), f->since) >= 0);
}

static void print_action(const struct json_object *event)
{
	const char *decision = event_text(event, "decision");
	bool color = term_color(1);
	const char *style = !strcmp(decision, "block")   ? TERM_RED
			    : !strcmp(decision, "allow") ? ""
							 : TERM_YELLOW;
	printf("%s%-6s%s %-16s %-8s %4.2f  ", color ? style : "", decision, color ? TERM_RESET : "",
	       event_text(event, "type"), event_text(event, "op"), event_real(event, "score"));
	char text[6000];
	struct buf b;
	buf_init(&b, text, sizeof(text));
	term_path(&b, event_text(event, "resource"));
	fputs(text, stdout);
	if (*event_text(event, "resource2")) {
		fputs(" -> ", stdout);
		buf_init(&b, text, sizeof(text));
		term_path(&b, event_text(event, "resource2"));
		fputs(text, stdout);
	}
	if (*event_text(event, "rule")) {
		fputs(" (rule ", stdout);
		term_text(stdout, event_text(event, "rule"));
		putchar(')');
	}
	if (*event_text(event, "result_errno"))
		printf(" = %s", event_text(event, "result_errno"));
}

static void print_text(const struct json_object *event)
{
	const char *kind = event_text(event, "kind");
	/* The time of day is enough beside each other; the date is in `show`. */
	const char *when = event_text(event, "time");
	const char *clock = strchr(when, 'T');
	printf("%6lld %.12s ", (long long)event_number(event, "seq"), clock ? clock + 1 : "-");
	if (!strcmp(kind, "action")) {
		print_action(event);
	} else {
		printf("%-6s %s ", "-", kind);
		term_text(stdout, event_text(event, "program"));
		term_text(stdout, event_text(event, "text"));
	}
	putchar('\n');
}

static void print_new(struct eventfile *f, const struct filter *filter, bool json)
{
	struct eventfile_line line;
	struct err err;
	for (int r; (r = eventfile_next(f, &line, &err)) != 0;) {
		if (r < 0) {
			log_warn("%s", err.text);
			if (r != -EBADMSG)
				return;
			continue;
		}
		if (passes(filter, line.json)) {
			if (json)
				puts(line.text);
			else
				print_text(line.json);
		}
		json_object_put(line.json);
	}
}

static int print_log(struct session *s, const struct filter *filter, const struct options *o,
		     struct err *err)
{
	struct eventfile f;
	int r = eventfile_open(s->dirfd, &f, err);
	if (r < 0)
		return r;
	bool json = options_has(o, LOGS_JSON);
	print_new(&f, filter, json);
	while (options_has(o, LOGS_FOLLOW) && s->state == SESSION_RUNNING && !ferror(stdout)) {
		struct timespec pause = { .tv_nsec = 100000000 };
		fflush(stdout);
		nanosleep(&pause, NULL);
		/* Looked at before the log is, so that its last lines are not missed. */
		session_refresh(s);
		print_new(&f, filter, json);
	}
	eventfile_close(&f);
	return 0;
}

int cmd_logs(const struct options *o)
{
	struct session s;
	struct filter filter;
	struct err err;
	int r = options_want_args(o, 0, 1, &err);
	if (r == 0)
		r = parse_filter(o, &filter, &err);
	if (r == 0)
		r = session_find(o->args[0], &s, &err);
	if (r == 0) {
		r = print_log(&s, &filter, o, &err);
		session_close(&s);
	}
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	return out_finish();
}
