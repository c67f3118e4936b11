/*
 * One thing that happened, as a value, as packed bytes (what the monitor
 * stores before it answers) and as a line of JSON (what people and programs
 * read; vsandbox-events(5)).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/action.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/verdict.h"

/* Protocol of a connection_end whose socket was the host's own: it was only begun, and nobody counts its bytes. */
#define EVENT_HANDED_OVER "tcp, handed over"

enum event_kind {
	EVENT_SESSION_START,
	EVENT_ACTION,
	EVENT_PROCESS_EXIT,
	EVENT_SAMPLE, /* CPU or memory over its threshold */
	EVENT_NOTICE, /* something a person should know: a degraded layer, a lost record */
	EVENT_SESSION_END,
	EVENT_CONNECTION_END, /* of a destination that was let through: what went there and came back */
	EVENT_KIND_COUNT,
};

enum {
	EVENT_SCHEMA_VERSION = 1,
	EVENT_PACKED_MAX =
		32768, /* a packed event never exceeds this; strings are cut, and say so */
	EVENT_JSON_MAX = 262144,
};

/* result of an action: 0 or a positive value succeeded, -errno failed */
enum { EVENT_RESULT_PENDING = INT32_MIN }; /* carried out by the kernel, or lost in a crash */

struct event {
	enum event_kind kind;
	uint64_t seq; /* 1, 2, … within a session */
	uint64_t mono_ns, wall_ns;
	int32_t result;
	const char *syscall;    /* name; NULL none */
	const char *text;       /* notice, sample: what; NULL none */
	uint64_t ambient_count; /* session_end and notices: ambient actions so far */
	int32_t status;         /* process exit, session end: wait status */
	uint64_t bytes_out,
		bytes_in;         /* connection_end: from the agent, to it; 0 where handed over */
	uint32_t repeats;         /* kind ACTION: more of its class, under the same verdict */
	struct action action;     /* kind ACTION and PROCESS_EXIT (pid, program) */
	struct decision decision; /* kind ACTION */
};

const char *event_kind_name(enum event_kind kind);

/* Its times are now. */
void event_stamp(struct event *e);

/*
 * Packs into @out (EVENT_PACKED_MAX is always enough). Returns the length, a
 * multiple of 8, or 0 when @size cannot hold even an event without strings. A
 * string that had to be cut ends in "...[cut]". No allocation, no system call.
 */
size_t event_pack(const struct event *e, unsigned char *out, size_t size);

/*
 * Unpacks; every offset is checked, so any bytes are safe. Strings of @ret_event
 * point into @bytes. 0 or -EBADMSG.
 */
int event_unpack(const unsigned char *bytes, size_t len, struct event *ret_event);

/* Rewrites the result inside packed bytes, for the action that was just carried out. */
void event_set_result(unsigned char *packed, int32_t result);

/*
 * One line of JSON without its newline. @prev is the hash of the line before
 * ("" for the first); @ret_hash gets this line's. The hash is SHA-256 over the
 * line up to, and without, its "hash" member. 0, or -EMSGSIZE when @out is too
 * small; EVENT_JSON_MAX is enough for any event that was packed.
 */
int event_json(const struct event *e, const char *session, const char *prev, struct buf *out,
	       char ret_hash[static HASH_HEX]);
