#include "scoring/sql.h"

#include <string.h>
#include <strings.h>

enum { SQL_DEPTH_MAX = 16, SQL_BULK_BYTES = 256 * 1024 };

static bool is_word(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '$' || c >= 0x80;
}

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool ends_word(unsigned char c)
{
	return c <= ' ' || c == 0x7f;
}

/* To MySQL "5--1" is six; elsewhere the rest is a comment. */
static bool line_comment(const char *p, enum sql_dialect dialect)
{
	if (p[0] == '-' && p[1] == '-')
		return dialect == SQL_STANDARD || ends_word((unsigned char)p[2]);
	return *p == '#' && dialect != SQL_STANDARD;
}

static const char *skip_blank(const char *p, enum sql_dialect dialect)
{
	for (;;) {
		if (is_space((unsigned char)*p)) {
			p++;
		} else if (line_comment(p, dialect)) {
			p += strcspn(p, "\n");
		} else if (p[0] == '/' && p[1] == '*' &&
			   (p[2] == '!' || (p[2] == 'M' && p[3] == '!'))) {
			p += p[2] == 'M' ? 4
					 : 3; /* MySQL, MariaDB run what stands in such a comment */
			while (*p >= '0' && *p <= '9')
				p++;
		} else if (p[0] == '/' && p[1] == '*') {
			const char *end = strstr(p + 2, "*/");

			p = end ? end + 2 : p + strlen(p);
		} else {
			return p;
		}
	}
}

/* Past the closing quote; a doubled quote stands for itself. */
static const char *skip_quoted(const char *p, char quote, bool backslash)
{
	for (; *p; p++) {
		if (backslash && *p == '\\' && p[1])
			p++;
		else if (*p == quote && p[1] == quote)
			p++;
		else if (*p == quote)
			return p + 1;
	}
	return p;
}

/* PostgreSQL's $tag$ … $tag$; NULL when @p does not start one. */
static const char *skip_dollar(const char *p)
{
	const char *tag = p + 1;
	size_t len;

	if (*tag >= '0' && *tag <= '9')
		return NULL;
	while (*tag != '$' && is_word((unsigned char)*tag))
		tag++;
	if (*tag != '$')
		return NULL;
	len = (size_t)(tag + 1 - p);
	for (const char *q = tag + 1; (q = strchr(q, '$')); q++) {
		if (strncmp(q, p, len) == 0)
			return q + len;
	}
	return p + strlen(p);
}

struct sql_token sql_next(const char **cursor, enum sql_dialect dialect)
{
	const char *p = skip_blank(*cursor, dialect);
	struct sql_token t = { .text = p };
	const char *end = p;

	if (!*p) {
		t.kind = SQL_TOKEN_END;
	} else if (*p == '\'') {
		t.kind = SQL_TOKEN_LITERAL;
		end = skip_quoted(p + 1, '\'', dialect != SQL_STANDARD);
	} else if (*p == '"' || *p == '`') {
		t.kind = SQL_TOKEN_WORD;
		t.quoted = true;
		end = skip_quoted(p + 1, *p, *p == '"' && dialect == SQL_MYSQL);
		*cursor = end;
		t.text = p + 1;
		t.len = (size_t)(end - t.text);
		if (t.len && t.text[t.len - 1] == *p)
			t.len--;
		return t;
	} else if (*p == '$' && skip_dollar(p)) {
		t.kind = SQL_TOKEN_LITERAL;
		end = skip_dollar(p);
	} else if ((*p == 'E' || *p == 'e') && p[1] == '\'' && dialect == SQL_STANDARD) {
		t.kind = SQL_TOKEN_LITERAL; /* PostgreSQL's string with escapes */
		end = skip_quoted(p + 2, '\'', true);
	} else if (is_word((unsigned char)*p)) {
		t.kind = *p >= '0' && *p <= '9' ? SQL_TOKEN_LITERAL : SQL_TOKEN_WORD;
		while (is_word((unsigned char)*end) || (t.kind == SQL_TOKEN_LITERAL && *end == '.'))
			end++;
	} else {
		t.kind = SQL_TOKEN_PUNCT;
		end = p + 1;
	}
	t.len = (size_t)(end - p);
	*cursor = end;
	return t;
}

static bool word_is(const struct sql_token *t, const char *word)
{
	return t->kind == SQL_TOKEN_WORD && !t->quoted && (t->text[0] | 0x20) == word[0] &&
	       strlen(word) == t->len && strncasecmp(t->text, word, t->len) == 0;
}

static bool punct_is(const struct sql_token *t, char c)
{
	return t->kind == SQL_TOKEN_PUNCT && *t->text == c;
}

struct verb_row {
	const char *word;
	enum sql_kind kind;
	float danger;
	const char *why;
	bool wants_where; /* the danger is that of a statement without WHERE */
	bool nested;      /* also counts after an opening parenthesis: WITH x AS (DELETE …) */
};

/* clang-format off */
static const struct verb_row verbs[] = {
	{ "select",   SQL_READ,    0,    NULL, .nested = true },
	{ "with",     SQL_READ,    0,    NULL },
	{ "values",   SQL_READ,    0,    NULL },
	{ "table",    SQL_READ,    0,    NULL },
	{ "explain",  SQL_READ,    0,    NULL },
	{ "describe", SQL_READ,    0,    NULL },
	{ "fetch",    SQL_READ,    0,    NULL },
	{ "show",     SQL_SESSION, 0,    NULL },
	{ "set",      SQL_SESSION, 0,    NULL },
	{ "use",      SQL_SESSION, 0,    NULL },
	{ "desc",     SQL_READ,    0,    NULL },
	{ "savepoint", SQL_SESSION, 0,   NULL },
	{ "release",  SQL_SESSION, 0,    NULL },
	{ "begin",    SQL_SESSION, 0,    NULL },
	{ "start",    SQL_SESSION, 0,    NULL },
	{ "commit",   SQL_SESSION, 0,    NULL },
	{ "rollback", SQL_SESSION, 0,    NULL },
	{ "end",      SQL_SESSION, 0,    NULL },
	{ "pragma",   SQL_SESSION, 0,    NULL },
	{ "analyze",  SQL_SESSION, 0,    NULL },
	{ "insert",   SQL_WRITE,   0,    NULL, .nested = true },
	{ "merge",    SQL_WRITE,   0,    NULL },
	{ "upsert",   SQL_WRITE,   0,    NULL },
	{ "replace",  SQL_WRITE,   0,    NULL },
	{ "copy",     SQL_WRITE,   .15f, "copies a whole table" },
	{ "load",     SQL_WRITE,   .30f, "loads in bulk" },
	{ "update",   SQL_WRITE,   .90f, "updates without WHERE", .wants_where = true, .nested = true },
	{ "delete",   SQL_DELETE,  .90f, "deletes without WHERE", .wants_where = true, .nested = true },
	{ "create",   SQL_DEFINE,  0,    NULL },
	{ "comment",  SQL_DEFINE,  0,    NULL },
	{ "reindex",  SQL_DEFINE,  0,    NULL },
	{ "vacuum",   SQL_DEFINE,  0,    NULL },
	{ "alter",    SQL_DEFINE,  .40f, "alters a definition" },
	{ "grant",    SQL_DEFINE,  .70f, "grants rights" },
	{ "revoke",   SQL_DEFINE,  .50f, "revokes rights" },
	{ "attach",   SQL_DEFINE,  .40f, "attaches another database" },
	{ "truncate", SQL_DESTROY, 1,    "truncates a table" },
	{ "drop",     SQL_DESTROY, 1,    "drops" },
};

/* Words that reach out of the database wherever they stand; next: the word ("'": a string) after. */
static const struct { const char *word, *next; float danger; const char *why; } words[] = {
	{ "program",       "'",         .95f, "runs a program on the database server" },
	{ "xp_cmdshell",   NULL,        .95f, "runs a program on the database server" },
	{ "into",          "outfile",   .85f, "writes a file on the database server" },
	{ "into",          "dumpfile",  .85f, "writes a file on the database server" },
	{ "lo_export",     NULL,        .85f, "writes a file on the database server" },
	{ "load_file",     NULL,        .80f, "reads a file of the database server" },
	{ "pg_read_file",  NULL,        .80f, "reads a file of the database server" },
	{ "drop",          "column",    .70f, "drops a column" },
};
/* clang-format on */

struct inspection {
	struct sql_shape *shape;
	const struct verb_row
		*pending[SQL_DEPTH_MAX]; /* verb at this depth that awaits its WHERE */
	unsigned depth;
	enum sql_dialect dialect;
};

static void shape_raise(struct sql_shape *s, float danger, const char *why)
{
	if (danger > s->danger) {
		s->danger = danger;
		s->why = why;
	}
}

static void verb_close(struct inspection *in, unsigned depth)
{
	const struct verb_row *v = in->pending[depth];

	if (v)
		shape_raise(in->shape, v->danger, v->why);
	in->pending[depth] = NULL;
}

static void verb_open(struct inspection *in, const struct sql_token *t, bool nested)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb_row *v = &verbs[i];

		if (!word_is(t, v->word) || (nested && !v->nested))
			continue;
		if (v->kind > in->shape->kind)
			in->shape->kind = v->kind;
		if (v->wants_where)
			in->pending[in->depth] = v;
		else
			shape_raise(in->shape, v->danger, v->why);
		return;
	}
	if (!nested && in->shape->kind < SQL_UNKNOWN)
		in->shape->kind = SQL_UNKNOWN;
}

/* "WHERE 1 = 1" and "WHERE true" select every row: they are no WHERE. */
static bool where_selects(const char *after, enum sql_dialect dialect)
{
	struct sql_token a = sql_next(&after, dialect);

	if (word_is(&a, "true"))
		return false;
	if (a.kind != SQL_TOKEN_LITERAL)
		return true;
	struct sql_token eq = sql_next(&after, dialect);
	struct sql_token b = sql_next(&after, dialect);
	if (!punct_is(&eq, '='))
		return eq.kind != SQL_TOKEN_END && !punct_is(&eq, ';');
	return b.len != a.len || memcmp(a.text, b.text, a.len) != 0;
}

static void word_check(struct inspection *in, const struct sql_token *t, const char *after)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const char *cursor = after;

		if (!word_is(t, words[i].word))
			continue;
		if (words[i].next) {
			struct sql_token next = sql_next(&cursor, in->dialect);

			if (*words[i].next == '\'' ? *next.text != '\''
						   : !word_is(&next, words[i].next))
				continue;
		}
		shape_raise(in->shape, words[i].danger, words[i].why);
	}
}

static void inspect(const char *statement, enum sql_dialect dialect, struct sql_shape *shape)
{
	struct inspection in = { .shape = shape, .dialect = dialect };
	const char *cursor = statement;
	bool first = true, opened = false;

	for (;;) {
		struct sql_token t = sql_next(&cursor, dialect);

		if (t.kind == SQL_TOKEN_END)
			break;
		if (punct_is(&t, ';')) {
			for (unsigned d = 0; d <= in.depth; d++)
				verb_close(&in, d);
			in.depth = 0;
			first = true;
			continue;
		}
		if (punct_is(&t, '(')) {
			if (in.depth + 1 < SQL_DEPTH_MAX)
				in.depth++;
			opened = true;
			continue;
		}
		if (punct_is(&t, ')')) {
			verb_close(&in, in.depth);
			if (in.depth)
				in.depth--;
		} else if (t.kind == SQL_TOKEN_WORD) {
			if (first || opened)
				verb_open(&in, &t, !first);
			if (word_is(&t, "where") && where_selects(cursor, dialect))
				in.pending[in.depth] = NULL;
			word_check(&in, &t, cursor);
			/* EXPLAIN ANALYZE runs its statement; WITH's comes after its last parenthesis. */
			first = first && (word_is(&t, "explain") || word_is(&t, "analyze"));
		}
		if (punct_is(&t, ')') && in.depth == 0) {
			const char *look = cursor;
			struct sql_token next = sql_next(&look, dialect);

			if (next.kind == SQL_TOKEN_WORD)
				verb_open(&in, &next, true);
		}
		opened = false;
	}
	for (unsigned d = 0; d < SQL_DEPTH_MAX; d++)
		verb_close(&in, d);
}

void sql_inspect(const char *statement, struct sql_shape *ret)
{
	*ret = (struct sql_shape){ .len = strlen(statement) };
	inspect(statement, SQL_STANDARD, ret);
	/* Without these bytes all readings are one. */
	if (strpbrk(statement, "\\#") || strstr(statement, "--"))
		for (enum sql_dialect d = SQL_MYSQL; d < SQL_DIALECT_COUNT; d++)
			inspect(statement, d, ret);
	if (ret->len > SQL_BULK_BYTES)
		shape_raise(ret, .30f, "a statement of unusual size");
}

uint64_t sql_fingerprint(const char *statement)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	const char *cursor = statement;
	bool literal = false;

	for (;;) {
		struct sql_token t = sql_next(&cursor, SQL_STANDARD);

		if (t.kind == SQL_TOKEN_END)
			break;
		/* A list of literals is one shape whatever its length. */
		if (punct_is(&t, ',') || (literal && t.kind == SQL_TOKEN_LITERAL))
			continue;
		literal = t.kind == SQL_TOKEN_LITERAL;
		h = (h ^ (unsigned)t.kind) * UINT64_C(0x100000001b3);
		if (literal)
			continue;
		for (size_t i = 0; i < t.len; i++) {
			unsigned char c = (unsigned char)t.text[i];

			if (c >= 'A' && c <= 'Z')
				c |= 0x20;
			h = (h ^ c) * UINT64_C(0x100000001b3);
		}
	}
	h ^= h >> 32;
	return h ? h : 1;
}
