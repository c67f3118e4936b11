#include "policies/glob.h"

#include <stddef.h>
#include <string.h>

struct class_name {
	const char *name;
	bool (*has)(unsigned char c);
};

static bool is_lower(unsigned char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(unsigned char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(unsigned char c)
{
	return is_lower(c) || is_upper(c);
}

static bool is_alnum(unsigned char c)
{
	return is_alpha(c) || is_digit(c);
}

static bool is_xdigit(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_graph(unsigned char c)
{
	return c > ' ' && c < 0x7f;
}

static bool is_print(unsigned char c)
{
	return c >= ' ' && c < 0x7f;
}

static bool is_punct(unsigned char c)
{
	return is_graph(c) && !is_alnum(c);
}

static bool is_cntrl(unsigned char c)
{
	return c < ' ' || c == 0x7f;
}

static const struct class_name classes[] = {
	{ "alpha", is_alpha }, { "digit", is_digit }, { "alnum", is_alnum },
	{ "upper", is_upper }, { "lower", is_lower }, { "space", is_space },
	{ "blank", is_blank }, { "punct", is_punct }, { "print", is_print },
	{ "graph", is_graph }, { "cntrl", is_cntrl }, { "xdigit", is_xdigit },
};

static const struct class_name *find_class(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strlen(classes[i].name) == len && memcmp(classes[i].name, name, len) == 0)
			return &classes[i];
	return NULL;
}

/* One end of a range, at @p: the byte, or its escape. NULL when the pattern ends here. */
static const char *range_end(const char *p, const char *end, unsigned char *ret)
{
	if (p < end && *p == '\\')
		p++;
	if (p >= end)
		return NULL;
	*ret = (unsigned char)*p;
	return p + 1;
}

/* @p is behind "[". Returns the place behind "]" and whether @c is in the set, or NULL and why. */
static const char *bracket(const char *p, const char *end, unsigned char c, bool *ret_hit,
			   const char **ret_wrong)
{
	bool negate = p < end && (*p == '!' || *p == '^');
	bool hit = false;
	p += negate;
	for (const char *start = p;;) {
		*ret_wrong = "a '[' has no ']'";
		if (p >= end)
			return NULL;
		if (*p == ']' && p > start)
			break;
		if (*p == '[' && p + 1 < end && (p[1] == '.' || p[1] == '=')) {
			*ret_wrong = "collating elements such as [.a.] are not supported";
			return NULL;
		}
		if (*p == '[' && p + 1 < end && p[1] == ':') {
			const char *name = p + 2;
			const char *close = memmem(name, (size_t)(end - name), ":]", 2);
			const struct class_name *class =
				close ? find_class(name, (size_t)(close - name)) : NULL;
			if (!class) {
				*ret_wrong = "unknown character class in a '['";
				return NULL;
			}
			hit |= class->has(c);
			p = close + 2;
			continue;
		}
		unsigned char low, high;
		p = range_end(p, end, &low);
		if (!p)
			return NULL;
		high = low;
		if (p + 1 < end && *p == '-' && p[1] != ']') {
			if (p[1] == '[' && p + 2 < end && strchr(".=:", p[2])) {
				*ret_wrong = "a range ends in a character class";
				return NULL;
			}
			p = range_end(p + 1, end, &high);
			if (!p)
				return NULL;
			if (high < low) {
				*ret_wrong = "a range is the wrong way round";
				return NULL;
			}
		}
		hit |= c >= low && c <= high;
	}
	*ret_hit = hit != negate;
	*ret_wrong = NULL;
	return p + 1;
}

const char *glob_check(const char *pattern, const char *end)
{
	for (const char *p = pattern; p < end;) {
		const char *wrong;
		bool hit;
		if (*p == '\\' && p + 1 == end)
			return "it ends in a backslash that escapes nothing";
		if (*p == '[') {
			p = bracket(p + 1, end, 0, &hit, &wrong);
			if (!p)
				return wrong;
		} else {
			p += *p == '\\' ? 2 : 1;
		}
	}
	return NULL;
}

/* One element at @p against one byte: the place behind it, or NULL when they differ. */
static const char *step(const char *p, const char *end, unsigned char c)
{
	const char *wrong;
	bool hit = false;
	switch (*p) {
	case '?':
		return p + 1;
	case '[':
		p = bracket(p + 1, end, c, &hit, &wrong);
		return hit ? p : NULL;
	case '\\':
		p++;
		break;
	default:
		break;
	}
	return p < end && (unsigned char)*p == c ? p + 1 : NULL;
}

enum glob_result glob_match(const char *pattern, const char *end, const char *text)
{
	const char *p = pattern;
	const char *star = NULL, *resume = NULL; /* behind the last star; the text it may give up */
	for (;;) {
		if (p < end && *p == '*') {
			star = ++p;
			resume = text;
			if (star == end)
				return GLOB_MATCH;
			continue;
		}
		if (!*text)
			break; /* every element left needs a byte */
		const char *next = p < end ? step(p, end, (unsigned char)*text) : NULL;
		if (next) {
			p = next;
			text++;
		} else if (star) {
			p = star;
			text = ++resume;
		} else {
			return GLOB_DIFFERS;
		}
	}
	if (p == end)
		return GLOB_MATCH;
	return star ? GLOB_EXHAUSTED : GLOB_DIFFERS;
}
