#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buf_init(struct buf *b, char *storage, size_t size)
{
	*b = (struct buf){ .data = storage, .size = size, .overflow = size == 0 };
	if (size > 0)
		storage[0] = '\0';
}

/* After the first loss nothing is added: text with a hole in it would read as whole. */
void buf_put(struct buf *b, const char *bytes, size_t len)
{
	if (b->overflow)
		return;
	size_t room = b->size - b->len - 1;
	if (len > room) {
		len = room;
		b->overflow = true;
	}
	if (len == 0)
		return;
	memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_puts(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

void buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	if (b->overflow)
		return;
	size_t room = b->size - b->len;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(b->data + b->len, room, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->data[b->len] = '\0';
		b->overflow = true;
	} else if ((size_t)n >= room) {
		b->len = b->size - 1;
		b->overflow = true;
	} else {
		b->len += (size_t)n;
	}
}

void buf_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	buf_put(b, digits + at, sizeof(digits) - at);
}

/* An escape that does not fit whole is left out whole. */
static void put_whole(struct buf *b, const char *bytes, size_t len)
{
	if (!b->overflow && len > b->size - b->len - 1)
		b->overflow = true;
	buf_put(b, bytes, len);
}

/*
 * Length of the well-formed UTF-8 sequence at @s, 0 when it is none: overlong
 * forms, surrogates, anything over U+10FFFF and cut sequences are malformed
 * (Unicode table 3-7).
 */
static size_t utf8_decode(const unsigned char *s, size_t len, uint32_t *ret_code)
{
	unsigned char lead = s[0];
	size_t need;
	uint32_t code, least;

	if (lead < 0x80) {
		*ret_code = lead;
		return 1;
	} else if (lead >= 0xc2 && lead <= 0xdf) {
		need = 2;
		code = lead & 0x1fu;
		least = 0x80;
	} else if ((lead & 0xf0) == 0xe0) {
		need = 3;
		code = lead & 0x0fu;
		least = 0x800;
	} else if (lead >= 0xf0 && lead <= 0xf4) {
		need = 4;
		code = lead & 0x07u;
		least = 0x10000;
	} else {
		return 0;
	}
	if (len < need)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return need;
}

struct range {
	uint32_t first, last;
};

/* What changes how the text around it is shown, or is not shown at all. */
static const struct range deceptive[] = {
	{ 0x0000, 0x001f },   /* C0 */
	{ 0x007f, 0x009f },   /* DEL and C1 */
	{ 0x00ad, 0x00ad },   /* soft hyphen */
	{ 0x061c, 0x061c },   /* Arabic letter mark */
	{ 0x180e, 0x180e },   /* Mongolian vowel separator */
	{ 0x200b, 0x200b },   /* zero width space; joiners are kept, scripts and emoji need them */
	{ 0x200e, 0x200f },   /* directional marks */
	{ 0x2028, 0x202e },   /* line and paragraph separator, directional embeddings */
	{ 0x2060, 0x206f },   /* invisible operators, directional isolates */
	{ 0xfeff, 0xfeff },   /* byte order mark */
	{ 0xfff9, 0xfffb },   /* interlinear annotation */
	{ 0xe0000, 0xe007f }, /* tags: a hidden ASCII */
};

static bool is_deceptive(uint32_t code)
{
	for (size_t i = 0; i < sizeof(deceptive) / sizeof(deceptive[0]); i++) {
		if (code >= deceptive[i].first && code <= deceptive[i].last)
			return true;
	}
	return false;
}

static void put_json_unit(struct buf *b, uint32_t unit)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = {
		'\\',          'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15],
		hex[unit & 15]
	};
	put_whole(b, text, sizeof(text));
}

static void put_json_code(struct buf *b, uint32_t code)
{
	if (code == '\n') {
		put_whole(b, "\\n", 2);
	} else if (code == '\t') {
		put_whole(b, "\\t", 2);
	} else if (code == '\r') {
		put_whole(b, "\\r", 2);
	} else if (code > 0xffff) {
		put_json_unit(b, 0xd800 + ((code - 0x10000) >> 10));
		put_json_unit(b, 0xdc00 + ((code - 0x10000) & 0x3ff));
	} else {
		put_json_unit(b, code);
	}
}

/* Number of leading bytes that both writers keep as they are. */
static size_t plain_run(const unsigned char *s, size_t len)
{
	size_t n = 0;
	while (n < len && s[n] >= 0x20 && s[n] < 0x7f && s[n] != '"' && s[n] != '\\')
		n++;
	return n;
}

void buf_json(struct buf *b, const char *bytes, size_t len)
{
	const unsigned char *s = (const unsigned char *)bytes;

	buf_putc(b, '"');
	for (size_t i = 0; i < len && !b->overflow;) {
		size_t run = plain_run(s + i, len - i);
		if (run > 0) {
			buf_put(b, bytes + i, run);
			i += run;
			continue;
		}
		uint32_t code = 0;
		size_t n = utf8_decode(s + i, len - i, &code);
		if (n == 0) {
			put_json_unit(b, 0xdc00u + s[i]);
			n = 1;
		} else if (code == '"' || code == '\\') {
			char text[2] = { '\\', (char)code };
			put_whole(b, text, sizeof(text));
		} else if (is_deceptive(code)) {
			put_json_code(b, code);
		} else {
			put_whole(b, bytes + i, n);
		}
		i += n;
	}
	buf_putc(b, '"');
}

static void put_term_escape(struct buf *b, uint32_t code, bool is_byte)
{
	char text[16];
	int n;

	if (code == '\n' || code == '\t')
		n = snprintf(text, sizeof(text), "\\%c", code == '\n' ? 'n' : 't');
	else if (is_byte || code < 0x80)
		n = snprintf(text, sizeof(text), "\\x%02x", code);
	else
		n = snprintf(text, sizeof(text), "\\u{%04x}", code);
	put_whole(b, text, (size_t)n);
}

void buf_term(struct buf *b, const char *bytes, size_t len)
{
	const unsigned char *s = (const unsigned char *)bytes;

	for (size_t i = 0; i < len && !b->overflow;) {
		size_t run = plain_run(s + i, len - i);
		if (run > 0) {
			buf_put(b, bytes + i, run);
			i += run;
			continue;
		}
		uint32_t code = 0;
		size_t n = utf8_decode(s + i, len - i, &code);
		if (n == 0) {
			put_term_escape(b, s[i], true);
			n = 1;
		} else if (is_deceptive(code)) {
			put_term_escape(b, code, false);
		} else {
			put_whole(b, bytes + i, n);
		}
		i += n;
	}
}
