/* The head of an HTTP/1.1 request. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_HEAD_MAX = 64 * 1024,
	HTTP_HOST_SIZE = 256,
	HTTP_METHOD_MAX = 24,
	HTTP_PATH_MAX = 3840,
};

struct http_request {
	char host[HTTP_HOST_SIZE]; /* in lower case, without its port; "" none was given */
	/* "GET /path": the path as servers resolve it, without its query */
	char text[HTTP_METHOD_MAX + HTTP_PATH_MAX + 2];
	uint64_t length; /* of the body; 0 none */
	bool chunked;
	bool upgrade; /* the connection may speak something else after the answer */
};

/* @head: to and with the empty line. NULL, or what is wrong with it (static text). */
const char *http_request_parse(const uint8_t *head, size_t len, struct http_request *ret);
