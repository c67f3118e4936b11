#include <json-c/json.h>
#include <stdio.h>
#include <time.h>

#include "launcher/digest.h"
#include "launcher/effects.h"
#include "launcher/eventfile.h"
#include "launcher/exit.h"
#include "launcher/live.h"
#include "launcher/log.h"
#include "launcher/session.h"
#include "launcher/term.h"
#include "launcher/verb.h"
#include "rootfs/undo.h"

enum { SHOW_JSON };
const struct option_spec show_options[] = {
	[SHOW_JSON] = { "json", 0, NULL, "as JSON" },
	{ NULL },
};

static void line(const char *name, const char *text)
{
	if (!*text)
		return;
	printf("%-11s", name);
	term_text(stdout, text);
	putchar('\n');
}

static void line_time(const char *name, int64_t ns)
{
	char text[64];
	time_t at = (time_t)(ns / 1000000000);
	struct tm tm;
	if (ns && localtime_r(&at, &tm) && strftime(text, sizeof(text), "%F %T %z", &tm))
		line(name, text);
}

/* "block 3, alert 1": the members of @counts that are not 0. */
static void line_counts(const char *name, struct json_object *counts)
{
	const char *comma = "";
	printf("%-11s", name);
	json_object_object_foreach(counts, key, value)
	{
		if (!json_object_get_int64(value))
			continue;
		printf("%s", comma);
		term_text(stdout, key);
		printf(" %lld", (long long)json_object_get_int64(value));
		comma = ", ";
	}
	puts(*comma ? "" : "none");
}

static void print_text(const struct session *s, const struct live *live)
{
	struct json_object *o;
	char text[4096] = "";
	struct buf b;
	printf("%-11s%s\n%-11s%s\n", "session", s->id, "state", live_state_name(s, live));
	if (live->approvals)
		printf("%-11s%u: vsandbox approve list %s\n", "to approve", live->approvals, s->id);
	line("damage", s->damage);
	if (s->start && json_object_object_get_ex(s->start, "argv", &o) &&
	    json_object_is_type(o, json_type_array)) {
		buf_init(&b, text, sizeof(text));
		for (size_t i = 0; i < json_object_array_length(o); i++) {
			const char *arg = json_object_get_string(json_object_array_get_idx(o, i));
			char *const one[] = { (char *)(uintptr_t)arg, NULL };
			buf_puts(&b, i ? " " : "");
			term_argv(&b, one);
		}
		printf("%-11s%s\n", "command", text);
	}
	line("agent", session_text(s, "agent"));
	line("policy", session_text(s, "policy"));
	line("from", session_text(s, "policy_file"));
	line("mode", session_text(s, "mode"));
	line("network", session_text(s, "net"));
	line("directory", session_text(s, "cwd"));
	if (s->start && json_object_object_get_ex(s->start, "degraded", &o) &&
	    json_object_is_type(o, json_type_array) && json_object_array_length(o))
		line("degraded", json_object_to_json_string(o));
	line_time("started", session_number(s, "started_ns"));
	if (s->end) {
		line_time("ended", event_number(s->end, "ended_ns"));
		printf("%-11s%lld\n", "exit code", (long long)event_number(s->end, "exit_code"));
		line("because of", event_text(s->end, "reason"));
		if (json_object_object_get_ex(s->end, "decisions", &o))
			line_counts("decisions", o);
		if (json_object_object_get_ex(s->end, "types", &o))
			line_counts("actions", o);
		if (json_object_object_get_ex(s->end, "external_effects", &o))
			effects_print(stdout, "reached    ", o);
	}
	struct digest d = { 0 };
	if (digest_collect(s->dirfd, &d) == 0)
		printf("%-11s%llu deleted, %llu modified, %llu added\n", "changes",
		       (unsigned long long)d.count[CHANGE_DELETED],
		       (unsigned long long)d.count[CHANGE_MODIFIED],
		       (unsigned long long)d.count[CHANGE_ADDED]);
	digest_finish(&d);
	printf("%-11s%llu\n", "can undo", (unsigned long long)undo_count(s->dirfd, 0));
	line("kept in", s->path);
}

int cmd_show(const struct options *o)
{
	struct session s;
	struct live live;
	unsigned budget_ms = LIVE_BUDGET_MS;
	struct err err;
	int r = verb_session(o, &s, &err);
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_USAGE;
	}
	live_ask(&s, &budget_ms, &live);
	if (options_has(o, SHOW_JSON)) {
		printf("{\"schema_version\":1");
		json_member(stdout, false, "id", s.id);
		json_member(stdout, false, "state", session_state_name(s.state));
		live_json(&live, stdout);
		json_member(stdout, false, "path", s.path);
		printf(",\"start\":%s",
		       json_object_to_json_string_ext(s.start, JSON_C_TO_STRING_PLAIN));
		printf(",\"undoable\":%llu", (unsigned long long)undo_count(s.dirfd, 0));
		printf(",\"end\":%s}\n",
		       json_object_to_json_string_ext(s.end, JSON_C_TO_STRING_PLAIN));
	} else {
		print_text(&s, &live);
	}
	session_close(&s);
	return out_finish();
}
