#include "scoring/mask.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- what texts are made of ------------------------------------------------------------------- */

enum alphabet { DIGITS, HEX, UPPER, WORD, URL, TOKEN };

/* Which alphabets each character of ASCII is of, a bit each: a scan asks that of every byte. */
/* clang-format off */
#define T (1 << TOKEN)                  /* . = + / */
#define L (T | 1 << URL)                /* _ - */
#define W (L | 1 << WORD)               /* g to z */
#define X (W | 1 << HEX)                /* a to f */
#define U (W | 1 << UPPER)              /* G to Z */
#define H (X | U)                       /* A to F */
#define D (H | 1 << DIGITS)             /* 0 to 9 */
static const unsigned char alphabets[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, T, 0, L, T, T,
	D, D, D, D, D, D, D, D, D, D, 0, 0, 0, T, 0, 0,
	0, H, H, H, H, H, H, U, U, U, U, U, U, U, U, U,
	U, U, U, U, U, U, U, U, U, U, U, 0, 0, 0, 0, L,
	0, X, X, X, X, X, X, W, W, W, W, W, W, W, W, W,
	W, W, W, W, W, W, W, W, W, W, W, 0, 0, 0, 0, 0,
};
#undef T
#undef L
#undef W
#undef X
#undef U
#undef H
#undef D
/* clang-format on */

static bool of(enum alphabet a, char c)
{
	return alphabets[(unsigned char)c] & 1 << a;
}

static size_t span(enum alphabet a, const char *p, const char *end)
{
	const char *start = p;
	while (p < end && of(a, *p))
		p++;
	return (size_t)(p - start);
}

/* A place in a text: where it begins and ends, and what may be looked at around it. */
struct text {
	const char *start, *end;
};

static bool begins_word(const struct text *t, const char *p)
{
	return p == t->start || !of(URL, p[-1]);
}

static bool has(const struct text *t, const char *p, const char *word)
{
	size_t len = strlen(word);
	return (size_t)(t->end - p) >= len && memcmp(p, word, len) == 0;
}

/* ---- keys by their prefix --------------------------------------------------------------------- */

/* As their makers document them. @least characters of the alphabet follow, at most @most. */
static const struct form {
	const char *prefix, *name;
	enum alphabet alphabet;
	unsigned least, most;
} forms[] = {
	{ "AKIA", "AWS key", UPPER, 16, 16 },
	{ "ASIA", "AWS key", UPPER, 16, 16 },
	{ "AIza", "Google key", URL, 35, 35 },
	{ "ya29.", "Google token", URL, 20, 2048 },
	{ "ghp_", "GitHub token", WORD, 36, 255 },
	{ "gho_", "GitHub token", WORD, 36, 255 },
	{ "ghu_", "GitHub token", WORD, 36, 255 },
	{ "ghs_", "GitHub token", WORD, 36, 255 },
	{ "ghr_", "GitHub token", WORD, 36, 255 },
	{ "github_pat_", "GitHub token", URL, 22, 255 },
	{ "glpat-", "GitLab token", URL, 20, 255 },
	{ "xoxa-", "Slack token", URL, 10, 255 },
	{ "xoxb-", "Slack token", URL, 10, 255 },
	{ "xoxp-", "Slack token", URL, 10, 255 },
	{ "xoxr-", "Slack token", URL, 10, 255 },
	{ "xoxs-", "Slack token", URL, 10, 255 },
	{ "sk-ant-", "API key", URL, 20, 255 },
	{ "sk-proj-", "API key", URL, 20, 255 },
	{ "sk-", "API key", WORD, 40, 64 },
	{ "sk_live_", "Stripe key", WORD, 16, 255 },
	{ "sk_test_", "Stripe key", WORD, 16, 255 },
	{ "rk_live_", "Stripe key", WORD, 16, 255 },
	{ "npm_", "npm token", WORD, 36, 36 },
	{ "pypi-AgE", "PyPI token", URL, 50, 1024 },
	{ "hf_", "API key", WORD, 30, 64 },
	{ "dop_v1_", "API key", HEX, 64, 64 },
	{ "SG.", "API key", TOKEN, 60, 80 },
	{ "vtk_", "API key", URL, 43, 43 },
	{ "vtl_", "API key", URL, 43, 43 },
};

static size_t match_form(const struct text *t, const char *p, const char **ret_name)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const struct form *f = &forms[i];
		if (*p != f->prefix[0] || !has(t, p, f->prefix))
			continue;
		size_t before = strlen(f->prefix), left = (size_t)(t->end - p) - before;
		const char *after = p + before; /* no more is looked at than can fit */
		size_t len =
			span(f->alphabet, after, after + (left > f->most ? f->most + 1 : left));
		if (len < f->least || len > f->most)
			continue;
		*ret_name = f->name;
		return before + len;
	}
	return 0;
}

/* header.payload.signature, the first two JSON objects in base64url. */
static size_t match_jwt(const struct text *t, const char *p)
{
	const char *at = p;
	for (unsigned part = 0; part < 3; part++) {
		size_t len = span(URL, at, t->end);
		if (len < 8 || (part < 2 && !has(t, at, "eyJ")))
			return 0;
		at += len;
		if (part < 2 && (at == t->end || *at++ != '.'))
			return 0;
	}
	return (size_t)(at - p);
}

/* To its end mark; a key that was cut off, to the end of the text. */
static size_t match_private_key(const struct text *t, const char *p)
{
	static const char begin[] = "-----BEGIN ", mark[] = "PRIVATE KEY-----", end[] = "-----END ";
	if (!has(t, p, begin))
		return 0;
	const char *line = p + strlen(begin), *close;
	for (close = line; close < t->end && (of(UPPER, *close) || *close == ' '); close++)
		if (has(t, close, mark))
			break;
	if (!has(t, close, mark))
		return 0;
	close = memmem(close, (size_t)(t->end - close), end, strlen(end));
	close = close ? memmem(close, (size_t)(t->end - close), mark, strlen(mark)) : NULL;
	return (size_t)((close ? close + strlen(mark) : t->end) - p);
}

/* ---- secrets that are named --------------------------------------------------------------------- */

/* A name that ends with one of these, whatever is before it and with any of - _ and none between, says so. */
static const char *const secret_names[] = {
	"password",   "passwd",     "passphrase",    "pwd",
	"secret",     "token",      "apikey",        "accesskey",
	"secretkey",  "privatekey", "authorization", "clientsecret",
	"credential", "cookie",     "setcookie",     "connectionstring",
	"accountkey", "authkey",
};

/* The letters of a name in lower case, without - and _. False: it is too long to be one. */
static bool plain_name(const char *name, size_t len, char ret[static 64])
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (name[i] == '-' || name[i] == '_')
			continue;
		if (n == 63)
			return false;
		ret[n++] = (char)tolower((unsigned char)name[i]);
	}
	ret[n] = '\0';
	return true;
}

bool mask_is_secret_name(const char *name, size_t len)
{
	char plain[64];
	if (len < 3 || !plain_name(name, len, plain))
		return false;
	size_t n = strlen(plain);
	for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
		size_t of_word = strlen(secret_names[i]);
		if (n >= of_word && strcmp(plain + n - of_word, secret_names[i]) == 0)
			return true;
	}
	return false;
}

static const char *skip(const char *p, const char *end, const char *set)
{
	while (p < end && *p && strchr(set, *p))
		p++;
	return p;
}

/* A value ends at a blank, a quote or what separates values. */
static const char *value_end(const char *p, const char *end, char quote)
{
	while (p < end && (quote ? *p != quote : !strchr(" \t\r\n\"'&;,)}]|<>", *p)))
		p++;
	return p;
}

/* At @p a name begins. Its value, when it is one of a secret: *ret_start and the length. */
static size_t match_named(const struct text *t, const char *p, const char **ret_start)
{
	static const char *const schemes[] = { "Bearer ", "Basic ", "Digest ", "Token " };
	size_t name = span(URL, p, t->end);
	bool option = name > 2 && p[0] == '-' && p[1] == '-';
	const char *at = skip(p + name, t->end, "\\\"'");
	const char *after = skip(at, t->end, " \t");
	if (after < t->end && (*after == '=' || *after == ':'))
		at = skip(after + 1, t->end, "= \t");
	else if (option && after > at)
		at = after;
	else
		return 0;
	if (!mask_is_secret_name(p, name))
		return 0;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if ((size_t)(t->end - at) > strlen(schemes[i]) &&
		    strncasecmp(at, schemes[i], strlen(schemes[i])) == 0)
			at += strlen(schemes[i]);
	at = skip(at, t->end, "\\");
	char quote = at < t->end && (*at == '"' || *at == '\'') ? *at++ : '\0';
	if (at < t->end && (*at == '$' || *at == '[')) /* a variable; what is masked already */
		return 0;
	*ret_start = at;
	return (size_t)(value_end(at, t->end, quote) - at);
}

/* scheme://user:PASSWORD@host */
static size_t match_userinfo(const struct text *t, const char *p, const char **ret_start)
{
	if (!has(t, p, "://"))
		return 0;
	const char *colon = NULL, *at = p + 3;
	for (; at < t->end && *at != '@' && !strchr("/?# \t\r\n\"'", *at); at++)
		if (*at == ':' && !colon)
			colon = at;
	if (!colon || at == t->end || *at != '@' || at == colon + 1)
		return 0;
	*ret_start = colon + 1;
	return (size_t)(at - colon - 1);
}

/* ---- personal data ------------------------------------------------------------------------------ */

/* Reads a number that may be written in groups. Its digits go to @digits; its length in the text. */
static size_t read_digits(const struct text *t, const char *p, char digits[static 20],
			  unsigned *ret_count)
{
	const char *at = p, *last = p;
	unsigned n = 0;
	while (at < t->end && n < 20) {
		if (of(DIGITS, *at)) {
			digits[n++] = *at++;
			last = at;
		} else if (n && (*at == ' ' || *at == '-') && of(DIGITS, at[-1]) &&
			   at + 1 < t->end && of(DIGITS, at[1])) {
			at++;
		} else {
			break;
		}
	}
	*ret_count = n;
	return (size_t)(last - p);
}

static bool luhn(const char *digits, unsigned count)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned d = (unsigned)(digits[count - 1 - i] - '0');
		if (i % 2)
			d = d * 2 > 9 ? d * 2 - 9 : d * 2;
		sum += d;
	}
	return sum % 10 == 0;
}

/* The issuers' ranges and lengths: a number of another kind is no card's, whatever its last digit. */
static bool is_issued(const char *digits, unsigned count)
{
	static const struct {
		unsigned from, to, length; /* of the first four digits */
	} ranges[] = {
		{ 4000, 4999, 13 }, { 4000, 4999, 16 }, { 4000, 4999, 19 }, { 5100, 5599, 16 },
		{ 2221, 2720, 16 }, { 3400, 3499, 15 }, { 3700, 3799, 15 }, { 6011, 6011, 16 },
		{ 6440, 6599, 16 }, { 3528, 3589, 16 }, { 3000, 3059, 14 }, { 3600, 3699, 14 },
		{ 3800, 3899, 14 }, { 6200, 6299, 16 },
	};
	unsigned first = 0;
	for (unsigned i = 0; i < 4; i++)
		first = first * 10 + (unsigned)(digits[i] - '0');
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (count == ranges[i].length && first >= ranges[i].from && first <= ranges[i].to)
			return true;
	return false;
}

static size_t match_card(const struct text *t, const char *p)
{
	char digits[20];
	unsigned count;
	size_t len = read_digits(t, p, digits, &count);
	bool ends = p + len == t->end || !(of(WORD, p[len]) || p[len] == '_');
	if (p > t->start && (p[-1] == '.' || p[-1] == '+'))
		return 0;
	return ends && count >= 13 && is_issued(digits, count) && luhn(digits, count) ? len : 0;
}

/* Country, two check digits, an account: modulo 97 it is 1 with the first four at the end. */
static size_t match_iban(const struct text *t, const char *p)
{
	char code[40];
	size_t n = 0;
	const char *at = p;
	for (; at < t->end && n < 35; at++) {
		if (of(UPPER, *at))
			code[n++] = *at;
		else if (*at != ' ' || n % 4 || at + 1 == t->end || !of(UPPER, at[1]))
			break;
	}
	if (n < 15 || n > 34 || (at < t->end && of(WORD, *at)) || isdigit((unsigned char)code[0]) ||
	    isdigit((unsigned char)code[1]) || !of(DIGITS, code[2]) || !of(DIGITS, code[3]))
		return 0;
	unsigned rest = 0;
	for (size_t i = 0; i < n; i++) {
		char c = code[(i + 4) % n];
		rest = of(DIGITS, c) ? rest * 10 + (unsigned)(c - '0')
				     : rest * 100 + (unsigned)(c - 'A') + 10;
		rest %= 97;
	}
	return rest == 1 ? (size_t)(at - p) : 0;
}

static bool of_local_part(char c)
{
	return of(WORD, c) || (c && strchr("._%+-", c));
}

/* At @p is an @; the address begins before it, not before @from. */
static size_t match_email(const struct text *t, const char *from, const char *p,
			  const char **ret_start)
{
	const char *start = p, *at = p + 1, *dot = NULL;
	while (start > from && of_local_part(start[-1]))
		start--;
	for (; at < t->end && (of(WORD, *at) || *at == '-' || *at == '.'); at++)
		if (*at == '.')
			dot = at;
	while (at > p + 1 && (at[-1] == '.' || at[-1] == '-'))
		at--;
	if (start == p || !dot || dot == p + 1 || at - dot < 3)
		return 0;
	for (const char *c = dot + 1; c < at; c++) /* name@2.0.1 is a version */
		if (of(DIGITS, *c))
			return 0;
	*ret_start = start;
	return (size_t)(at - start);
}

/* ---- the scan ------------------------------------------------------------------------------------ */

struct found {
	const char *start, *name;
	size_t len; /* 0: nothing */
};

static struct found find_secret(const struct text *t, const char *p)
{
	struct found f = { p, NULL, 0 };
	f.name = "password";
	if (*p == ':')
		f.len = match_userinfo(t, p, &f.start);
	if (f.len || (!of(WORD, *p) && *p != '-') || !begins_word(t, p))
		return f;
	f.name = "private key";
	if (*p == '-' && (f.len = match_private_key(t, p)))
		return f;
	f.name = "token";
	if (*p == 'e' && (f.len = match_jwt(t, p)))
		return f;
	if ((f.len = match_form(t, p, &f.name)))
		return f;
	f.name = "secret";
	f.len = match_named(t, p, &f.start);
	return f;
}

static struct found find_personal(const struct text *t, const char *from, const char *p)
{
	struct found f = { p, NULL, 0 };
	if (*p == '@') {
		f.name = "e-mail";
		f.len = match_email(t, from, p, &f.start);
	} else if (of(UPPER, *p) && begins_word(t, p)) {
		f.name = of(DIGITS, *p) ? "card" : "IBAN";
		f.len = of(DIGITS, *p) ? match_card(t, p) : match_iban(t, p);
	}
	return f;
}

/* From @p on, the next place at which something to mask could begin, or be told from what is before it. */
static const char *next_place(const struct text *t, const char *p)
{
	for (; p < t->end; p++)
		if (of(URL, *p) ? begins_word(t, p) : *p == ':' || *p == '@')
			break;
	return p;
}

/* What is masked grows the text by no more than this a place. */
enum { LABEL_MAX = 32 };

struct output {
	char *text; /* owned */
	size_t len, size;
};

static int put(struct output *o, const char *bytes, size_t len)
{
	if (o->len + len + 1 > o->size) {
		size_t size = (o->len + len + 1) * 2;
		char *more = realloc(o->text, size);
		if (!more)
			return -ENOMEM;
		o->text = more;
		o->size = size;
	}
	memcpy(o->text + o->len, bytes, len);
	o->len += len;
	o->text[o->len] = '\0';
	return 0;
}

static int put_label(struct output *o, const char *name)
{
	char label[LABEL_MAX] = "[masked ";
	strncat(label, name, sizeof(label) - strlen(label) - 2);
	strcat(label, "]");
	return put(o, label, strlen(label));
}

int mask_text(const char *text, size_t len, unsigned what, char **ret)
{
	const struct text t = { text, text + len };
	struct output o = { 0 };
	const char *kept = text; /* up to here it went out */
	int count = 0, r = 0;
	for (const char *p = text; (p = next_place(&t, p)) < t.end && r == 0;) {
		struct found f = { 0 };
		if (what & MASK_SECRETS)
			f = find_secret(&t, p);
		if (!f.len && what & MASK_PERSONAL)
			f = find_personal(&t, kept, p);
		if (!f.len || f.start < kept) {
			p++;
			continue;
		}
		r = put(&o, kept, (size_t)(f.start - kept));
		if (r == 0)
			r = put_label(&o, f.name);
		p = kept = f.start + f.len;
		count++;
	}
	if (count && r == 0)
		r = put(&o, kept, (size_t)(t.end - kept));
	if (r < 0 || !count) {
		free(o.text);
		return r;
	}
	*ret = o.text;
	return count;
}
