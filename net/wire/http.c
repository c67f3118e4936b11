/*
 * Requests of HTTP/1.1, as strictly as a front of several servers must read them: what two
 * readers could frame differently is refused. Each request is asked about when its head is
 * complete; a refused one ends the connection with an answer of ours. Answers of the server
 * pass unread but for the status that follows an Upgrade.
 */
#include "net/wire/http.h"

#include <stdio.h>
#include <string.h>

#include "net/wire/wire.h"

enum state {
	HEAD,
	BODY,       /* left bytes */
	CHUNK_SIZE, /* a line */
	CHUNK_DATA, /* left bytes, CRLF included */
	TRAILER,    /* lines, to an empty one */
	UPGRADE,    /* what is spoken next the server's answer says */
};

struct http {
	struct wire_conn conn;
	enum state state;
	struct wire_bytes held;   /* a head, or a line */
	struct wire_bytes answer; /* first bytes of the answer to an Upgrade */
	struct http_request request;
	uint64_t left;
	bool sent, answered; /* a request is with the server; it has said something since */
};

static void refuse(struct http *h, const char *status, const char *why)
{
	char text[WIRE_WHY_SIZE], out[512];

	wire_why(text, sizeof(text), why);
	int n = snprintf(out, sizeof(out),
			 "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
			 "Connection: close\r\n\r\nvsandbox: %s\n",
			 status, strlen(text) + strlen("vsandbox: \n"), text);
	/* Amid another answer ours would be taken for a part of it. */
	if (!h->sent || h->answered)
		wire_bytes_put(&h->conn.out[WIRE_CLIENT], out, (size_t)n);
	wire_close(&h->conn, "HTTP request refused");
}

static void forward(struct http *h, const void *bytes, size_t len)
{
	wire_bytes_put(&h->conn.out[WIRE_SERVER], bytes, len);
}

/* Takes up to and with the next line feed into held; true when there is one. */
static bool take_line(struct http *h, size_t max, const uint8_t **bytes, size_t *len)
{
	const uint8_t *lf = memchr(*bytes, '\n', *len);
	size_t n = lf ? (size_t)(lf + 1 - *bytes) : *len;

	if (h->held.len + n > max) {
		refuse(h, "431 Request Header Fields Too Large", "request head too long");
		return false;
	}
	wire_bytes_put(&h->held, *bytes, n);
	*bytes += n;
	*len -= n;
	return lf && !h->held.failed;
}

static void head_complete(struct http *h)
{
	const char *wrong = http_request_parse(wire_bytes_at(&h->held), h->held.len, &h->request);

	if (wrong) {
		refuse(h, "400 Bad Request", wrong);
		return;
	}
	memcpy(h->conn.database, h->request.host, sizeof(h->request.host));
	wire_ask(&h->conn, 0, h->request.text, strlen(h->request.text));
	h->conn.question.type = ACTION_API_CALL;
}

static void head(struct http *h, const uint8_t **bytes, size_t *len)
{
	if (!take_line(h, HTTP_HEAD_MAX, bytes, len))
		return;
	const uint8_t *p = wire_bytes_at(&h->held);
	size_t n = h->held.len;
	if (n == 2 && p[0] == '\r') { /* servers ignore empty lines before a request */
		wire_bytes_clear(&h->held);
		return;
	}
	if (n < 2 || p[n - 2] != '\r')
		refuse(h, "400 Bad Request", "a line of the request ends without CR");
	else if (n >= 4 && memcmp(p + n - 4, "\r\n\r\n", 4) == 0)
		head_complete(h);
}

static void http_answer(struct wire_conn *c, bool allowed, const char *why)
{
	struct http *h = (struct http *)c;

	if (!allowed) {
		refuse(h, "403 Forbidden", why);
		return;
	}
	forward(h, wire_bytes_at(&h->held), h->held.len);
	wire_bytes_clear(&h->held);
	h->sent = true;
	h->answered = false;
	h->left = h->request.length;
	h->state = h->request.upgrade   ? UPGRADE
		   : h->request.chunked ? CHUNK_SIZE
		   : h->left            ? BODY
					: HEAD;
}

static void pass(struct http *h, enum state next, const uint8_t **bytes, size_t *len)
{
	size_t n = h->left < *len ? (size_t)h->left : *len;

	forward(h, *bytes, n);
	*bytes += n;
	*len -= n;
	h->left -= n;
	if (h->left)
		return;
	h->state = next;
}

/* Hex digits and CRLF; extensions are refused, since nobody uses what readers disagree about. */
static bool chunk_size(const uint8_t *p, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len < 3 || len > 2 + 15 || p[len - 2] != '\r')
		return false;
	for (size_t i = 0; i + 2 < len; i++) {
		uint8_t c = p[i] | 0x20;
		unsigned digit = 16;

		if (p[i] >= '0' && p[i] <= '9')
			digit = p[i] - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10u;
		if (digit > 15)
			return false;
		v = v << 4 | digit;
	}
	*ret = v;
	return true;
}

static void chunk_head(struct http *h, const uint8_t **bytes, size_t *len)
{
	uint64_t size;

	if (!take_line(h, 64, bytes, len))
		return;
	if (!chunk_size(wire_bytes_at(&h->held), h->held.len, &size)) {
		refuse(h, "400 Bad Request", "malformed chunk");
		return;
	}
	forward(h, wire_bytes_at(&h->held), h->held.len);
	wire_bytes_clear(&h->held);
	h->left = size;
	h->state = size ? CHUNK_DATA : TRAILER;
}

/* A chunk's bytes as they come, then its CRLF, which is checked before it goes on. */
static void chunk_data(struct http *h, const uint8_t **bytes, size_t *len)
{
	if (h->left) {
		pass(h, CHUNK_DATA, bytes, len);
		return;
	}
	if (!wire_bytes_fill(&h->held, 2, bytes, len))
		return;
	if (memcmp(wire_bytes_at(&h->held), "\r\n", 2) != 0) {
		refuse(h, "400 Bad Request", "malformed chunk");
		return;
	}
	forward(h, "\r\n", 2);
	wire_bytes_clear(&h->held);
	h->state = CHUNK_SIZE;
}

static void trailer(struct http *h, const uint8_t **bytes, size_t *len)
{
	if (!take_line(h, HTTP_HEAD_MAX, bytes, len))
		return;
	/* Fields after the body change what servers have decided already. */
	if (h->held.len != 2 || *wire_bytes_at(&h->held) != '\r') {
		refuse(h, "400 Bad Request", "fields after a chunked body");
		return;
	}
	forward(h, "\r\n", 2);
	wire_bytes_clear(&h->held);
	h->state = HEAD;
}

/* "HTTP/1.1 101": from here on another protocol; any other status: requests as before. */
static void upgrade_answer(struct http *h, const uint8_t *bytes, size_t len)
{
	enum { STATUS_END = 12 };
	const size_t n = STATUS_END - h->answer.len < len ? STATUS_END - h->answer.len : len;

	wire_bytes_put(&h->answer, bytes, n);
	if (h->answer.len < STATUS_END)
		return;
	const uint8_t *p = wire_bytes_at(&h->answer);
	h->conn.opaque = memcmp(p, "HTTP/1.1 101", STATUS_END) == 0;
	h->state = HEAD;
	wire_bytes_clear(&h->answer);
}

static size_t http_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	struct http *h = (struct http *)c;
	size_t given = len;

	if (from == WIRE_SERVER) {
		wire_bytes_put(&c->out[WIRE_CLIENT], bytes, len);
		h->answered |= len > 0;
		if (h->state == UPGRADE)
			upgrade_answer(h, bytes, len);
		return len;
	}
	while (len && !c->closing && !c->asking && h->state != UPGRADE) {
		switch (h->state) {
		case HEAD:
			head(h, &bytes, &len);
			break;
		case BODY:
			pass(h, HEAD, &bytes, &len);
			break;
		case CHUNK_SIZE:
			chunk_head(h, &bytes, &len);
			break;
		case CHUNK_DATA:
			chunk_data(h, &bytes, &len);
			break;
		case TRAILER:
			trailer(h, &bytes, &len);
			break;
		case UPGRADE:
			break;
		}
		if (h->held.failed)
			wire_close(c, "out of memory");
	}
	return given - len;
}

static void http_finish(struct wire_conn *c)
{
	struct http *h = (struct http *)c;

	wire_bytes_finish(&h->held);
	wire_bytes_finish(&h->answer);
}

const struct wire_protocol wire_http = {
	.name = "http",
	.size = sizeof(struct http),
	.feed = http_feed,
	.answer = http_answer,
	.finish = http_finish,
};
