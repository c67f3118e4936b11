#include "policies/pattern.h"

#include <errno.h>
#include <string.h>

#include "policies/glob.h"

static bool special(char c)
{
	return c == '*' || c == '?' || c == '[' || c == '\\';
}

static bool plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (special(text[i]))
			return false;
	return true;
}

/* A pattern that no canonical path can ever match would be a block that silently does nothing. */
static int refuse_dead(const char *text, size_t len, struct err *err)
{
	if (text[0] == '~')
		return err_set(err, EINVAL, "\"%s\": ~ stands only for the own home, as ~/", text);
	if (text[len - 1] == '/' && len > 1)
		return err_set(err, EINVAL, "\"%s\" ends in '/': write %.*s, or %s** for all below",
			       text, (int)(len - 1), text, text);
	for (const char *c = text; c; c = strchr(c, '/'), c = c ? c + 1 : NULL) {
		size_t n = strcspn(c, "/");
		if ((n == 1 && c[0] == '.') || (n == 2 && c[0] == '.' && c[1] == '.'))
			return err_set(err, EINVAL, "\"%s\": paths are canonical and hold no %.*s",
				       text, (int)n, c);
		if (n == 0 && text[0] == '/' && c > text && *c)
			return err_set(err, EINVAL, "\"%s\": paths are canonical and hold no //",
				       text);
	}
	return 0;
}

/* Length of the directory when @text is DIR and "/" and one or two stars, else -1. */
static ptrdiff_t subtree_length(const char *text, size_t len, bool *ret_self)
{
	size_t stars = 0;
	while (stars < len && text[len - 1 - stars] == '*')
		stars++;
	if (stars < 1 || stars > 2 || len < stars + 1 || text[len - stars - 1] != '/')
		return -1;
	size_t dir = len - stars - 1;
	size_t slashes = 0; /* an escaped '/' is no such ending */
	while (slashes < dir && text[dir - 1 - slashes] == '\\')
		slashes++;
	if (slashes % 2)
		return -1;
	*ret_self = stars == 2 && dir > 0;
	return (ptrdiff_t)dir;
}

static void set_literal(struct pattern *p, enum pattern_kind kind, const char *at, size_t len)
{
	p->kind = kind;
	p->literal = at;
	p->literal_len = (uint32_t)len;
}

int pattern_compile_path(const char *text, struct pattern *ret, struct err *err)
{
	size_t len = strlen(text);
	if (len == 0)
		return err_set(err, EINVAL, "a pattern is empty");
	if (len > 4096)
		return err_set(err, EINVAL, "a pattern is longer than 4096 bytes");
	const char *wrong = glob_check(text, text + len);
	if (wrong)
		return err_set(err, EINVAL, "\"%s\": %s", text, wrong);
	int rc = refuse_dead(text, len, err);
	if (rc)
		return rc;

	struct pattern p = { .text = text, .anchored = text[0] == '/' };
	size_t lead = strspn(text, "*");
	size_t tail = 0;
	while (tail < len && text[len - 1 - tail] == '*')
		tail++;
	ptrdiff_t dir = subtree_length(text, len, &p.self);

	if (lead == len)
		set_literal(&p, PATTERN_ANY, text, 0);
	else if (plain(text, len))
		set_literal(&p, p.anchored ? PATTERN_EXACT : PATTERN_NAME, text, len);
	else if (dir >= 0 && (dir > 0 || p.anchored) && plain(text, (size_t)dir))
		set_literal(&p, PATTERN_SUBTREE, text, (size_t)dir);
	else if (lead > 0 && plain(text + lead, len - lead))
		set_literal(&p, PATTERN_SUFFIX, text + lead, len - lead);
	else if (tail > 0 && plain(text, len - tail))
		set_literal(&p, PATTERN_PREFIX, text, len - tail);
	else
		set_literal(&p, PATTERN_GLOB, text, strcspn(text, "*?[\\"));
	*ret = p;
	return 0;
}

void pattern_subject_init(struct pattern_subject *s, const char *text)
{
	s->text = text;
	memset(s->first, 0, sizeof(s->first));
	const char *at = text;
	while (*at) {
		unsigned char c = (unsigned char)*at;
		s->first[c >> 6] |= UINT64_C(1) << (c & 63);
		const char *end = strchrnul(at, '/');
		at = *end ? end + 1 : end;
	}
	s->len = (size_t)(at - text);
}

static bool component_begins_with(const struct pattern_subject *s, char byte)
{
	unsigned char c = (unsigned char)byte;
	return s->first[c >> 6] >> (c & 63) & 1;
}

static const char *next_component(const char *at)
{
	const char *slash = strchr(at, '/');
	return slash ? slash + 1 : NULL;
}

static bool subtree_at(const struct pattern *p, const char *rest, size_t len)
{
	if (len < p->literal_len)
		return false;
	char after = rest[p->literal_len]; /* the terminator at the latest */
	if (after != '/' && !(p->self && after == '\0'))
		return false;
	return memcmp(rest, p->literal, p->literal_len) == 0;
}

static bool begins_at(const struct pattern *p, const char *rest, size_t len)
{
	return len >= p->literal_len && memcmp(rest, p->literal, p->literal_len) == 0;
}

static bool unanchored(const struct pattern *p, const struct pattern_subject *s,
		       bool (*at)(const struct pattern *, const char *, size_t))
{
	if (!component_begins_with(s, p->literal[0]))
		return false;
	for (const char *rest = s->text; rest; rest = next_component(rest))
		if (at(p, rest, s->len - (size_t)(rest - s->text)))
			return true;
	return false;
}

static bool glob_try(const struct pattern *p, const struct pattern_subject *s, const char *end)
{
	/* A leading star stands for every boundary already. */
	if (p->anchored || p->text[0] == '*')
		return glob_match(p->text, end, s->text) == GLOB_MATCH;
	for (const char *rest = s->text; rest; rest = next_component(rest)) {
		enum glob_result r = glob_match(p->text, end, rest);
		if (r == GLOB_MATCH)
			return true;
		/* What follows the first star is not in this rest, so in no shorter one either. */
		if (r == GLOB_EXHAUSTED)
			return false;
	}
	return false;
}

static bool glob_matches(const struct pattern *p, const struct pattern_subject *s)
{
	if (p->literal_len > 0) {
		if (p->anchored && !begins_at(p, s->text, s->len))
			return false;
		if (!p->anchored && !component_begins_with(s, p->literal[0]))
			return false;
	}
	const char *end = p->text + strlen(p->text);
	return glob_try(p, s, end) || (p->self && glob_try(p, s, end - strlen("/**")));
}

bool pattern_matches_subject(const struct pattern *p, const struct pattern_subject *s)
{
	size_t n = p->literal_len;
	switch (p->kind) {
	case PATTERN_ANY:
		return true;
	case PATTERN_EXACT:
		return s->len == n && memcmp(s->text, p->literal, n) == 0;
	case PATTERN_SUBTREE:
		return p->anchored ? subtree_at(p, s->text, s->len) : unanchored(p, s, subtree_at);
	case PATTERN_NAME:
		return s->len >= n && (s->len == n || s->text[s->len - n - 1] == '/') &&
		       memcmp(s->text + s->len - n, p->literal, n) == 0;
	case PATTERN_SUFFIX:
		return s->len >= n && s->text[s->len - 1] == p->literal[n - 1] &&
		       memcmp(s->text + s->len - n, p->literal, n) == 0;
	case PATTERN_PREFIX:
		return p->anchored ? begins_at(p, s->text, s->len) : unanchored(p, s, begins_at);
	case PATTERN_GLOB:
		return glob_matches(p, s);
	case PATTERN_HOST:
		return false;
	}
	return false;
}

bool pattern_matches(const struct pattern *p, const char *path)
{
	struct pattern_subject s;
	pattern_subject_init(&s, path);
	return pattern_matches_subject(p, &s);
}

bool pattern_as_mount(const struct pattern *p, char *path, size_t size)
{
	const char *end = p->text + strlen(p->text);
	bool self = p->self;
	if (!p->anchored ||
	    (p->kind != PATTERN_EXACT && p->kind != PATTERN_SUBTREE && p->kind != PATTERN_GLOB))
		return false;
	if (p->kind == PATTERN_SUBTREE)
		end = p->literal + p->literal_len;
	else if (p->kind == PATTERN_GLOB && self)
		end -= strlen("/**");
	/* A glob may be a plain path with escapes: an expanded ${WORKSPACE} named "a[1]". */
	size_t n = 0;
	for (const char *c = p->text; c < end; c++) {
		if (*c == '\\')
			c++;
		else if (special(*c))
			return false;
		if (n + 1 >= size)
			return false;
		path[n++] = *c;
	}
	if (n == 0 && size > 1)
		path[n++] = '/';
	if (n >= size)
		return false;
	path[n] = '\0';
	return true;
}
