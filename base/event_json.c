/* An event as a line of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/event.h"
#include "base/kernel.h"

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
	unsigned part = (unsigned)(score_unit(x) * 10000.0f + 0.5f);
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
	       char ret_hash[static HASH_HEX])
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

	char hash[HASH_HEX];
	hash_hex(out->data + start, out->len - start, hash);
	json_text(out, "hash", hash);
	buf_putc(out, '}');
	if (out->overflow)
		return -EMSGSIZE;
	memcpy(ret_hash, hash, sizeof(hash));
	return 0;
}
