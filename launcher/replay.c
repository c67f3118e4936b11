#include "launcher/replay.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "launcher/eventfile.h"
#include "scoring/judge.h"

/* "" means absent in the log; in an action it is NULL. */
static const char *text_or_null(const struct json_object *event, const char *name)
{
	const char *text = event_text(event, name);
	return *text ? text : NULL;
}

static enum action_op op_of(const char *name)
{
	for (int op = OP_NONE + 1; op < OP_COUNT; op++)
		if (!strcmp(name, action_op_name((enum action_op)op)))
			return (enum action_op)op;
	return OP_NONE;
}

static enum provenance provenance_of(const char *name)
{
	for (int p = PROVENANCE_UNKNOWN + 1; p < PROVENANCE_COUNT; p++)
		if (!strcmp(name, provenance_name((enum provenance)p)))
			return (enum provenance)p;
	return PROVENANCE_UNKNOWN;
}

/* "2026-11-22T10:23:04.881757090Z", as event_json writes it. */
static uint64_t wall_of(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!rest)
		return 0;
	time_t seconds = timegm(&tm);
	unsigned long fraction = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
	return seconds < 0 ? 0 : (uint64_t)seconds * 1000000000u + fraction;
}

/* The score looks at how a file is opened, at these bits of it. */
static uint32_t flags_of(const struct json_object *event)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} known[] = { { "O_WRONLY", O_WRONLY },   { "O_RDWR", O_RDWR },
		      { "O_CREAT", O_CREAT },     { "O_EXCL", O_EXCL },
		      { "O_TRUNC", O_TRUNC },     { "O_APPEND", O_APPEND },
		      { "O_TMPFILE", O_TMPFILE }, { "O_DIRECTORY", O_DIRECTORY },
		      { "O_PATH", O_PATH },       { "O_NOFOLLOW", O_NOFOLLOW } };
	struct json_object *list;
	uint32_t flags = 0;
	if (!json_object_object_get_ex(event, "flags", &list) ||
	    !json_object_is_type(list, json_type_array))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(list, i));
		for (size_t k = 0; name && k < sizeof(known) / sizeof(known[0]); k++)
			if (!strcmp(name, known[k].name))
				flags |= known[k].bits;
	}
	return flags;
}

static void argv_of(const struct json_object *event, struct replay_room *room, struct action *a)
{
	struct json_object *list, *cut;
	if (!json_object_object_get_ex(event, "argv", &list) ||
	    !json_object_is_type(list, json_type_array))
		return;
	a->argv = room->argv;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(list, i));
		size_t size = word ? strlen(word) + 1 : 0;
		if (!size)
			continue;
		if (a->argv_len + size > sizeof(room->argv)) {
			a->argv_truncated = true;
			return;
		}
		memcpy(room->argv + a->argv_len, word, size);
		a->argv_len += size;
		a->argc++;
	}
	if (json_object_object_get_ex(event, "argv_truncated", &cut))
		a->argv_truncated = json_object_get_boolean(cut);
}

bool replay_action(const struct json_object *event, struct replay_room *room, struct action *ret)
{
	enum action_type type;
	struct json_object *o;
	if (strcmp(event_text(event, "kind"), "action") != 0 ||
	    action_type_parse(event_text(event, "type"), &type) < 0)
		return false;
	*ret = (struct action){
		.type = type,
		.op = op_of(event_text(event, "op")),
		.provenance = provenance_of(event_text(event, "provenance")),
		.resource = event_text(event, "resource"),
		.resource2 = text_or_null(event, "resource2"),
		.alias = text_or_null(event, "alias"),
		.cwd = text_or_null(event, "cwd"),
		.statement = text_or_null(event, "statement"),
		.address = text_or_null(event, "address"),
		.protocol = text_or_null(event, "protocol"),
		.port = (uint16_t)event_number(event, "port"),
		.open_flags = flags_of(event),
		.mode = (uint32_t)strtoul(event_text(event, "mode"), NULL, 8),
		.pid = (pid_t)event_number(event, "pid"),
		.tid = (pid_t)event_number(event, "tid"),
		.start_ticks = (uint64_t)event_number(event, "start_ticks"),
		.program = event_text(event, "program"),
		.mono_ns = (uint64_t)event_number(event, "mono_ns"),
		.wall_ns = wall_of(event_text(event, "time")),
		.syscall_nr = UINT32_MAX,
	};
	ret->size_bytes =
		json_object_object_get_ex(event, "size", &o) ? json_object_get_int64(o) : -1;
	ret->resolved =
		json_object_object_get_ex(event, "resolved", &o) && json_object_get_boolean(o);
	time_t at = (time_t)(ret->wall_ns / 1000000000u);
	struct tm local;
	if (localtime_r(&at, &local))
		ret->utc_offset_min = (int16_t)(local.tm_gmtoff / 60);
	argv_of(event, room, ret);
	return true;
}

bool replay_verdict(const struct json_object *event, enum verdict *ret)
{
	const char *name = event_text(event, "decision");
	for (int v = 0; v < VERDICT_COUNT; v++) {
		if (strcmp(name, verdict_name((enum verdict)v)) != 0)
			continue;
		*ret = (enum verdict)v;
		return true;
	}
	return false;
}

void replay_judge(const struct policy *p, struct history *h, const struct action *a,
		  struct decision *ret)
{
	judge(p, AGENT_RUNNING, h, a, ret);
	if (!ret->ambient)
		history_note(h, a, ret->verdict < VERDICT_PAUSE);
}
