#include "base/event.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/kernel.h"

enum {
	PACKED_MAGIC = 0x76455356, /* "VSEv" */
	CUT_TEXT_MAX = 512,        /* short texts: notices, names, reasons */
};

/* Every string of an event, the weightiest first: when room ends, the last are cut. */
enum string_id {
	STRING_SYSCALL,
	STRING_PROTOCOL,
	STRING_ADDRESS,
	STRING_RULE,
	STRING_FILE,
	STRING_WHY, /* one for each dimension */
	STRING_TEXT = STRING_WHY + DIMENSION_COUNT,
	STRING_RESOURCE,
	STRING_RESOURCE2,
	STRING_ARGV,
	STRING_PROGRAM,
	STRING_STATEMENT,
	STRING_CWD,
	STRING_ALIAS,
	STRING_ANCESTRY, /* ACTION_ANCESTRY_MAX of them */
	STRING_COUNT = STRING_ANCESTRY + ACTION_ANCESTRY_MAX,
};

enum packed_flag {
	PACKED_ARGV_TRUNCATED = 1 << 0,
	PACKED_RESOLVED = 1 << 1,
	PACKED_OBSERVED = 1 << 2,
	PACKED_AMBIENT = 1 << 3,
};

/* Offset 0, where no string can be, stands for NULL. */
struct packed_string {
	uint32_t offset, len; /* without the NUL that follows */
};

/* Read and written with memcpy only, so @out and @bytes may lie anywhere. */
struct packed {
	uint32_t magic;
	uint32_t size; /* of all, strings included */
	uint64_t seq, mono_ns, wall_ns, ambient_count, bytes_out, bytes_in;
	int32_t result, status;
	uint32_t kind, type, op, provenance;
	uint32_t argc, flags;
	uint64_t action_mono_ns, action_wall_ns, start_ticks;
	int64_t size_bytes;
	uint32_t open_flags, mode;
	int32_t pid, tid;
	uint32_t port, syscall_nr;
	int32_t utc_offset_min, deny_errno;
	uint32_t verdict, reason, line;
	float total;
	float x[DIMENSION_COUNT];
	uint32_t repeats;
	struct packed_string strings[STRING_COUNT];
};
_Static_assert(sizeof(struct packed) % 8 == 0, "no padding, so every byte is written");
_Static_assert(sizeof(struct packed) + 16384 < EVENT_PACKED_MAX, "room for the strings");

static const char *const kind_names[] = {
	[EVENT_SESSION_START] = "session_start",
	[EVENT_ACTION] = "action",
	[EVENT_PROCESS_EXIT] = "process_exit",
	[EVENT_SAMPLE] = "sample",
	[EVENT_NOTICE] = "notice",
	[EVENT_SESSION_END] = "session_end",
	[EVENT_CONNECTION_END] = "connection_end",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == EVENT_KIND_COUNT, "a name each");

const char *event_kind_name(enum event_kind kind)
{
	return (unsigned)kind < EVENT_KIND_COUNT ? kind_names[kind] : "invalid";
}

void event_stamp(struct event *e)
{
	e->mono_ns = clock_ns(CLOCK_MONOTONIC);
	e->wall_ns = clock_ns(CLOCK_REALTIME);
}

/* Where strings go: @at grows towards @end. */
struct packer {
	unsigned char *out;
	size_t at, end;
	struct packed *head;
};

static const char cut_mark[] = "...[cut]";

static void pack_string(struct packer *p, unsigned id, const char *text, size_t max)
{
	if (!text)
		return;
	size_t room = p->end - p->at;
	if (room < sizeof(cut_mark))
		return;
	if (max > room - 1)
		max = room - 1;
	size_t len = strnlen(text, max + 1);
	if (len > max) {
		size_t kept = max - (sizeof(cut_mark) - 1);
		memcpy(p->out + p->at, text, kept);
		memcpy(p->out + p->at + kept, cut_mark, sizeof(cut_mark) - 1);
		len = max;
	} else {
		memcpy(p->out + p->at, text, len);
	}
	p->out[p->at + len] = '\0';
	p->head->strings[id] =
		(struct packed_string){ .offset = (uint32_t)p->at, .len = (uint32_t)len };
	p->at += len + 1;
}

/* The count is taken from the bytes kept, so that the two always agree. */
static void pack_argv(struct packer *p, const struct action *a)
{
	size_t room = p->end - p->at, len = a->argv_len;
	if (!a->argv || len == 0 || room < 2)
		return;
	if (len > ACTION_ARGV_SIZE || len > room - 1) {
		len = room - 1 < ACTION_ARGV_SIZE ? room - 1 : ACTION_ARGV_SIZE;
		p->head->flags |= PACKED_ARGV_TRUNCATED;
	}
	char *bytes = (char *)p->out + p->at;
	memcpy(bytes, a->argv, len);
	bytes[len] = '\0';
	/* A last argument without its NUL gets the one behind it. */
	size_t end = bytes[len - 1] == '\0' ? len - 1 : len;
	for (size_t i = 0; i <= end; i++)
		p->head->argc += bytes[i] == '\0';
	p->head->strings[STRING_ARGV] =
		(struct packed_string){ .offset = (uint32_t)p->at, .len = (uint32_t)end };
	p->at += end + 1;
}

/* A score that is no number counts as the worst. */
static float unit_range(float x)
{
	if (x >= 0.0f && x <= 1.0f)
		return x;
	return x < 0.0f ? 0.0f : 1.0f;
}

size_t event_pack(const struct event *e, unsigned char *out, size_t size)
{
	const struct action *a = &e->action;
	const struct decision *d = &e->decision;

	if (size > EVENT_PACKED_MAX)
		size = EVENT_PACKED_MAX;
	size &= ~(size_t)7;
	if (size < sizeof(struct packed))
		return 0;

	struct packed head = {
		.magic = PACKED_MAGIC,
		.seq = e->seq,
		.mono_ns = e->mono_ns,
		.wall_ns = e->wall_ns,
		.ambient_count = e->ambient_count,
		.repeats = e->repeats,
		.bytes_out = e->bytes_out,
		.bytes_in = e->bytes_in,
		.result = e->result,
		.status = e->status,
		.kind = e->kind,
		.type = a->type,
		.op = a->op,
		.provenance = a->provenance,
		.flags = (a->argv_truncated ? PACKED_ARGV_TRUNCATED : 0u) |
			 (a->resolved ? PACKED_RESOLVED : 0u) |
			 (d->observed ? PACKED_OBSERVED : 0u) | (d->ambient ? PACKED_AMBIENT : 0u),
		.action_mono_ns = a->mono_ns,
		.action_wall_ns = a->wall_ns,
		.start_ticks = a->start_ticks,
		.size_bytes = a->size_bytes,
		.open_flags = a->open_flags,
		.mode = a->mode,
		.pid = a->pid,
		.tid = a->tid,
		.port = a->port,
		.syscall_nr = a->syscall_nr,
		.utc_offset_min = a->utc_offset_min,
		.deny_errno = d->deny_errno,
		.verdict = d->verdict,
		.reason = d->reason,
		.line = d->line,
		.total = unit_range(d->score.total),
	};
	struct packer p = { .out = out, .at = sizeof(head), .end = size, .head = &head };

	pack_string(&p, STRING_SYSCALL, e->syscall, CUT_TEXT_MAX);
	pack_string(&p, STRING_PROTOCOL, a->protocol, CUT_TEXT_MAX);
	pack_string(&p, STRING_ADDRESS, a->address, CUT_TEXT_MAX);
	pack_string(&p, STRING_RULE, d->rule, CUT_TEXT_MAX);
	pack_string(&p, STRING_FILE, d->file, ACTION_PATH_SIZE);
	for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
		head.x[i] = unit_range(d->score.x[i]);
		pack_string(&p, STRING_WHY + i, d->score.why[i], CUT_TEXT_MAX);
	}
	pack_string(&p, STRING_TEXT, e->text, ACTION_PATH_SIZE);
	pack_string(&p, STRING_RESOURCE, a->resource, ACTION_PATH_SIZE);
	pack_string(&p, STRING_RESOURCE2, a->resource2, ACTION_PATH_SIZE);
	pack_argv(&p, a);
	pack_string(&p, STRING_PROGRAM, a->program, ACTION_PATH_SIZE);
	pack_string(&p, STRING_STATEMENT, a->statement, ACTION_PATH_SIZE);
	pack_string(&p, STRING_CWD, a->cwd, ACTION_PATH_SIZE);
	pack_string(&p, STRING_ALIAS, a->alias, ACTION_PATH_SIZE);
	for (unsigned i = 0; i < ACTION_ANCESTRY_MAX && a->ancestry[i]; i++)
		pack_string(&p, STRING_ANCESTRY + i, a->ancestry[i], ACTION_PATH_SIZE);

	while (p.at % 8 != 0)
		out[p.at++] = 0;
	head.size = (uint32_t)p.at;
	memcpy(out, &head, sizeof(head));
	return p.at;
}

static bool valid_head(const struct packed *head, size_t len)
{
	if (head->magic != PACKED_MAGIC || head->size != len || len > EVENT_PACKED_MAX)
		return false;
	if (head->kind >= EVENT_KIND_COUNT || head->type >= ACTION_TYPE_COUNT ||
	    head->op >= OP_COUNT || head->provenance >= PROVENANCE_COUNT ||
	    head->verdict >= VERDICT_COUNT || head->reason >= REASON_COUNT)
		return false;
	if (head->port > UINT16_MAX || head->utc_offset_min < INT16_MIN ||
	    head->utc_offset_min > INT16_MAX || head->deny_errno < 0)
		return false;
	if (!(head->total >= 0.0f && head->total <= 1.0f))
		return false;
	for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
		if (!(head->x[i] >= 0.0f && head->x[i] <= 1.0f))
			return false;
	}
	return true;
}

static bool valid_string(const unsigned char *bytes, size_t size, const struct packed_string *s)
{
	if (s->offset == 0)
		return s->len == 0;
	return s->offset >= sizeof(struct packed) && s->offset < size &&
	       s->len < size - s->offset && bytes[s->offset + s->len] == '\0';
}

static bool valid_argv(const unsigned char *bytes, const struct packed *head)
{
	const struct packed_string *s = &head->strings[STRING_ARGV];
	uint32_t argc = 0;

	if (s->offset == 0)
		return head->argc == 0;
	for (uint32_t i = 0; i <= s->len; i++)
		argc += bytes[s->offset + i] == '\0';
	return argc == head->argc;
}

static const char *string_at(const unsigned char *bytes, const struct packed *head, unsigned id)
{
	uint32_t offset = head->strings[id].offset;
	return offset == 0 ? NULL : (const char *)bytes + offset;
}

int event_unpack(const unsigned char *bytes, size_t len, struct event *ret_event)
{
	struct packed head;

	if (len < sizeof(head))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	if (!valid_head(&head, len))
		return -EBADMSG;
	for (unsigned i = 0; i < STRING_COUNT; i++) {
		if (!valid_string(bytes, len, &head.strings[i]))
			return -EBADMSG;
	}
	if (!valid_argv(bytes, &head))
		return -EBADMSG;

	struct event e = {
		.kind = (enum event_kind)head.kind,
		.seq = head.seq,
		.mono_ns = head.mono_ns,
		.wall_ns = head.wall_ns,
		.result = head.result,
		.syscall = string_at(bytes, &head, STRING_SYSCALL),
		.text = string_at(bytes, &head, STRING_TEXT),
		.ambient_count = head.ambient_count,
		.repeats = head.repeats,
		.bytes_out = head.bytes_out,
		.bytes_in = head.bytes_in,
		.status = head.status,
		.action = {
			.type = (enum action_type)head.type,
			.op = (enum action_op)head.op,
			.provenance = (enum provenance)head.provenance,
			.resource = string_at(bytes, &head, STRING_RESOURCE),
			.resource2 = string_at(bytes, &head, STRING_RESOURCE2),
			.alias = string_at(bytes, &head, STRING_ALIAS),
			.argv = string_at(bytes, &head, STRING_ARGV),
			.argc = head.argc,
			.argv_truncated = (head.flags & PACKED_ARGV_TRUNCATED) != 0,
			.cwd = string_at(bytes, &head, STRING_CWD),
			.statement = string_at(bytes, &head, STRING_STATEMENT),
			.address = string_at(bytes, &head, STRING_ADDRESS),
			.protocol = string_at(bytes, &head, STRING_PROTOCOL),
			.resolved = (head.flags & PACKED_RESOLVED) != 0,
			.port = (uint16_t)head.port,
			.size_bytes = head.size_bytes,
			.open_flags = head.open_flags,
			.mode = head.mode,
			.pid = head.pid,
			.tid = head.tid,
			.start_ticks = head.start_ticks,
			.program = string_at(bytes, &head, STRING_PROGRAM),
			.mono_ns = head.action_mono_ns,
			.wall_ns = head.action_wall_ns,
			.utc_offset_min = (int16_t)head.utc_offset_min,
			.syscall_nr = head.syscall_nr,
		},
		.decision = {
			.verdict = (enum verdict)head.verdict,
			.reason = (enum reason)head.reason,
			.observed = (head.flags & PACKED_OBSERVED) != 0,
			.ambient = (head.flags & PACKED_AMBIENT) != 0,
			.deny_errno = head.deny_errno,
			.rule = string_at(bytes, &head, STRING_RULE),
			.file = string_at(bytes, &head, STRING_FILE),
			.line = head.line,
			.score.total = head.total,
		},
	};
	if (e.action.argv)
		e.action.argv_len = (size_t)head.strings[STRING_ARGV].len + 1;
	if (!e.action.resource)
		e.action.resource = "";
	if (!e.action.program)
		e.action.program = "";
	for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
		e.decision.score.x[i] = head.x[i];
		e.decision.score.why[i] = string_at(bytes, &head, STRING_WHY + i);
	}
	for (unsigned i = 0; i < ACTION_ANCESTRY_MAX; i++) {
		e.action.ancestry[i] = string_at(bytes, &head, STRING_ANCESTRY + i);
		if (!e.action.ancestry[i])
			break;
	}
	*ret_event = e;
	return 0;
}

void event_set_result(unsigned char *packed, int32_t result)
{
	memcpy(packed + offsetof(struct packed, result), &result, sizeof(result));
}

/* Members of an object; every name is ours and needs no escape. */
static void json_name(struct buf *b, const char *name)
{
	buf_puts(b, b->len > 0 && b->data[b->len - 1] == '{' ? "\"" : ",\"");
	buf_puts(b, name);
	buf_puts(b, "\":");
}

static void json_text(struct buf *b, const char *name, const char *text)
{
	if (!text)
		return;
	json_name(b, name);
	buf_json(b, text, strlen(text));
}

static void json_u64(struct buf *b, const char *name, uint64_t value)
{
	json_name(b, name);
	buf_u64(b, value);
}

static void json_i64(struct buf *b, const char *name, int64_t value)
{
	json_name(b, name);
	if (value < 0)
		buf_putc(b, '-');
	buf_u64(b, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

/* By hand: printf would write the decimal point of the locale. */
static void json_unit(struct buf *b, const char *name, float x)
{
	unsigned part = (unsigned)(unit_range(x) * 10000.0f + 0.5f);
	char digits[4];
	size_t len = sizeof(digits);

	json_name(b, name);
	buf_u64(b, part / 10000);
	part %= 10000;
	for (size_t i = sizeof(digits); i-- > 0; part /= 10)
		digits[i] = (char)('0' + part % 10);
	while (len > 0 && digits[len - 1] == '0')
		len--;
	if (len > 0) {
		buf_putc(b, '.');
		buf_put(b, digits, len);
	}
}

static void json_errno(struct buf *b, const char *name, int errnum)
{
	const char *text = strerrorname_np(errnum);
	json_name(b, name);
	if (text)
		buf_json(b, text, strlen(text));
	else
		buf_u64(b, (uint64_t)errnum);
}

static void json_time(struct buf *b, const char *name, uint64_t wall_ns)
{
	time_t seconds = (time_t)(wall_ns / 1000000000u);
	struct tm tm = { 0 };

	gmtime_r(&seconds, &tm);
	json_name(b, name);
	buf_printf(b, "\"%04d-%02d-%02dT%02d:%02d:%02d.%09uZ\"", tm.tm_year + 1900, tm.tm_mon + 1,
		   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ns % 1000000000u));
}

static void json_list_text(struct buf *b, const char *text, size_t len)
{
	if (b->len > 0 && b->data[b->len - 1] != '[')
		buf_putc(b, ',');
	buf_json(b, text, len);
}

static void json_argv(struct buf *b, const struct action *a)
{
	if (!a->argv)
		return;
	json_name(b, "argv");
	buf_putc(b, '[');
	for (size_t at = 0; at < a->argv_len;) {
		size_t len = strnlen(a->argv + at, a->argv_len - at);
		json_list_text(b, a->argv + at, len);
		at += len + 1;
	}
	buf_putc(b, ']');
	if (a->argv_truncated)
		buf_puts(b, ",\"argv_truncated\":true");
}

static void json_ancestry(struct buf *b, const struct action *a)
{
	if (!a->ancestry[0])
		return;
	json_name(b, "ancestry");
	buf_putc(b, '[');
	for (size_t i = 0; i < ACTION_ANCESTRY_MAX && a->ancestry[i]; i++)
		json_list_text(b, a->ancestry[i], strlen(a->ancestry[i]));
	buf_putc(b, ']');
}

/* Flags of several bits stand before those that are a part of them. */
static const struct {
	uint32_t bits;
	const char *name;
} open_flag_names[] = {
	{ O_CREAT, "O_CREAT" },
	{ O_EXCL, "O_EXCL" },
	{ O_NOCTTY, "O_NOCTTY" },
	{ O_TRUNC, "O_TRUNC" },
	{ O_APPEND, "O_APPEND" },
	{ O_NONBLOCK, "O_NONBLOCK" },
	{ O_SYNC, "O_SYNC" },
	{ O_DSYNC, "O_DSYNC" },
	{ O_TMPFILE, "O_TMPFILE" },
	{ O_DIRECTORY, "O_DIRECTORY" },
	{ O_NOFOLLOW, "O_NOFOLLOW" },
	{ O_CLOEXEC, "O_CLOEXEC" },
	{ O_PATH, "O_PATH" },
	{ O_DIRECT, "O_DIRECT" },
	{ O_NOATIME, "O_NOATIME" },
	{ O_ASYNC, "O_ASYNC" },
	{ KERNEL_O_LARGEFILE, "O_LARGEFILE" },
};

static void json_open_flags(struct buf *b, uint32_t flags)
{
	static const char *const access_names[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };
	const char *access = access_names[flags & O_ACCMODE];

	json_name(b, "flags");
	buf_putc(b, '[');
	json_list_text(b, access, strlen(access));
	flags &= ~(uint32_t)O_ACCMODE;
	for (size_t i = 0; i < sizeof(open_flag_names) / sizeof(open_flag_names[0]); i++) {
		uint32_t bits = open_flag_names[i].bits;
		if ((flags & bits) == bits) {
			json_list_text(b, open_flag_names[i].name, strlen(open_flag_names[i].name));
			flags &= ~bits;
		}
	}
	if (flags != 0)
		buf_printf(b, ",\"0x%x\"", flags);
	buf_putc(b, ']');
}

static bool is_file_action(const struct action *a)
{
	return a->type == ACTION_FILE_READ || a->type == ACTION_FILE_WRITE ||
	       a->type == ACTION_FILE_DELETE;
}

static bool is_open(const struct action *a)
{
	return a->op == OP_READ || a->op == OP_CREATE || a->op == OP_WRITE ||
	       (a->op == OP_TRUNCATE && a->open_flags != 0);
}

static void json_action(struct buf *b, const struct action *a)
{
	if (a->type != ACTION_NONE)
		json_text(b, "type", action_type_name(a->type));
	if (a->op != OP_NONE)
		json_text(b, "op", action_op_name(a->op));
	if (a->resource && a->resource[0] != '\0')
		json_text(b, "resource", a->resource);
	json_text(b, "resource2", a->resource2);
	json_text(b, "alias", a->alias);
	if (a->provenance != PROVENANCE_UNKNOWN)
		json_text(b, "provenance", provenance_name(a->provenance));
	if (a->pid > 0)
		json_i64(b, "pid", a->pid);
	if (a->tid > 0)
		json_i64(b, "tid", a->tid);
	if (a->start_ticks > 0)
		json_u64(b, "start_ticks", a->start_ticks);
	if (a->program && a->program[0] != '\0')
		json_text(b, "program", a->program);
	json_ancestry(b, a);
	json_argv(b, a);
	json_text(b, "cwd", a->cwd);
	json_text(b, "statement", a->statement);
	if (is_file_action(a)) {
		if (a->size_bytes >= 0)
			json_i64(b, "size", a->size_bytes);
		if (is_open(a))
			json_open_flags(b, a->open_flags);
		if (a->mode != 0) {
			json_name(b, "mode");
			buf_printf(b, "\"%04o\"", a->mode & 07777u);
		}
	}
	json_text(b, "address", a->address);
	if (a->port != 0)
		json_u64(b, "port", a->port);
	json_text(b, "protocol", a->protocol);
	if (a->resolved)
		buf_puts(b, ",\"resolved\":true");
}

static void json_score(struct buf *b, const struct score *score)
{
	json_unit(b, "score", score->total);
	json_name(b, "scores");
	buf_putc(b, '{');
	for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
		if (!(score->x[i] > 0.0f))
			continue;
		json_name(b, dimension_name((enum dimension)i));
		buf_putc(b, '{');
		json_unit(b, "x", score->x[i]);
		json_text(b, "why", score->why[i]);
		buf_putc(b, '}');
	}
	buf_putc(b, '}');
}

static void json_result(struct buf *b, int32_t result)
{
	if (result == EVENT_RESULT_PENDING) {
		buf_puts(b, ",\"result\":null");
		return;
	}
	json_i64(b, "result", result);
	if (result < 0)
		json_errno(b, "result_errno", -result);
}

static void json_decision(struct buf *b, const struct decision *d, int32_t result)
{
	json_text(b, "decision", verdict_name(d->verdict));
	if (d->reason != REASON_NONE)
		json_text(b, "reason", reason_name(d->reason));
	json_text(b, "rule", d->rule);
	json_text(b, "policy_file", d->file);
	if (d->line > 0)
		json_u64(b, "policy_line", d->line);
	if (d->observed)
		buf_puts(b, ",\"observed\":true");
	if (d->deny_errno > 0)
		json_errno(b, "errno", d->deny_errno);
	json_result(b, result);
	if (!d->ambient)
		json_score(b, &d->score);
}

static void json_status(struct buf *b, int status)
{
	json_name(b, "status");
	buf_putc(b, '{');
	if (WIFEXITED(status))
		json_i64(b, "exit", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		json_i64(b, "signal", WTERMSIG(status));
	else
		json_i64(b, "raw", status);
	buf_putc(b, '}');
}

int event_json(const struct event *e, const char *session, const char *prev, struct buf *out,
	       char ret_hash[static EVENT_HASH_HEX])
{
	size_t start = out->len;

	buf_putc(out, '{');
	json_u64(out, "v", EVENT_SCHEMA_VERSION);
	json_u64(out, "seq", e->seq);
	json_time(out, "time", e->wall_ns);
	json_u64(out, "mono_ns", e->mono_ns);
	json_text(out, "session", session);
	json_text(out, "kind", event_kind_name(e->kind));
	if (e->kind == EVENT_SAMPLE && e->decision.reason != REASON_NONE) {
		json_text(out, "decision", verdict_name(e->decision.verdict));
		json_text(out, "reason", reason_name(e->decision.reason));
		if (e->decision.verdict == VERDICT_PAUSE)
			json_result(out, e->result);
	}
	json_text(out, "syscall", e->syscall);
	json_action(out, &e->action);
	if (e->kind == EVENT_ACTION)
		json_decision(out, &e->decision, e->result);
	if (e->repeats)
		json_u64(out, "repeats", e->repeats);
	if (e->kind == EVENT_CONNECTION_END) {
		json_u64(out, "bytes_out", e->bytes_out);
		json_u64(out, "bytes_in", e->bytes_in);
		if (e->result < 0 && e->result != EVENT_RESULT_PENDING)
			json_errno(out, "result_errno", -e->result);
	}
	json_text(out, "text", e->text);
	if (e->ambient_count > 0 || e->kind == EVENT_SESSION_END)
		json_u64(out, "ambient", e->ambient_count);
	if (e->kind == EVENT_PROCESS_EXIT || e->kind == EVENT_SESSION_END)
		json_status(out, e->status);
	json_text(out, "prev", prev);
	if (out->overflow)
		return -EMSGSIZE;

	char hash[EVENT_HASH_HEX];
	event_hash(out->data + start, out->len - start, hash);
	json_text(out, "hash", hash);
	buf_putc(out, '}');
	if (out->overflow)
		return -EMSGSIZE;
	memcpy(ret_hash, hash, sizeof(hash));
	return 0;
}

void event_hash(const char *bytes, size_t len, char ret_hash[static EVENT_HASH_HEX])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t digest[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)bytes, len);
	SHA256Final(digest, &ctx);
	for (size_t i = 0; i < sizeof(digest); i++) {
		ret_hash[2 * i] = hex[digest[i] >> 4];
		ret_hash[2 * i + 1] = hex[digest[i] & 15];
	}
	ret_hash[EVENT_HASH_HEX - 1] = '\0';
}
