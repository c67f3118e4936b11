/*
 * The session's control socket: JSON lines, one request and one reply each.
 *
 *   {"schema_version":1,"request":"pause"}
 *   {"schema_version":1,"ok":true,"result":{"frozen":true,"still":true}}
 *   {"schema_version":1,"ok":false,"error":"…","errno":22}
 *
 * Theory of operation. The gateway serves it in its poll loop. A client has at most one request
 * under way; further lines wait in its own buffer. Nothing here blocks: a client that sends too long
 * a line or does not read its replies is hung up on. Who connects must be this user or root, and in the
 * gateway's own pid namespace: what runs inside is neither shown the socket nor answered.
 *
 * control_requests.c holds the one table of requests; most are passed to the monitor (monitor.h,
 * enum monitor_request), whose reply comes back through control_reply.
 */
#pragma once

#include <poll.h>
#include <stdint.h>

#include "base/err.h"
#include "launcher/session.h"
#include "sandbox/monitor.h"

struct approvals;
struct json_object;

enum {
	CONTROL_CLIENTS = 16,
	CONTROL_POLLS = CONTROL_CLIENTS + 1,
	CONTROL_LINE = 16384, /* of a request */
	CONTROL_SCHEMA_VERSION = 1,
};

/* What requests need of the gateway. */
struct control_host {
	void *gateway;
	/* Sends a request to the monitor; control_reply is to be called with the ticket. 0, -errno. */
	int (*ask)(void *gateway, enum monitor_request what, const char *argument, uint32_t ticket);
	/* Ends the tree; @reason is static text. */
	void (*end)(void *gateway, const char *reason);
	struct approvals *approvals;
};

struct control_client {
	int fd;          /* owned; -1 free */
	uint32_t ticket; /* of the request that the monitor works on; 0 none */
	uint64_t since;  /* order of arrival */
	size_t used;     /* bytes in `in` */
	size_t out_len, out_sent;
	char *out; /* reply not yet sent; owned */
	char in[CONTROL_LINE];
};

struct control {
	struct control_host host;
	int fd;     /* listening; owned, -1 none */
	int dir_fd; /* of the socket; owned */
	char name[64];
	char path[STATE_PATH_SIZE]; /* for session.json; "" none */
	uint64_t arrivals;
	uint32_t tickets;               /* given out so far */
	struct control_client *clients; /* CONTROL_CLIENTS; owned, NULL until one comes */
};

/*
 * $XDG_RUNTIME_DIR/vsandbox/ID.sock, or control.sock in the session's own directory where that is
 * not set or not this user's. @c is zeroed by who allocated it, its descriptors -1.
 */
int control_open(struct control *c, const struct session *s, const struct control_host *host,
		 struct err *err);
/* Hangs up and removes the socket. */
void control_close(struct control *c);

/* Fills CONTROL_POLLS entries (unused ones have fd -1). */
void control_polls(const struct control *c, struct pollfd *fds);
/* Serves what is ready there. */
void control_serve(struct control *c, const struct pollfd *fds);

/* The monitor's reply: @result 0 and a JSON object, or -errno and why. */
void control_reply(struct control *c, uint32_t ticket, int result, const char *text);

/* For the handlers in control_requests.c. */
typedef void control_request_fn(struct control *c, struct control_client *client,
				struct json_object *request);
control_request_fn *control_request_find(const char *name);
/* Gives the client a ticket: its request is under way. */
void control_begin(struct control *c, struct control_client *client);
/* Passes it on; the client is answered when the monitor has. */
void control_ask(struct control *c, struct control_client *client, enum monitor_request what,
		 const char *argument);
void control_answer(struct control *c, struct control_client *client, int result, const char *text);

/*
 * The client's side, for verbs: sends {"request":@request, members of @argument} to a running session and
 * waits. 0 with the result object (the caller's to json_object_put), or -errno with what the
 * session said: -ECONNREFUSED when nobody serves, -ETIMEDOUT.
 */
int control_call(const struct session *s, const char *request, struct json_object *argument,
		 int timeout_ms, struct json_object **ret_result, struct err *err);
