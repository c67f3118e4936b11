/*
 * Redis' protocol, RESP2 and RESP3.
 *
 * Each command is asked about before it goes on. A refused one never reaches the
 * server: the name of a command that nobody has goes in its place, and the
 * server's error is replaced by -NOPERM. So replies stay in step, a MULTI is
 * marked as failed, CLIENT REPLY OFF keeps silent, all as of the server's own.
 */
#include <stdio.h>
#include <string.h>

#include "net/wire/redis_commands.h"
#include "net/wire/wire.h"

enum {
	REDIS_INLINE_MAX = 64 * 1024, /* the server's own limits */
	REDIS_ARGS_MAX = 1024 * 1024,
	REDIS_SHOWN = 4096, /* bytes of a command that are asked about */
	REDIS_LINE_MAX = 64 * 1024,
	REDIS_DEPTH_MAX = 32,
	REDIS_STRING_MAX = 512 * 1024 * 1024,
	REDIS_REFUSED_MAX = 64,
};

struct redis {
	struct wire_conn conn;
	struct wire_bytes held; /* the command that is being read */
	size_t at;              /* of held that is understood */
	uint64_t args_left;
	int64_t arg_len; /* of the argument that is being read; -1: its head comes next */
	bool inside;
	struct redis_words words;
	char text[REDIS_SHOWN + 1];
	size_t text_len;
	bool cut;
	bool oversize; /* dropped as it comes, and refused at its end */
	uint64_t drop; /* bytes of an argument still to be dropped */

	/* replies */
	struct wire_bytes line;
	uint64_t bulk;                      /* bytes of a string still to pass */
	uint64_t left[REDIS_DEPTH_MAX + 1]; /* elements still to come, by depth */
	unsigned depth;
	unsigned refused; /* commands, so far */
	char why[REDIS_REFUSED_MAX][WIRE_WHY_SIZE];
};

/* What nobody's command is called, up to the number of the refusal. */
static int refused_name(const struct redis *r, char out[static 48])
{
	return snprintf(out, 48, "vsandbox_refused_%016llx_",
			(unsigned long long)r->conn.setup.nonce);
}

static void text_put(struct redis *r, const uint8_t *bytes, size_t len)
{
	size_t room = REDIS_SHOWN - r->text_len;

	if (r->text_len && room) {
		r->text[r->text_len++] = ' ';
		room--;
	}
	if (len > room) {
		len = room;
		r->cut = true;
	}
	for (size_t i = 0; i < len; i++) /* as a line of text: a NUL would end it */
		r->text[r->text_len++] = bytes[i] ? (char)bytes[i] : '?';
	r->text[r->text_len] = '\0';
}

static void argument(struct redis *r, const uint8_t *bytes, size_t len)
{
	redis_words_add(&r->words, bytes, len);
	text_put(r, bytes, len);
}

static void command_reset(struct redis *r)
{
	wire_bytes_clear(&r->held);
	r->at = r->text_len = 0;
	r->args_left = r->drop = 0;
	r->arg_len = -1;
	r->inside = r->cut = r->oversize = false;
	r->words = (struct redis_words){ 0 };
	r->text[0] = '\0';
}

static void refuse(struct redis *r, const char *why)
{
	char name[48];
	char command[96];
	unsigned number = r->refused++ % REDIS_REFUSED_MAX;
	int n = refused_name(r, name);

	n = snprintf(command, sizeof(command), "*1\r\n$%d\r\n%s%02u\r\n", n + 2, name, number);
	wire_bytes_put(&r->conn.out[WIRE_SERVER], command, (size_t)n);
	wire_why(r->why[number], WIRE_WHY_SIZE, why);
	command_reset(r);
}

static void command_complete(struct redis *r)
{
	uint32_t flags = redis_words_flags(&r->words) | (r->cut ? STATEMENT_CUT : 0);

	if (r->oversize) {
		refuse(r, "vsandbox: command too long to be inspected");
		return;
	}
	if (r->words.count == 0) { /* an empty line; the server ignores it */
		command_reset(r);
		return;
	}
	if (redis_words_unseen(&r->words)) { /* the connection would be another protocol */
		refuse(r, "vsandbox: replication cannot be inspected");
		return;
	}
	wire_ask(&r->conn, flags, r->text, r->text_len);
}

static void redis_answer(struct wire_conn *c, bool allowed, const char *why)
{
	struct redis *r = (struct redis *)c;

	if (!allowed) {
		refuse(r, why);
		return;
	}
	wire_bytes_put(&c->out[WIRE_SERVER], wire_bytes_at(&r->held), r->held.len);
	command_reset(r);
}

/*
 * Takes bytes into held up to and with the next line feed behind @at. Returns the line's
 * length with its end, 0 while it is not complete; longer than @max closes.
 */
static size_t line(struct redis *r, size_t max, const uint8_t **bytes, size_t *len)
{
	while (*len) {
		const uint8_t *lf = memchr(*bytes, '\n', *len);
		size_t n = lf ? (size_t)(lf + 1 - *bytes) : *len;

		if (r->held.len - r->at + n > max) {
			wire_close(&r->conn, "malformed command");
			return 0;
		}
		wire_bytes_put(&r->held, *bytes, n);
		*bytes += n;
		*len -= n;
		if (lf && !r->held.failed)
			return r->held.len - r->at;
	}
	return 0;
}

/* A number as the server reads it: digits, perhaps a sign, CRLF. False: no number. */
static bool number(const uint8_t *p, size_t len, int64_t *ret)
{
	bool minus = len && *p == '-';
	int64_t v = 0;

	if (len < 3 || p[len - 2] != '\r')
		return false;
	p += minus;
	len -= 2u + minus;
	if (len == 0 || len > 18 || (len > 1 && *p == '0'))
		return false;
	for (; len; p++, len--) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (*p - '0');
	}
	*ret = minus ? -v : v;
	return true;
}

/* An inline command is words; one with quotes is refused rather than read as the server might. */
static void inline_command(struct redis *r, size_t len)
{
	const uint8_t *p = wire_bytes_at(&r->held);

	len--;
	if (len && p[len - 1] == '\r')
		len--;
	for (size_t i = 0; i < len;) {
		size_t start = i;

		if (p[i] == ' ' || (p[i] >= '\t' && p[i] <= '\r') || !p[i]) {
			i++;
			continue;
		}
		while (i < len && p[i] > ' ')
			i++;
		if (i == start) {
			wire_close(&r->conn, "malformed inline command");
			return;
		}
		argument(r, p + start, i - start);
	}
	if (memchr(p, '"', len) || memchr(p, '\'', len) || memchr(p, '\0', len)) {
		refuse(r, "vsandbox: inline command with quotes");
		return;
	}
	/* What a browser was made to send; the server hangs up too. */
	if (redis_words_http(&r->words)) {
		wire_close(&r->conn, "HTTP where Redis was expected");
		return;
	}
	command_complete(r);
}

/* A command's first line: "*N", or the command itself. */
static void head(struct redis *r, const uint8_t **bytes, size_t *len)
{
	size_t n = line(r, REDIS_INLINE_MAX, bytes, len);
	int64_t args;

	if (n == 0)
		return;
	const uint8_t *p = wire_bytes_at(&r->held);
	if (*p != '*') {
		inline_command(r, n);
		return;
	}
	if (!number(p + 1, n - 1, &args) || args > REDIS_ARGS_MAX) {
		wire_close(&r->conn, "malformed command");
		return;
	}
	if (args <= 0) {
		command_reset(r);
		return;
	}
	r->at = n;
	r->args_left = (uint64_t)args;
	r->arg_len = -1;
	r->inside = true;
}

static void argument_end(struct redis *r)
{
	r->arg_len = -1;
	if (--r->args_left == 0)
		command_complete(r);
}

static void argument_dropped(struct redis *r, const uint8_t **bytes, size_t *len)
{
	size_t n = r->drop < *len ? (size_t)r->drop : *len;

	*bytes += n;
	*len -= n;
	r->drop -= n;
	if (r->drop == 0)
		argument_end(r);
}

/* An argument's head, "$N". False: not complete, or malformed. */
static bool argument_head(struct redis *r, const uint8_t **bytes, size_t *len)
{
	size_t n = line(r, 32, bytes, len);
	int64_t size;

	if (n == 0)
		return false;
	const uint8_t *p = wire_bytes_at(&r->held) + r->at;
	if (*p != '$' || !number(p + 1, n - 1, &size) || size < 0 || size > REDIS_STRING_MAX) {
		wire_close(&r->conn, "malformed command");
		return false;
	}
	r->at += n;
	if (r->oversize || r->at + (uint64_t)size > WIRE_HELD_MAX) {
		r->oversize = true;
		r->drop = (uint64_t)size + 2;
		r->at = 0;
		wire_bytes_clear(&r->held);
	}
	r->arg_len = size;
	return true;
}

static void argument_read(struct redis *r, const uint8_t **bytes, size_t *len)
{
	if (r->arg_len < 0 && !argument_head(r, bytes, len))
		return;
	if (r->drop) {
		argument_dropped(r, bytes, len);
		return;
	}
	size_t want = (size_t)r->arg_len + 2;
	if (!wire_bytes_fill(&r->held, r->at + want, bytes, len))
		return;
	const uint8_t *p = wire_bytes_at(&r->held) + r->at;
	if (p[want - 2] != '\r' || p[want - 1] != '\n') {
		wire_close(&r->conn, "malformed command");
		return;
	}
	argument(r, p, want - 2);
	r->at += want;
	argument_end(r);
}

/* Replies */

/* One element is over; with the last of an aggregate that is over too. */
static void element_end(struct redis *r)
{
	while (r->depth && --r->left[r->depth] == 0)
		r->depth--;
}

static void aggregate(struct redis *r, char type, int64_t count)
{
	uint64_t elements = type == '%' || type == '|' ? 2 * (uint64_t)count : (uint64_t)count;

	if (type == '|') /* attributes precede a reply, they are none */
		elements++;
	if (elements == 0) {
		element_end(r);
		return;
	}
	if (type == '|' && r->depth == 0)
		elements--;
	if (r->depth == REDIS_DEPTH_MAX) {
		wire_close(&r->conn, "reply nested too deeply");
		return;
	}
	if (elements)
		r->left[++r->depth] = elements;
}

/* The server's error of what went in a refused command's place: ours instead. */
static bool replace_error(struct redis *r)
{
	const char *text = (const char *)wire_bytes_at(&r->line);
	char name[48];
	size_t n = (size_t)refused_name(r, name);
	const char *at = memmem(text, r->line.len, name, n);
	char out[WIRE_WHY_SIZE + 16];

	if (!at || r->line.len - (size_t)(at - text) < n + 2)
		return false;
	unsigned number = (unsigned)(at[n] - '0') * 10 + (unsigned)(at[n + 1] - '0');
	if (number >= REDIS_REFUSED_MAX || number >= r->refused)
		return false;
	int len = snprintf(out, sizeof(out), "-NOPERM %s\r\n", r->why[number]);
	wire_bytes_put(&r->conn.out[WIRE_CLIENT], out, (size_t)len);
	return true;
}

static void reply_line(struct redis *r)
{
	const uint8_t *p = wire_bytes_at(&r->line);
	size_t len = r->line.len;
	char type = (char)*p;
	int64_t count = 0;

	if (strchr("$=!*%~>|", type) && type && !number(p + 1, len - 1, &count)) {
		wire_close(&r->conn, "malformed reply");
		return;
	}
	if (type == '-' && r->depth == 0 && r->refused && replace_error(r))
		return;
	wire_bytes_put(&r->conn.out[WIRE_CLIENT], p, len);
	switch (type) {
	case '+':
	case '-':
	case ':':
	case '_':
	case '#':
	case ',':
	case '(':
		element_end(r);
		return;
	case '$':
	case '=':
	case '!':
		if (count < 0) {
			element_end(r);
			return;
		}
		r->bulk = (uint64_t)count + 2;
		return;
	case '*':
	case '%':
	case '~':
	case '>':
	case '|':
		aggregate(r, type, count < 0 ? 0 : count);
		return;
	default:
		wire_close(&r->conn, "malformed reply");
		return;
	}
}

static void feed_server(struct redis *r, const uint8_t **bytes, size_t *len)
{
	if (r->bulk) {
		size_t n = r->bulk < *len ? (size_t)r->bulk : *len;

		wire_bytes_put(&r->conn.out[WIRE_CLIENT], *bytes, n);
		*bytes += n;
		*len -= n;
		r->bulk -= n;
		if (r->bulk == 0)
			element_end(r);
		return;
	}
	const uint8_t *lf = memchr(*bytes, '\n', *len);
	size_t n = lf ? (size_t)(lf + 1 - *bytes) : *len;
	if (r->line.len + n > REDIS_LINE_MAX) {
		wire_close(&r->conn, "line of a reply too long");
		return;
	}
	wire_bytes_put(&r->line, *bytes, n);
	*bytes += n;
	*len -= n;
	if (lf && !r->line.failed) {
		reply_line(r);
		wire_bytes_clear(&r->line);
	}
}

static size_t redis_feed(struct wire_conn *c, enum wire_side from, const uint8_t *bytes, size_t len)
{
	struct redis *r = (struct redis *)c;
	size_t given = len;

	while (len && !c->closing && !(c->asking && from == WIRE_CLIENT)) {
		if (from == WIRE_SERVER)
			feed_server(r, &bytes, &len);
		else if (r->inside)
			argument_read(r, &bytes, &len);
		else
			head(r, &bytes, &len);
		if (r->held.failed || r->line.failed)
			wire_close(c, "out of memory");
	}
	return given - len;
}

static void redis_finish(struct wire_conn *c)
{
	struct redis *r = (struct redis *)c;

	wire_bytes_finish(&r->held);
	wire_bytes_finish(&r->line);
}

const struct wire_protocol wire_redis = {
	.name = "redis",
	.size = sizeof(struct redis),
	.feed = redis_feed,
	.answer = redis_answer,
	.finish = redis_finish,
};
