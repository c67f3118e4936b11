/*
 * What the inspected protocols have in common: a machine that is fed what both
 * peers say, says itself what each may hear, and asks before a statement goes
 * on. Pure: no I/O, no clock; memory is bounded by WIRE_HELD_MAX a connection.
 *
 *   fed, not asking -> bytes to out[]; possibly asking (one question at a time)
 *   asking          -> takes no more of the client, still all of the server;
 *                      wire_answer() ends it
 *   closing         -> takes nothing; out[] is written, then both ends are closed
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/action.h"
#include "net/wire/bytes.h"

enum wire_side { WIRE_CLIENT, WIRE_SERVER, WIRE_SIDE_COUNT };

enum {
	WIRE_HELD_MAX = 16 * 1024 * 1024, /* a statement longer than this is refused */
	WIRE_NAME_SIZE = 256,             /* a database's name with its NUL */
	WIRE_WHY_SIZE = 160,
};

enum wire_tls {
	WIRE_TLS_REFUSE, /* the client is told that the server has none */
	WIRE_TLS_WHOLE,  /* let through, and nothing is seen of what it holds */
};

/* What is asked. The text is borrowed from the machine until it is answered. */
struct wire_question {
	enum action_type type; /* ACTION_API_CALL; ACTION_NONE: a statement's, by its flags */
	uint32_t flags;        /* of enum statement_flag */
	const char *text;
	size_t len;
};

struct wire_conn;

struct wire_protocol {
	const char *name; /* the scheme of the resource: "postgresql" */
	size_t size;      /* of the struct that begins with struct wire_conn */
	/* Takes bytes of one side and returns how many; fewer only when it asks, stalls or closes. */
	size_t (*feed)(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len);
	void (*answer)(struct wire_conn *c, bool allowed, const char *why);
	void (*finish)(struct wire_conn *c);
};

/* What the text of a statement is; @ctx as given in struct wire_setup. */
struct wire_statement;
typedef void wire_classify(void *ctx, const char *text, size_t len, struct wire_statement *ret);

struct wire_setup {
	enum wire_tls tls;
	wire_classify *classify; /* NULL: by words alone, net/wire/statement.h */
	void *classify_ctx;
	uint64_t nonce; /* random; what the peers cannot guess */
};

struct wire_conn {
	const struct wire_protocol *protocol;
	struct wire_setup setup;
	struct wire_bytes out[WIRE_SIDE_COUNT]; /* what that side is to hear */
	bool asking;
	struct wire_question question;
	bool closing;
	const char *closed_why;        /* static text; NULL while open, or closed in good order */
	bool opaque;                   /* encrypted from here on: passed on unseen */
	char database[WIRE_NAME_SIZE]; /* or the host that is asked for; "" until known */
};

extern const struct wire_protocol wire_pg, wire_mysql, wire_redis;
/* Each request, or the first words of an encrypted connection, as an api_call. */
extern const struct wire_protocol wire_http, wire_tls;
/* What cannot be inspected: passed on unseen. */
extern const struct wire_protocol wire_opaque;

/* A connection's machine on the heap; NULL without memory. */
struct wire_conn *wire_new(const struct wire_protocol *protocol, const struct wire_setup *setup);
void wire_free(struct wire_conn *c);

size_t wire_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len);

/* The answer to the question; @why, for people, goes to the client with a refusal. */
void wire_answer(struct wire_conn *c, bool allowed, const char *why);

/* For the protocols: ends the connection because of what a peer sent; @why is static. */
void wire_close(struct wire_conn *c, const char *why);
void wire_ask(struct wire_conn *c, uint32_t flags, const char *text, size_t len);
/* Puts text into @out cut to @size, without bytes that would end or colour a client's line. */
void wire_why(char *out, size_t size, const char *why);
