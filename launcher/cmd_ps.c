#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/scope.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/live.h"
#include "launcher/log.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"

enum { PS_JSON };
const struct option_spec ps_options[] = {
	[PS_JSON] = { "json", 0, NULL, "as JSON" },
	{ NULL },
};

static uint64_t denied(const struct session *s)
{
	struct json_object *decisions;
	if (!s->end || !json_object_object_get_ex(s->end, "decisions", &decisions))
		return 0;
	return (uint64_t)(event_number(decisions, "block") + event_number(decisions, "pause") +
			  event_number(decisions, "rollback"));
}

static void print_json(const struct session *s, const struct live *live)
{
	putchar('{');
	json_member(stdout, true, "id", s->id);
	json_member(stdout, false, "state", session_state_name(s->state));
	live_json(live, stdout);
	if (s->damage[0])
		json_member(stdout, false, "damage", s->damage);
	if (s->start)
		printf(",\"start\":%s",
		       json_object_to_json_string_ext(s->start, JSON_C_TO_STRING_PLAIN));
	if (s->end)
		printf(",\"end\":%s",
		       json_object_to_json_string_ext(s->end, JSON_C_TO_STRING_PLAIN));
	putchar('}');
}

static void command_text(const struct session *s, struct buf *b)
{
	struct json_object *argv;
	if (!s->start || !json_object_object_get_ex(s->start, "argv", &argv) ||
	    !json_object_is_type(argv, json_type_array))
		return;
	size_t count = json_object_array_length(argv);
	for (size_t i = 0; i < count && !b->overflow; i++) {
		char *const one[] = { (char *)(uintptr_t)json_object_get_string(
					      json_object_array_get_idx(argv, i)),
				      NULL };
		if (i)
			buf_putc(b, ' ');
		term_argv(b, one);
	}
}

static bool is_degraded(const struct session *s)
{
	struct json_object *degraded;
	return json_object_object_get_ex(s->start, "degraded", &degraded) &&
	       json_object_is_type(degraded, json_type_array) && json_object_array_length(degraded);
}

/* Widths in bytes: a narrow terminal is left to the command, as far as the names here are short. */
struct columns {
	int agent, policy;
	unsigned all; /* of the terminal, in cells */
};

static int wider(int width, const char *text)
{
	enum { WIDEST = 24 };
	int len = (int)strnlen(text, WIDEST);
	return len > width ? len : width;
}

static struct columns measure(const struct session *list, int count)
{
	struct columns c = { .agent = (int)strlen("AGENT"),
			     .policy = (int)strlen("POLICY"),
			     .all = term_width(STDOUT_FILENO) };
	for (int i = 0; i < count; i++) {
		c.agent = wider(c.agent, session_text(&list[i], "agent"));
		c.policy = wider(c.policy, session_text(&list[i], "policy"));
	}
	return c;
}

static void print_head(const struct columns *c)
{
	char row[128];
	snprintf(row, sizeof(row), "%-16s %-8s %-14s EXIT DENIED  %-*s  %-*s  COMMAND", "SESSION",
		 "STATE", "STARTED", c->agent, "AGENT", c->policy, "POLICY");
	term_line(stdout, row, c->all);
}

/* A row is cut to the terminal: what asks for somebody stands before the command. */
static void print_row(const struct session *s, const struct live *live, const struct columns *w)
{
	char row[1024], started[32] = "-", code[16] = "-";
	struct buf b;
	time_t at = (time_t)(session_number(s, "started_ns") / 1000000000);
	struct tm tm;
	if (at && localtime_r(&at, &tm))
		strftime(started, sizeof(started), "%m-%d %H:%M:%S", &tm);
	if (s->end)
		snprintf(code, sizeof(code), "%lld", (long long)event_number(s->end, "exit_code"));
	buf_init(&b, row, sizeof(row));
	buf_printf(&b, "%-16s %-8s ", s->id, live_state_name(s, live));
	if (s->state == SESSION_DAMAGED) {
		buf_term(&b, s->damage, strlen(s->damage));
		term_line(stdout, row, w->all);
		return;
	}
	buf_printf(&b, "%-14s %4s %6llu  %-*.*s  %-*.*s  ", started, code,
		   (unsigned long long)denied(s), w->agent, w->agent, session_text(s, "agent"),
		   w->policy, w->policy, session_text(s, "policy"));
	if (live->approvals)
		buf_printf(&b, "(%u wait%s for approval) ", live->approvals,
			   live->approvals == 1 ? "s" : "");
	if (is_degraded(s))
		buf_puts(&b, "(degraded) ");
	char command[160];
	struct buf c;
	buf_init(&c, command, sizeof(command));
	command_text(s, &c);
	buf_printf(&b, "%s%s", command, c.overflow ? "…" : "");
	term_line(stdout, row, w->all);
}

int cmd_ps(const struct options *o)
{
	char path[STATE_PATH_SIZE];
	struct session *list = NULL;
	struct live live;
	unsigned budget_ms = LIVE_BUDGET_MS;
	struct err err;
	cleanup_fd int state = -1;
	int count = options_want_args(o, 0, 0, &err);
	if (count == 0)
		count = state = state_open(path, &err);
	if (count >= 0)
		count = session_list(state, path, &list, &err);
	if (count < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	if (options_has(o, PS_JSON)) {
		fputs("{\"schema_version\":1,\"sessions\":[", stdout);
		for (int i = 0; i < count; i++) {
			fputs(i ? "," : "", stdout);
			live_ask(&list[i], &budget_ms, &live);
			print_json(&list[i], &live);
		}
		puts("]}");
	} else if (count) {
		struct columns columns = measure(list, count);
		print_head(&columns);
		for (int i = 0; i < count; i++) {
			live_ask(&list[i], &budget_ms, &live);
			print_row(&list[i], &live, &columns);
		}
	}
	session_list_free(list, count);
	return out_finish();
}
