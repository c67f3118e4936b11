#include <string.h>
#include <strings.h>

#include "net/wire/http.h"

struct span {
	const char *p;
	size_t len;
};

struct fields {
	unsigned hosts, lengths, encodings;
	struct span host, target;
	bool http10;
};

static bool token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is(struct span s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.p, text, s.len) == 0;
}

static int hex(char c)
{
	char low = c | 0x20;

	return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* A name or a bracketed address, perhaps with a port. */
static bool parse_host(struct span s, char ret[static HTTP_HOST_SIZE])
{
	size_t n = 0;
	bool bracket = s.len && *s.p == '[';

	for (; n < s.len && n + 1 < HTTP_HOST_SIZE; n++) {
		char c = s.p[n];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
			    (bracket && (c == ':' || c == '[' || c == ']'));

		if (!good)
			break;
		ret[n] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		if (c == ']') {
			n++;
			break;
		}
	}
	ret[n] = '\0';
	if (n == 0 || (bracket && ret[n - 1] != ']') || memchr(ret + 1, '[', n - 1))
		return false;
	size_t end = n;
	if (end < s.len && s.p[end] == ':')
		for (end++; end < s.len && s.p[end] >= '0' && s.p[end] <= '9'; end++)
			;
	if (n > 1 && ret[n - 1] == '.')
		ret[n - 1] = '\0';
	return end == s.len;
}

/*
 * The path as a server may resolve it: escapes undone, slashes merged. Dot segments and what
 * servers read differently have no place in it. False: refused.
 */
static bool plain_path(struct span s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len && s.p[i] != '?'; i++) {
		int c = (unsigned char)s.p[i];

		if (c == '%') {
			int high = i + 2 < s.len ? hex(s.p[i + 1]) : -1;
			int low = high >= 0 ? hex(s.p[i + 2]) : -1;

			if (low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
			if (c < ' ' || c == 0x7f)
				return false;
		}
		if (c == '\\' || n + 1 >= size)
			return false;
		if (c == '/' && n && out[n - 1] == '/')
			continue;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	for (const char *at = out; (at = strstr(at, "/.")); at++) {
		const char *end = at[2] == '.' ? at + 3 : at + 2;

		if (*end == '/' || *end == ';' || !*end)
			return false;
	}
	return n > 0;
}

static const char *parse_target(struct span t, struct span method, struct fields *f,
				struct http_request *ret)
{
	struct span path = t;

	for (size_t i = 0; i < t.len; i++)
		if (t.p[i] <= ' ' || t.p[i] > '~' || t.p[i] == '#')
			return "malformed request target";
	if (is(method, "CONNECT"))
		return "a tunnel cannot be inspected";
	if (t.len > 7 && strncasecmp(t.p, "http://", 7) == 0) {
		const char *slash = memchr(t.p + 7, '/', t.len - 7);
		size_t n = slash ? (size_t)(slash - t.p) : t.len;

		f->target = (struct span){ t.p + 7, n - 7 };
		path = slash ? (struct span){ slash, t.len - n } : (struct span){ "/", 1 };
	} else if (is(method, "OPTIONS") && is(t, "*")) {
		path = (struct span){ "/", 1 };
	}
	if (*path.p != '/')
		return "malformed request target";
	memcpy(ret->text, method.p, method.len);
	ret->text[method.len] = ' ';
	return plain_path(path, ret->text + method.len + 1, HTTP_PATH_MAX)
		       ? NULL
		       : "a path that servers read differently";
}

static const char *request_line(struct span line, struct fields *f, struct http_request *ret)
{
	size_t n = 0;

	while (n < line.len && token_byte(line.p[n]))
		n++;
	if (n == 0 || n > HTTP_METHOD_MAX || n == line.len || line.p[n] != ' ' ||
	    line.len < n + 11 || strncmp(line.p + line.len - 9, " HTTP/1.", 8) != 0)
		return "malformed request line";
	char minor = line.p[line.len - 1];
	if (minor != '0' && minor != '1')
		return "malformed request line";
	f->http10 = minor == '0';
	return parse_target((struct span){ line.p + n + 1, line.len - n - 10 },
			    (struct span){ line.p, n }, f, ret);
}

static const char *content_length(struct span value, struct http_request *ret)
{
	if (value.len == 0 || value.len > 18)
		return "malformed Content-Length";
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return "malformed Content-Length";
		ret->length = ret->length * 10 + (uint64_t)(value.p[i] - '0');
	}
	return NULL;
}

static const char *field(struct span line, struct fields *f, struct http_request *ret)
{
	struct span name = { line.p, 0 };

	if (line.len && (*line.p == ' ' || *line.p == '\t'))
		return "a folded field";
	while (name.len < line.len && token_byte(line.p[name.len]))
		name.len++;
	if (name.len == 0 || name.len == line.len || line.p[name.len] != ':')
		return "malformed field";
	struct span value = { line.p + name.len + 1, line.len - name.len - 1 };
	for (; value.len && (*value.p == ' ' || *value.p == '\t'); value.p++)
		value.len--;
	while (value.len && (value.p[value.len - 1] == ' ' || value.p[value.len - 1] == '\t'))
		value.len--;
	if (is(name, "Host")) {
		f->hosts++;
		f->host = value;
	} else if (is(name, "Content-Length")) {
		f->lengths++;
		return content_length(value, ret);
	} else if (is(name, "Transfer-Encoding")) {
		f->encodings++;
		ret->chunked = is(value, "chunked");
		return ret->chunked ? NULL : "an unknown Transfer-Encoding";
	} else if (is(name, "Upgrade")) {
		ret->upgrade = true;
		/* Its requests would be unseen. */
		if (!is(value, "websocket"))
			return "an upgrade that cannot be inspected";
	} else if (memchr(name.p, '_', name.len) &&
		   (is(name, "Transfer_Encoding") || is(name, "Content_Length"))) {
		return "malformed field";
	}
	return NULL;
}

static const char *judge_fields(const struct fields *f, struct http_request *ret)
{
	char target[HTTP_HOST_SIZE];

	if (f->lengths > 1 || f->encodings > 1 || (f->lengths && f->encodings))
		return "a body of two lengths";
	if (f->http10 && f->encodings)
		return "Transfer-Encoding in HTTP/1.0";
	if (ret->upgrade && (ret->length || ret->chunked))
		return "an upgrade with a body";
	if (f->hosts > 1 || (f->hosts == 0 && !f->http10))
		return "not one Host";
	if (f->hosts && !parse_host(f->host, ret->host))
		return "malformed Host";
	if (!f->target.p)
		return NULL;
	if (!parse_host(f->target, target))
		return "malformed request target";
	if (f->hosts && strcmp(target, ret->host) != 0)
		return "two different hosts";
	memcpy(ret->host, target, sizeof(target));
	return NULL;
}

const char *http_request_parse(const uint8_t *head, size_t len, struct http_request *ret)
{
	struct fields f = { 0 };
	const char *p = (const char *)head, *end = p + len, *wrong = NULL;

	*ret = (struct http_request){ 0 };
	for (size_t i = 0; i < len; i++)
		if (!head[i] || (head[i] == '\r' && (i + 1 == len || head[i + 1] != '\n')) ||
		    (head[i] == '\n' && (i == 0 || head[i - 1] != '\r')))
			return "a byte that ends no line";
	for (bool first = true; p < end && !wrong; first = false) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));

		if (!lf || lf == p)
			return "malformed request";
		struct span line = { p, (size_t)(lf - 1 - p) };
		p = lf + 1;
		if (first)
			wrong = request_line(line, &f, ret);
		else if (line.len)
			wrong = field(line, &f, ret);
	}
	return wrong ? wrong : judge_fields(&f, ret);
}
