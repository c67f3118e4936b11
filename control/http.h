/* HTTP: connections, limits, TLS. What a request means is call.h's. */
#pragma once

#include <stdint.h>

#include "control/call.h"

struct http;

struct http_plan {
	struct server *server;
	unsigned connections;   /* of listener_room */
	int fd;                 /* of listener_open; taken over by a start that succeeds */
	const char *cert, *key; /* PEM texts; NULL: no TLS */
	unsigned per_address;   /* connections of one address; 0: as many as of all */
	unsigned request_s;     /* how long a request may take to arrive */
};

/* Serves on threads of its own. */
int http_start(const struct http_plan *plan, struct http **ret, struct err *err);
uint16_t http_port(const struct http *h);
void http_stop(struct http *h);
