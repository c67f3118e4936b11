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

/* On a terminal of @width a row is cut to it: what asks for somebody stands before the command. */
static void print_row(const struct session *s, const struct live *live, unsigned width)
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
		term_line(stdout, row, width);
		return;
	}
	buf_printf(&b, "%-14s %4s %6llu  %-12.24s %-10.20s ", started, code,
		   (unsigned long long)denied(s), session_text(s, "agent"),
		   session_text(s, "policy"));
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
	term_line(stdout, row, width);
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
		unsigned width = term_width(STDOUT_FILENO);
		term_line(stdout,
			  "SESSION          STATE    STARTED        EXIT DENIED  AGENT        "
			  "POLICY    "
			  " COMMAND",
			  width);
		for (int i = 0; i < count; i++) {
			live_ask(&list[i], &budget_ms, &live);
			print_row(&list[i], &live, width);
		}
	}
	session_list_free(list, count);
	return out_finish();
}
