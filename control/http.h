/* HTTP: connections, limits, TLS. What a request means is call.h's. */
#pragma once

#include <stdint.h>

#include "control/call.h"

struct http;

struct http_plan {
	struct server *server;
	const char *address;    /* numeric; loopback unless there is a certificate */
	uint16_t port;          /* 0: any, see http_port */
	const char *cert, *key; /* PEM texts; NULL: no TLS */
};

/* Listens and serves on threads of its own. -EPERM: not loopback, and no TLS. */
int http_start(const struct http_plan *plan, struct http **ret, struct err *err);
uint16_t http_port(const struct http *h);
void http_stop(struct http *h);
