#include "net/wire/statement.h"

#include <string.h>
#include <strings.h>

#include "scoring/sql.h"

static uint32_t flags_of(const struct sql_shape *s)
{
	static const uint32_t of_kind[] = {
		[SQL_NONE] = STATEMENT_SESSION,  [SQL_SESSION] = STATEMENT_SESSION,
		[SQL_READ] = STATEMENT_READ,     [SQL_UNKNOWN] = STATEMENT_UNKNOWN,
		[SQL_WRITE] = STATEMENT_WRITE,   [SQL_DEFINE] = STATEMENT_DEFINE,
		[SQL_DELETE] = STATEMENT_DELETE, [SQL_DESTROY] = STATEMENT_DESTROY,
	};
	uint32_t flags = of_kind[s->kind];

	if (s->danger >= .80f && s->kind <= SQL_UNKNOWN)
		flags |= STATEMENT_OUTSIDE;
	if (s->danger >= .90f && (s->kind == SQL_WRITE || s->kind == SQL_DELETE))
		flags |= STATEMENT_ALL_ROWS;
	return flags;
}

void statement_words(const char *text, size_t len, struct wire_statement *ret)
{
	struct sql_shape shape;

	(void)len;
	sql_inspect(text, &shape);
	*ret = (struct wire_statement){ .flags = flags_of(&shape) | STATEMENT_UNKNOWN };
}

static bool is_word(const struct sql_token *t, const char *word)
{
	return t->kind == SQL_TOKEN_WORD && !t->quoted && strlen(word) == t->len &&
	       strncasecmp(t->text, word, t->len) == 0;
}

static bool is_any(const struct sql_token *t, const char *const *words)
{
	for (; *words; words++)
		if (is_word(t, *words))
			return true;
	return false;
}

static bool is_end(const struct sql_token *t)
{
	return t->kind == SQL_TOKEN_END || (t->kind == SQL_TOKEN_PUNCT && *t->text == ';');
}

static struct sql_token peek(const char *cursor, enum sql_dialect dialect)
{
	return sql_next(&cursor, dialect);
}

/* Whether the words up to the end of the statement hold none of @words, unquoted. */
static bool has_none(const char *cursor, enum sql_dialect dialect, const char *const *words)
{
	for (;;) {
		struct sql_token t = sql_next(&cursor, dialect);

		if (is_end(&t))
			return true;
		if (is_any(&t, words))
			return false;
	}
}

/* INTO is a write unless variables follow it. */
static bool read_form(const char *cursor, enum sql_dialect dialect)
{
	static const char *const writes[] = { "setval", "nextval", NULL };

	for (;;) {
		struct sql_token t = sql_next(&cursor, dialect);
		struct sql_token next = peek(cursor, dialect);

		if (is_end(&t))
			return true;
		if (is_any(&t, writes) ||
		    (is_word(&t, "into") && !(next.kind == SQL_TOKEN_PUNCT && *next.text == '@')))
			return false;
	}
}

/* Whether a statement that begins with @first, and goes on at @cursor, has a form known to be harmless. */
static bool known_form(const struct sql_token *first, const char *cursor, enum sql_dialect dialect)
{
	static const char *const reads[] = { "select", "with",     "table", "values", "show",
					     "desc",   "describe", "help",  NULL };
	static const char *const plain[] = { "use",       "commit",  "rollback",
					     "savepoint", "release", NULL };
	static const char *const beyond[] = { "global",       "persist",   "persist_only",
					      "password",     "statement", "default",
					      "role",         "sql_mode",  "character_set_client",
					      "init_connect", NULL };
	struct sql_token next = peek(cursor, dialect);

	if (is_any(first, reads) || (first->kind == SQL_TOKEN_PUNCT && *first->text == '('))
		return read_form(cursor, dialect);
	if (is_any(first, plain) || is_end(first))
		return true;
	if (is_word(first, "explain"))
		return !is_word(&next, "analyze");
	if (is_word(first, "begin"))
		return is_end(&next) || is_word(&next, "work");
	if (is_word(first, "start"))
		return is_word(&next, "transaction");
	if (is_word(first, "set"))
		return has_none(cursor, dialect, beyond);
	return false;
}

/*
 * What stands in the comments that only some versions of the server run. Which
 * do is not known, so they must change nothing whichever do: no beginning of a
 * statement, no end of one, no quote, no verb.
 */
static bool conditional_harmless(const char *text)
{
	static const char *const verbs[] = { "insert",  "update", "delete",   "replace",  "drop",
					     "create",  "alter",  "truncate", "grant",    "revoke",
					     "call",    "do",     "load",     "rename",   "handler",
					     "execute", "into",   "outfile",  "dumpfile", NULL };
	bool begun = false;

	for (const char *p = text; *p; p++) {
		bool open = p[0] == '/' && p[1] == '*';

		if (!open || (p[2] != '!' && !(p[2] == 'M' && p[3] == '!'))) {
			begun = *p == ';' ? false : begun || (*p > ' ' && *p != '(');
			continue;
		}
		const char *end = strstr(p + 2, "*/");
		if (!begun || !end)
			return false;
		for (const char *q = p + 3; q < end; q++)
			if (strchr("'\"`;#", *q) || (q[0] == '-' && q[1] == '-') ||
			    (q[0] == '/' && q[1] == '*'))
				return false;
		for (const char *q = p;;) {
			struct sql_token t = sql_next(&q, SQL_MYSQL);

			if (t.kind == SQL_TOKEN_END || t.text >= end)
				break;
			if (is_any(&t, verbs))
				return false;
		}
		p = end + 1;
	}
	return true;
}

/* A byte that ends a quote elsewhere may be half of a character in GBK, Big5 or Shift-JIS. */
static bool half_character(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)p[0] >= 0x80 && (p[1] == '\\' || p[1] == '`'))
			return true;
	return false;
}

static bool mysql_known(const char *text, enum sql_dialect dialect)
{
	const char *cursor = text;

	for (;;) {
		struct sql_token t = sql_next(&cursor, dialect);

		if (t.kind == SQL_TOKEN_END)
			return true;
		if (!known_form(&t, cursor, dialect))
			return false;
		while (!is_end(&t))
			t = sql_next(&cursor, dialect);
		if (t.kind == SQL_TOKEN_END)
			return true;
	}
}

uint32_t statement_mysql(const char *text, size_t len)
{
	struct sql_shape shape;
	uint32_t flags;

	sql_inspect(text, &shape);
	flags = flags_of(&shape);
	if (strlen(text) != len)
		return flags | STATEMENT_UNKNOWN | STATEMENT_CUT;
	bool known = mysql_known(text, SQL_MYSQL) && mysql_known(text, SQL_MYSQL_ANSI) &&
		     conditional_harmless(text) && !half_character(text);
	/* Under NO_BACKSLASH_ESCAPES the strings end elsewhere. */
	if (known && strchr(text, '\\'))
		known = mysql_known(text, SQL_STANDARD);
	return known ? flags : flags | STATEMENT_UNKNOWN;
}

const char *statement_mysql_use(const char *text, size_t *ret_len)
{
	const char *cursor = text, *name = NULL;
	bool begins = true;

	for (;;) {
		struct sql_token t = sql_next(&cursor, SQL_MYSQL);

		if (t.kind == SQL_TOKEN_END)
			return name;
		if (begins && is_word(&t, "use")) {
			struct sql_token next = peek(cursor, SQL_MYSQL);

			name = next.text;
			*ret_len = next.len;
		}
		begins = is_end(&t);
	}
}
