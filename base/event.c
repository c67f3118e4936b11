#include "base/event.h"

#include "base/clock.h"

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
