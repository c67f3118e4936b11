#include "net/wire/mysql_reply.h"

#include "net/wire/bytes.h"

enum {
	PACKET_OK = 0x00,
	PACKET_LOCAL_FILE = 0xfb,
	PACKET_EOF = 0xfe,
	PACKET_ERROR = 0xff,
	EOF_MAX = 9, /* a longer packet that begins so is a row */
};

enum { STATUS_MORE_RESULTS = 0x0008, STATUS_CURSOR_EXISTS = 0x0040 };

void mysql_reply_begin(struct mysql_reply *r, enum mysql_shape shape)
{
	*r = (struct mysql_reply){ .shape = shape, .ok = true };
	if (shape == MYSQL_ROWS || shape == MYSQL_FIELDS)
		r->phase = PHASE_ROWS;
}

/* A length-encoded number at *@p, which moves on; false: there is none. */
static bool lenenc(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	static const uint8_t sizes[] = { [0] = 2, [1] = 3, [2] = 8 };
	uint64_t v = 0;

	if (*p >= end)
		return false;
	uint8_t first = *(*p)++;
	if (first < 0xfb) {
		*ret = first;
		return true;
	}
	if (first < 0xfc || first > 0xfe || end - *p < sizes[first - 0xfc])
		return false;
	for (unsigned i = 0; i < sizes[first - 0xfc]; i++)
		v |= (uint64_t)(*p)[i] << (8 * i);
	*p += sizes[first - 0xfc];
	*ret = v;
	return true;
}

static enum mysql_progress after(struct mysql_reply *r, unsigned status)
{
	if (!(status & STATUS_MORE_RESULTS))
		return MYSQL_OVER;
	r->phase = PHASE_FIRST;
	return MYSQL_GOES_ON;
}

static enum mysql_progress first(struct mysql_reply *r, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len, *at = p + 1;
	uint64_t n;

	if (*p == PACKET_OK) {
		if (!lenenc(&at, end, &n) || !lenenc(&at, end, &n) || end - at < 2)
			return MYSQL_MALFORMED;
		return after(r, wire_le16(at));
	}
	/* LOAD DATA LOCAL was not offered: the file's bytes would follow. */
	at = p;
	if (*p == PACKET_LOCAL_FILE || !lenenc(&at, end, &n) || at != end || n == 0)
		return MYSQL_MALFORMED;
	r->phase = PHASE_COLUMNS;
	r->left = n;
	return MYSQL_GOES_ON;
}

static enum mysql_progress prepared(struct mysql_reply *r, const uint8_t *p, size_t len)
{
	if (*p != PACKET_OK || len < 12)
		return MYSQL_MALFORMED;
	unsigned columns = wire_le16(p + 5), parameters = wire_le16(p + 7);
	r->statement = wire_le32(p + 1);
	/* Each list ends with a packet of its own. */
	r->left = columns + (columns > 0) + parameters + (parameters > 0);
	r->phase = PHASE_COUNTED;
	return r->left ? MYSQL_GOES_ON : MYSQL_OVER;
}

static enum mysql_progress eof(struct mysql_reply *r, const uint8_t *p, size_t len)
{
	if (len < 5)
		return MYSQL_MALFORMED;
	unsigned status = wire_le16(p + 3);
	if (r->phase == PHASE_COLUMNS_END && !(status & STATUS_CURSOR_EXISTS)) {
		r->phase = PHASE_ROWS;
		return MYSQL_GOES_ON;
	}
	return r->shape == MYSQL_RESULT ? after(r, status) : MYSQL_OVER;
}

enum mysql_progress mysql_reply_packet(struct mysql_reply *r, const uint8_t *p, size_t len,
				       uint32_t size)
{
	if (len == 0)
		return r->shape == MYSQL_ONE ? MYSQL_OVER : MYSQL_MALFORMED;
	bool is_eof = *p == PACKET_EOF && size < EOF_MAX;
	if (*p == PACKET_ERROR && r->phase != PHASE_COLUMNS && r->phase != PHASE_COUNTED) {
		r->ok = false;
		return MYSQL_OVER;
	}
	if (r->shape == MYSQL_ONE)
		return MYSQL_OVER;
	switch (r->phase) {
	case PHASE_FIRST:
		return r->shape == MYSQL_PREPARED ? prepared(r, p, len) : first(r, p, len);
	case PHASE_COLUMNS:
		if (--r->left == 0)
			r->phase = PHASE_COLUMNS_END;
		return MYSQL_GOES_ON;
	case PHASE_COLUMNS_END:
		return is_eof ? eof(r, p, len) : MYSQL_MALFORMED;
	case PHASE_ROWS:
		return is_eof ? eof(r, p, len) : MYSQL_GOES_ON;
	case PHASE_COUNTED:
		return --r->left ? MYSQL_GOES_ON : MYSQL_OVER;
	}
	return MYSQL_MALFORMED;
}
