/* The protocol machines: every conversation gives the same in one piece and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/wire/mysql_reply.h"
#include "net/wire/pg_names.h"
#include "net/wire/sniff.h"
#include "net/wire/statement.h"
#include "net/wire/tls.h"
#include "net/wire/wire.h"

struct step {
	enum wire_side from;
	const char *bytes;
	size_t len;
};

#define C(text) \
	{ \
		WIRE_CLIENT, text, sizeof(text) - 1 \
	}
#define S(text) \
	{ \
		WIRE_SERVER, text, sizeof(text) - 1 \
	}
#define STEPS(...) \
	(const struct step[]) \
	{ \
		__VA_ARGS__, \
		{ \
			0 \
		} \
	}

struct talk {
	struct wire_conn *c;
	struct wire_bytes pending[WIRE_SIDE_COUNT];
	char asked[4096]; /* "+text|" allowed, "-text|" refused */
	struct buf asks;
};

/* Reads are allowed, all else is not. */
static void answer(struct talk *t)
{
	const struct wire_question *q = &t->c->question;
	bool allowed = action_type_of_statement(q->flags) == ACTION_DATABASE_QUERY;

	buf_putc(&t->asks, allowed ? '+' : '-');
	buf_put(&t->asks, q->text, q->len);
	buf_putc(&t->asks, '|');
	wire_answer(t->c, allowed, "no\n\x1b[1mway");
}

static void offer(struct talk *t, enum wire_side side)
{
	for (;;) {
		struct wire_bytes *p = &t->pending[side];
		/* In memory of exactly its size, so that a sanitizer sees a read behind it. */
		uint8_t *copy = malloc(p->len + !p->len);

		assert_non_null(copy);
		if (p->len)
			memcpy(copy, wire_bytes_at(p), p->len);
		size_t n = wire_feed(t->c, side, copy, p->len);
		free(copy);
		assert_true(n <= p->len);
		if (n)
			wire_bytes_take(p, n);
		if (t->c->asking)
			answer(t);
		else if (!n)
			return;
	}
}

static void talk(struct talk *t, const struct wire_protocol *protocol, const struct step *steps,
		 size_t chunk)
{
	const struct wire_setup setup = { .nonce = 0xabc };

	*t = (struct talk){ .c = wire_new(protocol, &setup) };
	assert_non_null(t->c);
	buf_init(&t->asks, t->asked, sizeof(t->asked));
	for (; steps->bytes; steps++) {
		for (size_t at = 0; at < steps->len; at += chunk) {
			size_t n = steps->len - at < chunk ? steps->len - at : chunk;

			wire_bytes_put(&t->pending[steps->from], steps->bytes + at, n);
			offer(t, steps->from);
			offer(t, WIRE_CLIENT);
		}
	}
}

static void talk_end(struct talk *t)
{
	wire_free(t->c);
	for (unsigned s = 0; s < WIRE_SIDE_COUNT; s++)
		wire_bytes_finish(&t->pending[s]);
}

static void same_bytes(const struct wire_bytes *got, const char *want, size_t len)
{
	assert_int_equal(got->len, len);
	assert_memory_equal(wire_bytes_at(got), want, len);
}

struct conversation {
	const struct wire_protocol *protocol;
	const struct step *steps;
	const char *asked;
	const char *to_server, *to_client;
	size_t to_server_len, to_client_len;
	const char *closed; /* why; NULL open */
};

#define TO_SERVER(text) .to_server = text, .to_server_len = sizeof(text) - 1
#define TO_CLIENT(text) .to_client = text, .to_client_len = sizeof(text) - 1

static void check(const struct conversation *v)
{
	static const size_t chunks[] = { 1, 2, 3, 7, 64, 1 << 20 };

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		struct talk t;

		talk(&t, v->protocol, v->steps, chunks[i]);
		assert_string_equal(t.asked, v->asked ? v->asked : "");
		assert_int_equal(t.c->closing, v->closed != NULL);
		if (v->closed)
			assert_string_equal(t.c->closed_why, v->closed);
		if (v->to_server)
			same_bytes(&t.c->out[WIRE_SERVER], v->to_server, v->to_server_len);
		if (v->to_client)
			same_bytes(&t.c->out[WIRE_CLIENT], v->to_client, v->to_client_len);
		talk_end(&t);
	}
}

/* PostgreSQL */

#define PG_START "\0\0\0\x1b\0\3\0\0user\0u\0database\0d\0\0"
#define PG_READY "R\0\0\0\x08\0\0\0\0S\0\0\0\x23standard_conforming_strings\0on\0Z\0\0\0\5I"
#define PG_LOGIN \
	{ WIRE_CLIENT, PG_START, sizeof(PG_START) - 1 }, \
	{ \
		WIRE_SERVER, PG_READY, sizeof(PG_READY) - 1 \
	}
#define PG_PARSE_SELECT "P\0\0\0\x12s\0select $1\0\0\0"
#define PG_PARSE_DELETE \
	"P\0\0\0\x11s\0" \
	"delete t\0\0\0"
#define PG_BIND             "B\0\0\0\x0d\0s\0\0\0\0\0\0\0"
#define PG_EXECUTE          "E\0\0\0\x09\0\0\0\0\0"
#define PG_SYNC             "S\0\0\0\4"
#define PG_DESCRIBE_REFUSED "D\0\0\0\x27Svsandbox_refused_0000000000000abc\0"

/* The words alone: no parser here, so all is unknown but what has no effect. */
static void classify(void *ctx, const char *text, size_t len, struct wire_statement *ret)
{
	(void)ctx;
	(void)len;
	*ret = (struct wire_statement){ .flags = strncmp(text, "select", 6) == 0
							 ? STATEMENT_READ
							 : STATEMENT_DELETE };
}

static void pg_check(const struct step *steps, const char *asked, const char *closed,
		     const char *server_has, const char *client_has)
{
	static const size_t chunks[] = { 1, 2, 3, 7, 64, 1 << 20 };

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		struct talk t = { 0 };
		const struct wire_setup setup = { .nonce = 0xabc, .classify = classify };

		t.c = wire_new(&wire_pg, &setup);
		buf_init(&t.asks, t.asked, sizeof(t.asked));
		for (const struct step *s = steps; s->bytes; s++) {
			for (size_t at = 0; at < s->len; at += chunks[i]) {
				size_t n = s->len - at < chunks[i] ? s->len - at : chunks[i];

				wire_bytes_put(&t.pending[s->from], s->bytes + at, n);
				offer(&t, s->from);
				offer(&t, WIRE_CLIENT);
			}
		}
		assert_string_equal(t.asked, asked);
		assert_int_equal(t.c->closing, closed != NULL);
		if (closed)
			assert_string_equal(t.c->closed_why, closed);
		if (server_has)
			assert_non_null(memmem(wire_bytes_at(&t.c->out[WIRE_SERVER]),
					       t.c->out[WIRE_SERVER].len, server_has,
					       strlen(server_has)));
		if (client_has)
			assert_non_null(memmem(wire_bytes_at(&t.c->out[WIRE_CLIENT]),
					       t.c->out[WIRE_CLIENT].len, client_has,
					       strlen(client_has)));
		talk_end(&t);
	}
}

static void pg_requests_for_encryption_are_answered_here(void **state)
{
	(void)state;
	check(&(struct conversation){
		&wire_pg, STEPS(C("\0\0\0\x08\x04\xd2\x16\x2f"), C("\0\0\0\x08\x04\xd2\x16\x30")),
		TO_CLIENT("NN"), TO_SERVER("") });
}

static void pg_statements_are_asked_about_and_refused_in_step(void **state)
{
	(void)state;
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\x0dselect 1\0"),
		       C("Q\0\0\0\x0d"
			 "delete t\0"),
		       S("C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I"),
		       S("E\0\0\0\x2cSERROR\0C42601\0Mnear \"vsandbox_refused\"\0\0Z\0\0\0\5I")),
		 "+select 1|-delete t|", NULL, "vsandbox_refused", "Mno??[1mway");
}

static void pg_extended_statements_are_asked_about_at_bind(void **state)
{
	(void)state;
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_SELECT PG_BIND PG_EXECUTE PG_SYNC),
		       S("1\0\0\0\4"
			 "2\0\0\0\4"
			 "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I"),
		       C(PG_BIND PG_EXECUTE PG_SYNC)),
		 "+select $1|+select $1|", NULL, NULL, NULL);
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_DELETE PG_BIND PG_EXECUTE PG_SYNC)), "-delete t|", NULL,
		 "vsandbox_refused_0000000000000abc", NULL);
}

/* The second Parse of a taken name fails; what it said must not count. */
static void pg_a_name_stands_for_what_the_server_acknowledged(void **state)
{
	(void)state;
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_DELETE PG_SYNC), S("1\0\0\0\4Z\0\0\0\5I"),
		       C(PG_PARSE_SELECT PG_SYNC), S("E\0\0\0\x05\0Z\0\0\0\5I"),
		       C(PG_BIND PG_SYNC)),
		 "-delete t|", NULL, NULL, NULL);
	/* until it has answered, both are believed */
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_DELETE PG_SYNC), S("1\0\0\0\4Z\0\0\0\5I"),
		       C(PG_PARSE_SELECT PG_SYNC PG_BIND PG_SYNC)),
		 "-select $1;\ndelete t|", NULL, NULL, NULL);
	/* closed and acknowledged, the name is free */
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_DELETE PG_SYNC), S("1\0\0\0\4Z\0\0\0\5I"),
		       C("C\0\0\0\x07Ss\0" PG_SYNC), S("3\0\0\0\4Z\0\0\0\5I"),
		       C(PG_PARSE_SELECT PG_SYNC), S("1\0\0\0\4Z\0\0\0\5I"), C(PG_BIND PG_SYNC)),
		 "+select $1|", NULL, NULL, NULL);
}

static void pg_what_nobody_parsed_in_sight_is_unknown(void **state)
{
	(void)state;
	pg_check(STEPS(PG_LOGIN, C(PG_BIND PG_SYNC)), "-EXECUTE s|", NULL, NULL, NULL);
	pg_check(STEPS(PG_LOGIN, C("F\0\0\0\x0e\0\0\0\1\0\0\0\0\0\0")), "-FunctionCall|", NULL,
		 NULL, NULL);
}

/* What follows a refused message up to Sync never reaches the server. */
static void pg_the_rest_of_a_refused_group_is_dropped(void **state)
{
	(void)state;
	struct talk t;

	talk(&t, &wire_pg,
	     STEPS(PG_LOGIN, C(PG_PARSE_DELETE PG_BIND PG_EXECUTE PG_PARSE_DELETE PG_BIND PG_SYNC)),
	     5);
	same_bytes(&t.c->out[WIRE_SERVER], PG_START PG_PARSE_DELETE PG_DESCRIBE_REFUSED PG_SYNC,
		   sizeof(PG_START PG_PARSE_DELETE PG_DESCRIBE_REFUSED PG_SYNC) - 1);
	talk_end(&t);
}

static void pg_a_query_without_sync_waits_for_what_is_before(void **state)
{
	(void)state;
	/* the server is asked to flush, and the query goes on when the Parse went well */
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_SELECT "Q\0\0\0\x0dselect 1\0"), S("1\0\0\0\4")),
		 "+select 1|", NULL, "H\0\0\0\4", NULL);
	/* when not, the server would skip it: it is not even asked about */
	pg_check(STEPS(PG_LOGIN, C(PG_PARSE_SELECT "Q\0\0\0\x0dselect 1\0"), S("E\0\0\0\5\0"),
		       C(PG_SYNC)),
		 "", NULL, NULL, NULL);
}

static void pg_copy_data_passes_and_sync_within_is_not_counted(void **state)
{
	(void)state;
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\x0dselect 1\0"), S("G\0\0\0\x07\0\0\0"),
		       C("d\0\0\0\x06xyS\0\0\0\4c\0\0\0\4"),
		       S("C\0\0\0\x0b"
			 "COPY 1\0Z\0\0\0\5I"),
		       C("Q\0\0\0\x0dselect 2\0"), S("Z\0\0\0\5I")),
		 "+select 1|+select 2|", NULL, "xy", NULL);
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\x0dselect 1\0Q\0\0\0\x0dselect 2\0"),
		       S("G\0\0\0\x07\0\0\0")),
		 "+select 1|+select 2|", "statements sent behind a COPY", NULL, NULL);
}

/* A backslash ends a string elsewhere when the server's settings say so. */
static void pg_a_backslash_is_believed_only_with_the_settings_known(void **state)
{
	(void)state;
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\x0fselect '\\'\0")), "+select '\\'|", NULL, NULL, NULL);
	pg_check(STEPS(PG_LOGIN, S("S\0\0\0\x24standard_conforming_strings\0off\0"),
		       C("Q\0\0\0\x0fselect '\\'\0")),
		 "-select '\\'|", NULL, NULL, NULL);
	/* while something is under way that may change them it waits */
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\x0dselect 1\0Q\0\0\0\x0fselect '\\'\0")), "+select 1|",
		 NULL, NULL, NULL);
}

static void pg_malformed_streams_end_the_connection(void **state)
{
	(void)state;
	pg_check(STEPS(C("\0\0\0\3\0\3\0\0")), "", "not PostgreSQL's protocol", NULL, NULL);
	pg_check(STEPS(C("\0\0\0\x08\0\2\0\0")), "",
		 "vsandbox: only version 3 of the protocol can be inspected", NULL, "FATAL");
	pg_check(STEPS(C("\0\0\0\x13\0\3\0\0user\0u\0x\0y\0")), "", "malformed start-up message",
		 NULL, NULL);
	pg_check(STEPS(C("\0\0\0\x0d\0\3\0\0userx")), "", "malformed start-up message", NULL, NULL);
	pg_check(STEPS(C("\0\0\0\x17\0\3\0\0user\0u\0user\0v\0\0")), "",
		 "start-up parameter given twice, or too long", NULL, NULL);
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\x09"
				   "a\0b\0\0")),
		 "", "malformed Query message", NULL, NULL);
	pg_check(STEPS(PG_LOGIN, C("Q\0\0\0\3")), "", "malformed message", NULL, NULL);
	pg_check(STEPS(PG_LOGIN, C("?\0\0\0\4")), "", "unknown message type", NULL, NULL);
	pg_check(STEPS(PG_LOGIN, S("Z\0\0\0\5I")), "", "the server answers what was not asked",
		 NULL, NULL);
	pg_check(STEPS(PG_LOGIN, S("1\0\0\0\4")), "", "ParseComplete for no Parse", NULL, NULL);
}

static void pg_commands_wait_for_the_end_of_the_login(void **state)
{
	(void)state;
	pg_check(STEPS({ WIRE_CLIENT, PG_START, sizeof(PG_START) - 1 }, C("Q\0\0\0\x0dselect 1\0")),
		 "", NULL, NULL, NULL);
}

/* Redis */

static void redis_commands_are_asked_about_and_refused_in_step(void **state)
{
	(void)state;
	check(&(struct conversation){
		&wire_redis,
		STEPS(C("*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$"
			"1\r\nb\r\nPING\r\n"),
		      S("$1\r\nx\r\n-ERR unknown command 'vsandbox_refused_0000000000000abc_00', "
			"with\r\n+PONG\r\n")),
		.asked = "+GET a|-SET a b|+PING|",
		TO_SERVER("*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
			  "*1\r\n$36\r\nvsandbox_refused_0000000000000abc_00\r\nPING\r\n"),
		TO_CLIENT("$1\r\nx\r\n-NOPERM no??[1mway\r\n+PONG\r\n") });
}

static void redis_replies_of_every_type_pass(void **state)
{
	(void)state;
#define REPLIES \
	"|1\r\n+k\r\n+v\r\n%1\r\n+a\r\n*2\r\n:1\r\n|1\r\n+k\r\n+v\r\n$-1\r\n~1\r\n#t\r\n,1.5\r\n(" \
	"12\r\n_\r\n=5\r\ntxt:a\r\n" \
	"!3\r\nERR\r\n>1\r\n+p\r\n*-1\r\n*0\r\n-ERR x\r\n$0\r\n\r\n"
	check(&(struct conversation){ &wire_redis, STEPS(S(REPLIES)), TO_CLIENT(REPLIES) });
}

static void redis_malformed_streams_end_the_connection(void **state)
{
	(void)state;
	static const char *const bad[] = { "*x\r\n",       "*1\r\n$-5\r\n",
					   "*1\r\n+a\r\n", "*1\r\n$1\r\nab\r\n",
					   "*01\r\n",      "*1\n",
					   "\1\2\r\n" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct talk t;

		talk(&t, &wire_redis, STEPS({ WIRE_CLIENT, bad[i], strlen(bad[i]) }), 1);
		assert_true(t.c->closing);
		assert_int_equal(t.c->out[WIRE_SERVER].len, 0);
		talk_end(&t);
	}
	check(&(struct conversation){ &wire_redis, STEPS(C("Host: x\r\n")),
				      .closed = "HTTP where Redis was expected" });
	check(&(struct conversation){ &wire_redis, STEPS(S("*x\r\n")),
				      .closed = "malformed reply" });
}

/* MySQL */

#define MY_GREETING \
	"\x38\0\0\0\x0a" \
	"5.5\0\1\0\0\0" \
	"12345678\0\xff\xff\x08\2\0\xff\xff\x15" \
	"\0\0\0\0\0\0\0\0\0\0" \
	"123456789012\0" \
	"native\0"
#define MY_LOGIN \
	"\x26\0\0\1\x8f\xa2\x0b\0\0\0\0\1\x21" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
	"u\0\0" \
	"d\0" \
	"\0"
#define MY_OK "\7\0\0\2\0\0\0\2\0\0\0"
#define MY_IN \
	{ WIRE_SERVER, MY_GREETING, sizeof(MY_GREETING) - 1 }, \
		{ WIRE_CLIENT, MY_LOGIN, sizeof(MY_LOGIN) - 1 }, \
	{ \
		WIRE_SERVER, MY_OK, sizeof(MY_OK) - 1 \
	}

static void mysql_greeting_hides_what_cannot_be_inspected(void **state)
{
	(void)state;
	struct talk t;

	talk(&t, &wire_mysql, STEPS(S(MY_GREETING)), 1);
	const uint8_t *out = wire_bytes_at(&t.c->out[WIRE_CLIENT]);
	assert_int_equal(t.c->out[WIRE_CLIENT].len, sizeof(MY_GREETING) - 1);
	/* TLS, COMPRESS and LOCAL FILES of the low word; EOF, metadata, zstd … of the high one */
	assert_int_equal(out[4 + 5 + 4 + 9], 0xff & ~0x20 & ~0x80);
	assert_int_equal(out[4 + 5 + 4 + 10], 0xff & ~0x08);
	assert_int_equal(out[4 + 5 + 4 + 15], 0xff & ~0x01 & ~0x02 & ~0x04 & ~0x08 & ~0x10 & ~0x20);
	talk_end(&t);
}

static void mysql_statements_are_asked_about_one_at_a_time(void **state)
{
	(void)state;
	struct talk t;
	static const size_t chunks[] = { 1, 3, 64, 4096 };

	for (size_t i = 0; i < 4; i++) {
		talk(&t, &wire_mysql,
		     STEPS(MY_IN, C("\x09\0\0\0\3select 1"),
			   C("\x09\0\0\0\3"
			     "delete t")),
		     chunks[i]);
		assert_string_equal(t.asked, "+select 1|"); /* the second waits for the answer */
		talk_end(&t);
		talk(&t, &wire_mysql,
		     STEPS(MY_IN, C("\x09\0\0\0\3select 1"),
			   C("\x09\0\0\0\3"
			     "delete t"),
			   S("\1\0\0\1\1\3\0\0\2xyz\5\0\0\3\xfe\0\0\2\0\2\0\0\4\1z\5\0\0\5\xfe\0\0"
			     "\2\0")),
		     chunks[i]);
		assert_string_equal(t.asked, "+select 1|-delete t|");
		assert_non_null(memmem(wire_bytes_at(&t.c->out[WIRE_CLIENT]),
				       t.c->out[WIRE_CLIENT].len, "\x76\4#42000no??[1mway", 18));
		assert_null(memmem(wire_bytes_at(&t.c->out[WIRE_SERVER]), t.c->out[WIRE_SERVER].len,
				   "delete", 6));
		talk_end(&t);
	}
}

static void mysql_malformed_streams_end_the_connection(void **state)
{
	(void)state;
	check(&(struct conversation){ &wire_mysql, STEPS(S("\0\0\0\0")),
				      .closed = "not MySQL's protocol" });
	check(&(struct conversation){ &wire_mysql, STEPS(S("\2\0\0\0\x0a\0")),
				      .closed = "not MySQL's protocol" });
	check(&(struct conversation){ &wire_mysql, STEPS(S(MY_GREETING), C("\2\0\0\1ab")),
				      .closed =
					      "the client's protocol is too old to be inspected" });
	check(&(struct conversation){ &wire_mysql, STEPS(MY_IN, C("\0\0\0\0")),
				      .closed = "malformed command" });
	check(&(struct conversation){ &wire_mysql, STEPS(MY_IN, C("\1\0\0\5\x0e")),
				      .closed = "malformed command" });
	check(&(struct conversation){ &wire_mysql, STEPS(MY_IN, S("\1\0\0\0\0")),
				      .closed = "the server answers what was not asked" });
	/* the server wants a file of the client's */
	check(&(struct conversation){
		&wire_mysql, STEPS(MY_IN, C("\x09\0\0\0\3select 1"), S("\2\0\0\1\xfbx")),
		.asked = "+select 1|", .closed = "malformed answer of the server" });
}

static void mysql_statements_are_reads_only_in_known_forms(void **state)
{
	(void)state;
	static const char *const reads[] = {
		"select 1",
		"(select 1)",
		"with x as (select 1) select * from x",
		"show tables",
		"use d",
		"set names utf8mb4",
		"set @a = 1",
		"start transaction",
		"begin",
		"begin work",
		"commit",
		"savepoint a",
		"release savepoint a",
		"explain select 1",
		"desc t",
		"values (1)",
		"select 5--1",
		"select 'delete from t'",
		"select \"a'\", 'b\"'",
		"select 1 into @a",
		"select /*!40001 SQL_NO_CACHE */ * from t",
		"select 1; select 2;",
		"-- c\nselect 1",
		"select `a``b`",
	};
	static const char *const not [] = {
		"delete from t",
		"select 1; delete from t",
		"select '\\'; delete from t'",
		"select 5--1; drop table t",
		"/*!50000 delete from t */",
		"/*M!100000 delete from t */",
		"/*!99999 ' */ delete from t; -- '",
		"/*!99999 select */ /*!50000 delete from t */",
		"/*!99999 select */ flush tables",
		"select 1 /*!50000 ; delete from t */",
		"with x as (select 1) /*!99999 select */ /*!50000 delete from t */",
		"begin not atomic delete from t; end",
		"set statement a = 1 for delete from t",
		"set global a = 1",
		"set @@global.a = 1",
		"set password = 'x'",
		"call p()",
		"do sleep(1)",
		"prepare s from 'x'",
		"execute s",
		"handler t open",
		"load data infile 'x' into table t",
		"select 1 into outfile 'x'",
		"select 1 from t into dumpfile 'x'",
		"analyze format=json delete from t",
		"explain analyze delete from t",
		"kill 1",
		"start slave",
		"xa start 'x'",
		"lock tables t write",
		"select `a\\`; delete from t; -- `",
		"select \"a\\\"; delete from t; -- \"",
		"select '\xbf\\'; delete from t; -- '",
		"set sql_mode = ansi_quotes",
		"select setval(s, 1)",
		"",
	};
	for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
		if (action_type_of_statement(statement_mysql(reads[i], strlen(reads[i]))) !=
		    ACTION_DATABASE_QUERY)
			fail_msg("no read: %s", reads[i]);
	for (size_t i = 0; i + 1 < sizeof(not ) / sizeof(not [0]); i++)
		if (action_type_of_statement(statement_mysql(not [i], strlen(not [i]))) !=
		    ACTION_DATABASE_WRITE)
			fail_msg("a read: %s", not [i]);
	assert_int_equal(action_type_of_statement(statement_mysql("select 1\0; drop", 15)),
			 ACTION_DATABASE_WRITE);
}

/* What is spoken */

#define HELLO_BODY \
	"\3\3" \
	"01234567890123456789012345678901" \
	"\0" \
	"\0\2\x13\1" \
	"\1\0" \
	"\0\x23" \
	"\0\0\0\x0e\0\x0c\0\0\x09" \
	"Db.Test.x" \
	"\0\x10\0\5\0\3\2h2" \
	"\xfe\x0d\0\4abcd"
#define HELLO "\x16\3\1\0\x52\1\0\0\x4e" HELLO_BODY

static void sniffing_knows_protocols_from_every_prefix(void **state)
{
	(void)state;
	static const struct {
		const char *client, *server;
		size_t client_len, server_len;
		uint16_t port;
		enum sniff_protocol want;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n", NULL, 16, 0, 80, SNIFF_HTTP1 },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NULL, 24, 0, 80, SNIFF_HTTP2 },
		{ "SSH-2.0-x\r\n", NULL, 11, 0, 22, SNIFF_SSH },
		{ NULL, "SSH-2.0-x\r\n", 0, 11, 22, SNIFF_SSH },
		{ NULL, MY_GREETING, 0, 30, 3307, SNIFF_MYSQL },
		{ NULL, "220 smtp\r\n", 0, 10, 25, SNIFF_UNKNOWN },
		{ PG_START, NULL, sizeof(PG_START) - 1, 0, 6000, SNIFF_POSTGRESQL },
		{ "\0\0\0\x08\x04\xd2\x16\x2f", NULL, 8, 0, 5432, SNIFF_POSTGRESQL },
		{ "GET / HTTP/1.1\r\n", NULL, 16, 0, 5432, SNIFF_UNKNOWN },
		{ "\r\n*1\r\n$4\r\nPING\r\n", NULL, 16, 0, 7000, SNIFF_REDIS },
		{ "GET a\r\n", NULL, 7, 0, 6379, SNIFF_REDIS },
		{ "hello", NULL, 5, 0, 1234, SNIFF_UNKNOWN },
		{ "x", NULL, 1, 0, 1234, SNIFF_UNKNOWN },
		{ NULL, "\xff\xfd\x18", 0, 3, 23, SNIFF_UNKNOWN },
		{ "\x3f\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\0\x2a\0\0\0\x10"
		  "find\0\1\0\0\0\2$db\0\5\0\0\0shop\0\x10"
		  "abcdefg\0\1\0\0\0\0",
		  NULL, 63, 0, 27017, SNIFF_MONGODB },
		{ HELLO, NULL, sizeof(HELLO) - 1, 0, 443, SNIFF_TLS },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sniff s = { 0 };

		/* Every prefix is undecided or already right: more bytes never change the answer. */
		for (size_t c = rows[i].client ? 1 : 0; c <= rows[i].client_len; c++) {
			for (size_t v = rows[i].server ? 1 : 0; v <= rows[i].server_len; v++) {
				sniff_peers((const uint8_t *)rows[i].client, c,
					    (const uint8_t *)rows[i].server, v, rows[i].port, &s);
				/* … but for the one that is never waited for */
				if (s.protocol != SNIFF_MORE && rows[i].want != SNIFF_MONGODB)
					assert_int_equal(s.protocol, rows[i].want);
			}
		}
		assert_int_equal(s.protocol, rows[i].want);
		if (s.protocol == SNIFF_MONGODB) {
			assert_string_equal(s.name, "shop");
			assert_string_equal(s.detail, "find");
		}
		if (s.protocol == SNIFF_TLS) {
			assert_string_equal(s.name, "db.test.x");
			assert_string_equal(s.detail, "h2");
			assert_true(s.encrypted_hello);
		}
	}
}

static void a_hello_cut_into_records_is_read(void **state)
{
	(void)state;
	struct tls_hello hello;
	uint8_t cut[1024];
	size_t n = 0;
	const char *message = HELLO + 5;

	for (size_t i = 0; i < sizeof(HELLO) - 1 - 5; i++) {
		memcpy(cut + n, "\x16\3\1\0\1", 5);
		cut[n + 5] = (uint8_t)message[i];
		n += 6;
	}
	for (size_t i = 0; i < n; i++)
		assert_int_equal(tls_hello_parse(cut, i, &hello), TLS_MORE);
	assert_int_equal(tls_hello_parse(cut, n, &hello), TLS_HELLO);
	assert_string_equal(hello.name, "db.test.x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pg_requests_for_encryption_are_answered_here),
		cmocka_unit_test(pg_statements_are_asked_about_and_refused_in_step),
		cmocka_unit_test(pg_extended_statements_are_asked_about_at_bind),
		cmocka_unit_test(pg_a_name_stands_for_what_the_server_acknowledged),
		cmocka_unit_test(pg_what_nobody_parsed_in_sight_is_unknown),
		cmocka_unit_test(pg_the_rest_of_a_refused_group_is_dropped),
		cmocka_unit_test(pg_a_query_without_sync_waits_for_what_is_before),
		cmocka_unit_test(pg_copy_data_passes_and_sync_within_is_not_counted),
		cmocka_unit_test(pg_a_backslash_is_believed_only_with_the_settings_known),
		cmocka_unit_test(pg_malformed_streams_end_the_connection),
		cmocka_unit_test(pg_commands_wait_for_the_end_of_the_login),
		cmocka_unit_test(redis_commands_are_asked_about_and_refused_in_step),
		cmocka_unit_test(redis_replies_of_every_type_pass),
		cmocka_unit_test(redis_malformed_streams_end_the_connection),
		cmocka_unit_test(mysql_greeting_hides_what_cannot_be_inspected),
		cmocka_unit_test(mysql_statements_are_asked_about_one_at_a_time),
		cmocka_unit_test(mysql_malformed_streams_end_the_connection),
		cmocka_unit_test(mysql_statements_are_reads_only_in_known_forms),
		cmocka_unit_test(sniffing_knows_protocols_from_every_prefix),
		cmocka_unit_test(a_hello_cut_into_records_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
