/* HTTP requests, whole and byte by byte: what is asked, what goes on, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/wire/http.h"
#include "net/wire/wire.h"

struct seen {
	char asked[1024], server[4096], client[4096];
	unsigned asks;
	bool closing, opaque;
};

static void note(struct wire_conn *c, struct seen *s, unsigned refuse_at)
{
	char line[600];

	s->asks++;
	assert_int_equal(c->question.type, ACTION_API_CALL);
	snprintf(line, sizeof(line), "%s|%.*s\n", c->database, (int)c->question.len,
		 c->question.text);
	strncat(s->asked, line, sizeof(s->asked) - strlen(s->asked) - 1);
	wire_answer(c, s->asks != refuse_at, "no");
}

static void out(struct wire_conn *c, enum wire_side side, char *ret, size_t size)
{
	struct wire_bytes *b = &c->out[side];
	size_t n = b->len < size ? b->len : size - 1;

	if (n)
		memcpy(ret, wire_bytes_at(b), n);
	ret[n] = '\0';
}

/* @step bytes at a time; request number @refuse_at is refused, 0 none. */
static struct seen feed(const struct wire_protocol *protocol, const void *bytes, size_t len,
			size_t step, unsigned refuse_at)
{
	const struct wire_setup setup = { .nonce = 1 };
	struct wire_conn *c = wire_new(protocol, &setup);
	struct seen s = { 0 };
	const uint8_t *p = bytes;

	while (len && !c->closing) {
		size_t n = step < len ? step : len, taken = wire_feed(c, WIRE_CLIENT, p, n);

		p += taken;
		len -= taken;
		if (c->asking)
			note(c, &s, refuse_at);
		else if (taken == 0)
			break;
	}
	out(c, WIRE_SERVER, s.server, sizeof(s.server));
	out(c, WIRE_CLIENT, s.client, sizeof(s.client));
	s.closing = c->closing;
	s.opaque = c->opaque;
	wire_free(c);
	return s;
}

static void test_requests_in_any_pieces(void **state)
{
	(void)state;
	static const char text[] =
		"GET /a/b?q=1 HTTP/1.1\r\nHost: Example.TEST:8080\r\nAccept: */*\r\n\r\n"
		"POST /x HTTP/1.1\r\nhost:h\r\nContent-Length: 12\r\n\r\nGET / HTTP\r\n"
		"PUT /%61/%2fb//c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nGET /\r\nA\r\n0123456789\r\n0\r\n\r\n"
		"\r\nPROPFIND http://h/dav HTTP/1.1\r\nHost: h\r\n\r\n"
		"GET / HTTP/1.0\r\n\r\n";

	for (size_t step = 1; step <= sizeof(text); step += step < 40 ? 1 : 50) {
		struct seen s = feed(&wire_http, text, sizeof(text) - 1, step, 0);

		assert_string_equal(s.asked, "example.test|GET /a/b\nh|POST /x\nh|PUT /a/b/c\n"
					     "h|PROPFIND /dav\n|GET /\n");
		assert_false(s.closing);
		assert_int_equal(strlen(s.server), sizeof(text) - 3); /* but the empty line */
	}
}

static void test_refused_request(void **state)
{
	(void)state;
	static const char text[] =
		"GET /no HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";
	struct seen s = feed(&wire_http, text, sizeof(text) - 1, 1, 1);

	assert_true(s.closing);
	assert_string_equal(s.server, "");
	assert_int_equal(strncmp(s.client, "HTTP/1.1 403 Forbidden\r\n", 24), 0);
	assert_non_null(strstr(s.client, "vsandbox: no\n"));
	/* amid the answer to the first nothing of ours may stand */
	s = feed(&wire_http, text, sizeof(text) - 1, sizeof(text), 2);
	assert_true(s.closing);
	assert_string_equal(s.client, "");
	assert_int_equal(strlen(s.server), strlen("GET /no HTTP/1.1\r\nHost: h\r\n\r\n"));
}

static void test_what_readers_disagree_about(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
#define ROW(t) { t, sizeof(t) - 1 }
		ROW("GET / HTTP/1.1\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n"),
		ROW("GET / HTTP/1.1\nHost: a\n\n"),
		ROW("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
		ROW("GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
		ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		ROW("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET / x HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /\r\n\r\n"),
		ROW("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a%2f..%2fb HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a/..;/b HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a%5cb HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,1\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: "
		    "chunked\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n"),
		ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n"),
		ROW("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
		ROW("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n"),
		ROW("\x01\x02\r\n\r\n"),
#undef ROW
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t step = 1; step < 200; step += 99) {
			struct seen s = feed(&wire_http, rows[i].text, rows[i].len, step, 0);

			if (!s.closing || s.asks || *s.server)
				fail_msg("%s", rows[i].text);
			assert_int_equal(strncmp(s.client, "HTTP/1.1 400 ", 13), 0);
		}
	}
}

static void test_bad_chunks(void **state)
{
	(void)state;
	static const char head[] =
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	static const char *const rows[] = { "x\r\n",
					    "-1\r\n",
					    "1;a=b\r\nx\r\n",
					    "\r\n",
					    "0x1\r\nx",
					    "1\nx\r\n",
					    "1\r\nxy\r\n",
					    " 1\r\nx\r\n",
					    "ffffffffffffffff\r\n",
					    "0\r\nHost: b\r\n\r\n" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t step = 1; step < 200; step += 99) {
			char text[256];
			int n = snprintf(text, sizeof(text),
					 "%s%sGET /after HTTP/1.1\r\nHost: a\r\n\r\n", head,
					 rows[i]);
			struct seen s = feed(&wire_http, text, (size_t)n, step, 0);

			if (!s.closing || s.asks != 1 || strstr(s.server, "after"))
				fail_msg("%s", rows[i]);
		}
	}
}

static void upgrade(const char *answer, bool opaque)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
	const struct wire_setup setup = { .nonce = 1 };
	struct wire_conn *c = wire_new(&wire_http, &setup);

	assert_int_equal(wire_feed(c, WIRE_CLIENT, (const uint8_t *)ask, sizeof(ask) - 1),
			 sizeof(ask) - 1);
	wire_answer(c, true, "");
	/* nothing goes on until it is known what it is */
	assert_int_equal(wire_feed(c, WIRE_CLIENT, (const uint8_t *)"\x81", 1), 0);
	for (const char *p = answer; *p; p++)
		assert_int_equal(wire_feed(c, WIRE_SERVER, (const uint8_t *)p, 1), 1);
	assert_true(c->opaque == opaque);
	wire_feed(c, WIRE_CLIENT, (const uint8_t *)"\x81\r\n\r\n", 5);
	assert_true(c->closing == !opaque);
	wire_free(c);
}

static void test_upgrade(void **state)
{
	(void)state;
	upgrade("HTTP/1.1 101 Switching Protocols\r\n\r\n", true);
	upgrade("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
}

static void test_tls_by_name(void **state)
{
	(void)state;
	/* a hello with the one extension server_name, "ab.test" */
	static const uint8_t hello[] = {
		22, 3, 1, 0, 63, 1, 0,  0, 59, 3, 3,   [44] = 0, 2,   0x13, 1,   1,   0,   0,
		16, 0, 0, 0, 12, 0, 10, 0, 0,  7, 'a', 'B',      '.', 't',  'e', 's', 't', 'X',
	};

	for (size_t step = 1; step <= sizeof(hello); step++) {
		struct seen s = feed(&wire_tls, hello, sizeof(hello), step, 0);

		assert_string_equal(s.asked, "ab.test|\n");
		assert_true(s.opaque && !s.closing);
		s = feed(&wire_tls, hello, sizeof(hello), step, 1);
		assert_true(s.closing && !s.opaque);
		assert_memory_equal(s.client, "\x15\x03\x03\0\x02\x02\x31", 7);
	}
	assert_true(feed(&wire_tls, "\x16\x03\x01\0\x05hello", 10, 1, 0).closing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests_in_any_pieces),
		cmocka_unit_test(test_refused_request),
		cmocka_unit_test(test_what_readers_disagree_about),
		cmocka_unit_test(test_bad_chunks),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_tls_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
