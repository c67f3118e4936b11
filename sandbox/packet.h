/*
 * Packets between gateway and monitor, on their SOCK_SEQPACKET pair. A packet is as long as its text.
 * Requests carry a ticket, which their one reply carries back; requests are answered in the order
 * in which the monitor comes to them, not necessarily in that of their sending.
 */
#pragma once

#include <stdint.h>

enum { PACKET_TEXT = 32768 };

enum packet_type {
	/* monitor -> gateway */
	MONITOR_STARTED =
		1,       /* value: host pid of the agent; text: degraded layers, comma separated */
	MONITOR_FAILED,  /* value: errno; text: the err; nothing runs */
	MONITOR_STOPPED, /* value: signal that stopped the agent (job control) */
	MONITOR_CONTINUED,
	MONITOR_EXEC_FAILED, /* value: errno of the agent's first execve */
	MONITOR_EXIT,        /* value: wait status of the agent; the tree is gone */
	MONITOR_ROLLED_BACK, /* a verdict asked for it. value: 0, all is frozen; text: rollback_json. Or -errno and why */
	MONITOR_REPLY,   /* ticket; value: 0 or -errno; text: JSON object, or why not */
	MONITOR_HELD,    /* ticket: id of a question; text: the question as JSON */
	MONITOR_SETTLED, /* ticket: id of a question that is over; value: 1 it was denied */
	MONITOR_ENDING, /* the tree is being ended. value: by that signal, which it could not take; 0: a verb has told
			    the monitor itself to */
	MONITOR_DENIED, /* a threshold that was passed; text: which. All is frozen, and is to be ended */
	/* gateway -> monitor */
	MONITOR_SIGNAL,    /* value: signal for the agent */
	MONITOR_SIGNALLED, /* the terminal has sent one inside */
	MONITOR_KILL,      /* end the tree now */
	MONITOR_REQUEST, /* ticket; value: enum monitor_request; text: its argument as JSON, or "" */
};

struct packet {
	int32_t type;
	int32_t value;
	uint32_t ticket;
	char text[PACKET_TEXT]; /* NUL-terminated */
};

enum packet_flags { PACKET_WAIT = 0, PACKET_NOWAIT = 1 };

/* @text may be NULL; what does not fit is cut. 0; -EAGAIN with PACKET_NOWAIT and a full queue; -EPIPE. */
int packet_send(int fd, enum packet_type type, int value, uint32_t ticket, const char *text,
		enum packet_flags flags);
/* Never blocks. 1; 0 at end of file; -EAGAIN; -EPROTO for a packet of another shape; -errno. */
int packet_receive(int fd, struct packet *ret);
