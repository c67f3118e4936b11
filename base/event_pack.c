/* An event as packed bytes. */
#include <errno.h>
#include <string.h>

#include "base/event.h"

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
		.total = score_unit(d->score.total),
	};
	struct packer p = { .out = out, .at = sizeof(head), .end = size, .head = &head };

	pack_string(&p, STRING_SYSCALL, e->syscall, CUT_TEXT_MAX);
	pack_string(&p, STRING_PROTOCOL, a->protocol, CUT_TEXT_MAX);
	pack_string(&p, STRING_ADDRESS, a->address, CUT_TEXT_MAX);
	pack_string(&p, STRING_RULE, d->rule, CUT_TEXT_MAX);
	pack_string(&p, STRING_FILE, d->file, ACTION_PATH_SIZE);
	for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
		head.x[i] = score_unit(d->score.x[i]);
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

static struct action unpack_action(const unsigned char *bytes, const struct packed *head)
{
	struct action a = {
		.type = (enum action_type)head->type,
		.op = (enum action_op)head->op,
		.provenance = (enum provenance)head->provenance,
		.resource = string_at(bytes, head, STRING_RESOURCE),
		.resource2 = string_at(bytes, head, STRING_RESOURCE2),
		.alias = string_at(bytes, head, STRING_ALIAS),
		.argv = string_at(bytes, head, STRING_ARGV),
		.argc = head->argc,
		.argv_truncated = (head->flags & PACKED_ARGV_TRUNCATED) != 0,
		.cwd = string_at(bytes, head, STRING_CWD),
		.statement = string_at(bytes, head, STRING_STATEMENT),
		.address = string_at(bytes, head, STRING_ADDRESS),
		.protocol = string_at(bytes, head, STRING_PROTOCOL),
		.resolved = (head->flags & PACKED_RESOLVED) != 0,
		.port = (uint16_t)head->port,
		.size_bytes = head->size_bytes,
		.open_flags = head->open_flags,
		.mode = head->mode,
		.pid = head->pid,
		.tid = head->tid,
		.start_ticks = head->start_ticks,
		.program = string_at(bytes, head, STRING_PROGRAM),
		.mono_ns = head->action_mono_ns,
		.wall_ns = head->action_wall_ns,
		.utc_offset_min = (int16_t)head->utc_offset_min,
		.syscall_nr = head->syscall_nr,
	};
	if (a.argv)
		a.argv_len = (size_t)head->strings[STRING_ARGV].len + 1;
	if (!a.resource)
		a.resource = "";
	if (!a.program)
		a.program = "";
	for (unsigned i = 0; i < ACTION_ANCESTRY_MAX; i++) {
		a.ancestry[i] = string_at(bytes, head, STRING_ANCESTRY + i);
		if (!a.ancestry[i])
			break;
	}
	return a;
}

static struct decision unpack_decision(const unsigned char *bytes, const struct packed *head)
{
	struct decision d = {
		.verdict = (enum verdict)head->verdict,
		.reason = (enum reason)head->reason,
		.observed = (head->flags & PACKED_OBSERVED) != 0,
		.ambient = (head->flags & PACKED_AMBIENT) != 0,
		.deny_errno = head->deny_errno,
		.rule = string_at(bytes, head, STRING_RULE),
		.file = string_at(bytes, head, STRING_FILE),
		.line = head->line,
		.score.total = head->total,
	};
	for (unsigned i = 0; i < DIMENSION_COUNT; i++) {
		d.score.x[i] = head->x[i];
		d.score.why[i] = string_at(bytes, head, STRING_WHY + i);
	}
	return d;
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

	*ret_event = (struct event){
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
		.action = unpack_action(bytes, &head),
		.decision = unpack_decision(bytes, &head),
	};
	return 0;
}

void event_set_result(unsigned char *packed, int32_t result)
{
	memcpy(packed + offsetof(struct packed, result), &result, sizeof(result));
}
