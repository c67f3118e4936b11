#include "policies/json_lines.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct scan {
	char *at, *end;
	const char *file;
	unsigned line;
	struct arena *arena;
	struct err *err;
};

__attribute__((format(printf, 2, 3))) static int wrong(const struct scan *s, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(s->err, EINVAL, "%s:%u: %s", s->file, s->line, text);
}

static bool starts(const struct scan *s, const char *what)
{
	size_t n = strlen(what);
	return (size_t)(s->end - s->at) >= n && memcmp(s->at, what, n) == 0;
}

/* Newlines stay, so that json-c's offsets and our lines speak of the same text. */
static void blank(struct scan *s)
{
	if (*s->at == '\n')
		s->line++;
	else
		*s->at = ' ';
	s->at++;
}

static int skip_space(struct scan *s)
{
	for (;;) {
		if (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at) {
			s->line += *s->at++ == '\n';
		} else if (starts(s, "//")) {
			while (s->at < s->end && *s->at != '\n')
				blank(s);
		} else if (starts(s, "/*")) {
			unsigned opened = s->line;
			blank(s);
			blank(s);
			while (s->at < s->end && !starts(s, "*/"))
				blank(s);
			if (s->at == s->end) {
				s->line = opened;
				return wrong(s, "a comment is not closed");
			}
			blank(s);
			blank(s);
		} else {
			return 0;
		}
	}
}

/* What stands at the cursor, for a message. */
static const char *found(const struct scan *s, char *text, size_t size)
{
	if (s->at == s->end)
		return "the end of the file";
	unsigned char c = (unsigned char)*s->at;
	if (c > ' ' && c < 0x7f)
		snprintf(text, size, "'%c'", c);
	else
		snprintf(text, size, "byte 0x%02x", c);
	return text;
}

static int skip_string(struct scan *s)
{
	for (s->at++; s->at < s->end; s->at++) {
		if (*s->at == '"') {
			s->at++;
			return 0;
		}
		if (*s->at == '\n' || *s->at == '\0')
			break;
		if (*s->at == '\\' && s->at + 1 < s->end)
			s->at++;
	}
	return wrong(s, "a string is not closed on its line");
}

static struct json_line *add(struct scan *s, struct json_line *parent, struct json_line **last,
			     unsigned index)
{
	struct json_line *child = arena_alloc(s->arena, sizeof(*child));
	if (!child)
		return NULL;
	child->parent = parent;
	child->index = index;
	child->line = s->line;
	if (*last)
		(*last)->next = child;
	else
		parent->first = child;
	*last = child;
	return child;
}

static int scan_value(struct scan *s, struct json_line *at, unsigned depth);

static int scan_key(struct scan *s, struct json_line *child)
{
	char text[16];
	if (s->at == s->end || *s->at != '"')
		return wrong(s, "expected a key in double quotes, found %s",
			     found(s, text, sizeof(text)));
	const char *key = s->at + 1;
	int rc = skip_string(s);
	if (rc)
		return rc;
	size_t len = (size_t)(s->at - 1 - key);
	if (memchr(key, '\\', len))
		return wrong(s, "a key holds a backslash");
	child->key = arena_strndup(s->arena, key, len);
	if (!child->key)
		return -ENOMEM;
	for (const struct json_line *c = child->parent->first; c != child; c = c->next)
		if (strcmp(c->key, child->key) == 0) {
			char pointer[256];
			json_lines_pointer(child, pointer, sizeof(pointer));
			return wrong(s, "%s: duplicate key; it stands on line %u already", pointer,
				     c->line);
		}
	rc = skip_space(s);
	if (rc)
		return rc;
	if (s->at == s->end || *s->at != ':')
		return wrong(s, "expected ':' after \"%s\", found %s", child->key,
			     found(s, text, sizeof(text)));
	s->at++;
	return skip_space(s);
}

static int scan_members(struct scan *s, struct json_line *at, unsigned depth, char close)
{
	struct json_line *last = NULL;
	char text[16];
	s->at++;
	int rc = skip_space(s);
	if (rc || (s->at < s->end && *s->at == close)) {
		s->at += rc == 0;
		return rc;
	}
	for (unsigned n = 0;; n++) {
		struct json_line *child = add(s, at, &last, n);
		if (!child)
			return -ENOMEM;
		if (close == '}' && n == JSON_LINES_MEMBERS_MAX)
			return wrong(s, "an object has more than %d members",
				     JSON_LINES_MEMBERS_MAX);
		rc = close == '}' ? scan_key(s, child) : 0;
		if (rc == 0)
			rc = scan_value(s, child, depth + 1);
		if (rc == 0)
			rc = skip_space(s);
		if (rc)
			return rc;
		if (s->at < s->end && *s->at == close) {
			s->at++;
			return 0;
		}
		if (s->at == s->end || *s->at != ',')
			return wrong(s, "expected ',' or '%c', found %s", close,
				     found(s, text, sizeof(text)));
		s->at++;
		rc = skip_space(s);
		if (rc)
			return rc;
		if (s->at < s->end && *s->at == close)
			return wrong(s, "a ',' has nothing after it");
	}
}

static int scan_value(struct scan *s, struct json_line *at, unsigned depth)
{
	char text[16];
	if (depth > JSON_LINES_DEPTH_MAX)
		return wrong(s, "nested deeper than %d levels", JSON_LINES_DEPTH_MAX);
	if (s->at < s->end && *s->at == '{')
		return scan_members(s, at, depth, '}');
	if (s->at < s->end && *s->at == '[')
		return scan_members(s, at, depth, ']');
	if (s->at < s->end && *s->at == '"')
		return skip_string(s);
	/* The word itself is json-c's to judge, but NaN and Infinity are no JSON. */
	const char *start = s->at;
	while (s->at < s->end && *s->at &&
	       strchr("+-.0123456789abcdefghijklmnopqrstuvwxyz"
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZ_",
		      *s->at))
		s->at++;
	size_t len = (size_t)(s->at - start);
	if (len == 0)
		return wrong(s, "expected a value, found %s", found(s, text, sizeof(text)));
	bool word = (len == 4 && (!memcmp(start, "true", 4) || !memcmp(start, "null", 4))) ||
		    (len == 5 && !memcmp(start, "false", 5));
	if (!word && *start != '-' && (*start < '0' || *start > '9'))
		return wrong(s, "\"%.*s\" is no JSON value", len < 64 ? (int)len : 64, start);
	return 0;
}

int json_lines_scan(char *text, size_t len, const char *file, struct arena *arena,
		    const struct json_line **ret, struct err *err)
{
	struct scan s = {
		.at = text, .end = text + len, .file = file, .line = 1, .arena = arena, .err = err
	};
	char what[16];
	if (starts(&s, "\xef\xbb\xbf")) /* a byte order mark */
		for (int i = 0; i < 3; i++)
			blank(&s);
	struct json_line *root = arena_alloc(arena, sizeof(*root));
	if (!root)
		return -ENOMEM;
	int rc = skip_space(&s);
	root->line = s.line;
	if (rc == 0)
		rc = scan_value(&s, root, 0);
	if (rc == 0)
		rc = skip_space(&s);
	if (rc == 0 && s.at != s.end)
		rc = wrong(&s, "trailing text after the policy: %s", found(&s, what, sizeof(what)));
	if (rc == 0)
		*ret = root;
	return rc;
}

void json_lines_pointer(const struct json_line *at, char *out, size_t size)
{
	const struct json_line *chain[JSON_LINES_DEPTH_MAX + 2];
	size_t n = 0, used = 0;
	for (; at && at->parent && n < sizeof(chain) / sizeof(chain[0]); at = at->parent)
		chain[n++] = at;
	out[0] = '\0';
	while (n-- > 0 && used < size) {
		int more = chain[n]->key
				   ? snprintf(out + used, size - used, "/%s", chain[n]->key)
				   : snprintf(out + used, size - used, "/%u", chain[n]->index);
		used += (size_t)more;
	}
}
