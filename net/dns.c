#include "net/dns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADER = 12,
	RECORDS_MAX = 512, /* in all sections; more: not well formed */
	LABEL_MAX = 63,
	CLASS_IN = 1,
	FLAG_QR = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_TC = 0x0200,
	FLAG_RD = 0x0100,
	FLAG_RA = 0x0080,
	FLAG_CD = 0x0010,
	OPTION_EDE = 15,
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool host_byte(uint8_t c)
{
	char l = lower(c);
	return (l >= 'a' && l <= 'z') || (l >= '0' && l <= '9') || l == '-' || l == '_';
}

/*
 * The name at @at as text. A pointer leads to what stands before it, header excepted, and nothing
 * from there on is read beyond it: so it ends, and means the same in a copy cut behind it. Returns the offset behind it in the record, 0 when it is not well formed.
 * Bytes that no host name has are kept out of the text as '?', which no pattern matches.
 */
static size_t read_name(const uint8_t *bytes, size_t len, size_t at,
			char text[static DNS_NAME_SIZE])
{
	size_t used = 0, behind = 0, limit = len;
	for (;;) {
		if (at >= limit)
			return 0;
		uint8_t n = bytes[at];
		if ((n & 0xc0) == 0xc0) {
			if (at + 1 >= limit)
				return 0;
			if (!behind)
				behind = at + 2;
			limit = at;
			at = (size_t)(n & 0x3f) << 8 | bytes[at + 1];
			if (at < HEADER)
				return 0;
			continue;
		}
		if (n > LABEL_MAX || at + 1 + n > limit)
			return 0;
		at++;
		if (n == 0)
			break;
		if (used + n + 2 > DNS_NAME_SIZE - 1)
			return 0;
		if (used)
			text[used++] = '.';
		for (unsigned i = 0; i < n; i++, at++)
			text[used++] = host_byte(bytes[at]) ? lower(bytes[at]) : '?';
	}
	text[used] = '\0';
	return behind ? behind : at;
}

struct record {
	char owner[DNS_NAME_SIZE];
	uint16_t type, class;
	uint32_t ttl;
	size_t data; /* offset */
	uint16_t data_len;
};

/* Offset behind the record at @at, 0 when it is not well formed. */
static size_t read_record(const uint8_t *bytes, size_t len, size_t at, struct record *ret)
{
	at = read_name(bytes, len, at, ret->owner);
	if (!at || len - at < 10)
		return 0;
	ret->type = get16(bytes + at);
	ret->class = get16(bytes + at + 2);
	ret->ttl = get32(bytes + at + 4);
	ret->data_len = get16(bytes + at + 8);
	ret->data = at + 10;
	return len - ret->data < ret->data_len ? 0 : ret->data + ret->data_len;
}

static int read_additional(const uint8_t *bytes, size_t len, size_t at, unsigned count,
			   struct dns_query *q)
{
	for (unsigned i = 0; i < count; i++) {
		struct record r;
		at = read_record(bytes, len, at, &r);
		if (!at)
			return DNS_FORMERR;
		if (r.type != DNS_OPT)
			continue;
		if (q->edns || r.owner[0])
			return DNS_FORMERR; /* one, of the root */
		q->edns = true;
		if (r.class > DNS_UDP_PLAIN)
			q->udp_size = r.class < DNS_UDP_MAX ? r.class : DNS_UDP_MAX;
		if (r.ttl >> 16 & 0xff)
			return DNS_BADVERS;
	}
	return 0;
}

int dns_parse_query(const uint8_t *bytes, size_t len, struct dns_query *ret)
{
	*ret = (struct dns_query){ .udp_size = DNS_UDP_PLAIN };
	if (len < HEADER || get16(bytes + 2) & FLAG_QR)
		return -EBADMSG;
	uint16_t flags = get16(bytes + 2);
	ret->id = get16(bytes);
	ret->recurse = flags & FLAG_RD;
	ret->check_disabled = flags & FLAG_CD;
	if (flags & FLAG_OPCODE)
		return DNS_NOTIMP;
	unsigned additional = get16(bytes + 10);
	if (len > DNS_QUERY_MAX || get16(bytes + 4) != 1 || get16(bytes + 6) || get16(bytes + 8) ||
	    additional > 8)
		return DNS_FORMERR;
	size_t at = read_name(bytes, len, HEADER, ret->name);
	if (!at || len - at < 4 || at + 4 - HEADER > sizeof(ret->question))
		return DNS_FORMERR;
	/* A pointer in the first name can only point into the header. */
	for (size_t i = HEADER; i < at && bytes[i]; i += bytes[i] + 1u)
		if (bytes[i] > LABEL_MAX)
			return DNS_FORMERR;
	ret->type = get16(bytes + at);
	uint16_t class = get16(bytes + at + 2);
	ret->question_len = (uint16_t)(at + 4 - HEADER);
	memcpy(ret->question, bytes + HEADER, ret->question_len);
	int rcode = read_additional(bytes, len, at + 4, additional, ret);
	if (rcode)
		return rcode;
	if (class != CLASS_IN || ret->type == DNS_ANY || ret->type == DNS_AXFR ||
	    ret->type == DNS_IXFR || ret->type == DNS_OPT || ret->type == 0)
		return DNS_NOTIMP;
	return 0;
}

static void take_address(const uint8_t *bytes, const struct record *r, struct dns_answer *a)
{
	struct net_address address = { .family = r->type == DNS_A ? AF_INET : AF_INET6 };
	if (a->address_count == DNS_ADDRESSES_MAX)
		return;
	memcpy(address.bytes, bytes + r->data, r->data_len);
	a->addresses[a->address_count++] = address;
}

/* The records of one owner: its address records, or the CNAME to go on with. */
static bool walk_owner(const uint8_t *bytes, size_t len, size_t start, const struct dns_query *q,
		       struct dns_answer *a, char owner[static DNS_NAME_SIZE])
{
	size_t at = start;
	const size_t address_len = q->type == DNS_A ? 4 : 16;
	bool more = false;
	char next[DNS_NAME_SIZE];
	for (unsigned i = 0; i < a->answer_count; i++) {
		struct record r;
		at = read_record(bytes, len, at, &r);
		if (r.class != CLASS_IN || strcmp(r.owner, owner) != 0)
			continue;
		if (r.type == DNS_CNAME && !more)
			more = read_name(bytes, r.data + r.data_len, r.data, next) ==
			       r.data + r.data_len; /* all of the record, no more */
		else if (r.type != q->type || (q->type != DNS_A && q->type != DNS_AAAA) ||
			 r.data_len != address_len)
			continue;
		else
			take_address(bytes, &r, a);
		if (r.ttl < a->ttl_s)
			a->ttl_s = r.ttl;
	}
	if (more)
		memcpy(owner, next, sizeof(next));
	return more;
}

int dns_parse_answer(const uint8_t *bytes, size_t len, const struct dns_query *query,
		     struct dns_answer *ret)
{
	char owner[DNS_NAME_SIZE];
	if (len < HEADER || !(get16(bytes + 2) & FLAG_QR) || get16(bytes + 4) != 1)
		return -EBADMSG;
	*ret = (struct dns_answer){ .rcode = get16(bytes + 2) & 0xf,
				    .ttl_s = UINT32_MAX,
				    .answer_count = get16(bytes + 6),
				    .authority_count = get16(bytes + 8) };
	if (ret->answer_count + ret->authority_count > RECORDS_MAX)
		return -EBADMSG;
	size_t at = read_name(bytes, len, HEADER, owner);
	/* The same question in other case, so that offsets of compressed names stay true. */
	if (!at || len - at < 4 || strcmp(owner, query->name) != 0 ||
	    at + 4 != (size_t)HEADER + query->question_len || get16(bytes + at) != query->type)
		return -EBADMSG;
	size_t first = at + 4;
	at = first;
	for (unsigned i = 0; i < (unsigned)ret->answer_count + ret->authority_count; i++) {
		struct record r;
		at = read_record(bytes, len, at, &r);
		if (!at)
			return -EBADMSG;
	}
	ret->records_end = at;
	while (walk_owner(bytes, len, first, query, ret, owner)) {
		if (ret->chain_count == DNS_CHAIN_MAX || ret->address_count)
			return -EBADMSG;
		memcpy(ret->chain[ret->chain_count++], owner, sizeof(owner));
	}
	if (ret->ttl_s == UINT32_MAX)
		ret->ttl_s = 0;
	return 0;
}

/* Writes behind what is there; a record that does not fit is taken back by the caller. */
struct writer {
	uint8_t *out;
	size_t at, size;
	bool full;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
	if (w->full || w->size - w->at < len) {
		w->full = true;
		return;
	}
	memcpy(w->out + w->at, bytes, len);
	w->at += len;
}

static void put16(struct writer *w, unsigned value)
{
	uint8_t b[] = { (uint8_t)(value >> 8), (uint8_t)value };
	put(w, b, sizeof(b));
}

static void put_name(struct writer *w, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		uint8_t len = (uint8_t)n;
		put(w, &len, 1);
		put(w, name, n);
		name += n;
		name += *name == '.';
	}
	put(w, "", 1);
}

static void put_record(struct writer *w, const char *owner, uint16_t type, uint32_t ttl_s)
{
	put_name(w, owner);
	put16(w, type);
	put16(w, CLASS_IN);
	put16(w, ttl_s >> 16);
	put16(w, ttl_s & 0xffff);
}

static void put_name_record(struct writer *w, const char *owner, uint16_t type, uint32_t ttl_s,
			    const char *target)
{
	put_record(w, owner, type, ttl_s);
	/* a length for every label, and the root, which is all there is of an empty name */
	put16(w, *target ? (unsigned)strlen(target) + 2 : 1);
	put_name(w, target);
}

/* Room that the OPT record takes behind the answer. */
static size_t opt_size(const struct dns_query *q, int ede, const char *ede_text)
{
	if (!q->edns)
		return 0;
	return 11 + (ede == DNS_EDE_NONE ? 0 : 6 + (ede_text ? strlen(ede_text) : 0));
}

static void put_opt(struct writer *w, const struct dns_query *q, unsigned rcode, int ede,
		    const char *ede_text)
{
	size_t text_len = ede_text ? strlen(ede_text) : 0;
	if (!q->edns)
		return;
	put(w, "", 1);
	put16(w, DNS_OPT);
	put16(w, DNS_UDP_MAX);
	put16(w, rcode >> 4 << 8);
	put16(w, 0); /* no signatures are asked for, so none are promised */
	if (ede == DNS_EDE_NONE) {
		put16(w, 0);
		return;
	}
	put16(w, (unsigned)(6 + text_len));
	put16(w, OPTION_EDE);
	put16(w, (unsigned)(2 + text_len));
	put16(w, (unsigned)ede);
	put(w, ede_text ? ede_text : "", text_len);
}

static struct writer begin(const struct dns_query *q, unsigned rcode, size_t opt, uint8_t *out,
			   size_t size)
{
	struct writer w = { .out = out, .size = size - opt };
	put16(&w, q->id);
	put16(&w, FLAG_QR | FLAG_RA | (q->recurse ? FLAG_RD : 0u) |
			  (q->check_disabled ? FLAG_CD : 0u) | (rcode & 0xf));
	put16(&w, q->question_len ? 1 : 0);
	put16(&w, 0);
	put16(&w, 0);
	put16(&w, q->edns ? 1 : 0);
	put(&w, q->question, q->question_len);
	return w;
}

static size_t end(struct writer *w, const struct dns_query *q, unsigned rcode, int ede,
		  const char *ede_text, unsigned answers, bool cut)
{
	w->out[6] = (uint8_t)(answers >> 8);
	w->out[7] = (uint8_t)answers;
	if (cut)
		w->out[2] |= FLAG_TC >> 8;
	w->full = false;
	w->size += opt_size(q, ede, ede_text);
	put_opt(w, q, rcode, ede, ede_text);
	return w->at;
}

size_t dns_error(const struct dns_query *query, unsigned rcode, int ede, const char *ede_text,
		 uint8_t *out, size_t size)
{
	if (ede_text && strlen(ede_text) > 128)
		ede_text = NULL;
	struct writer w = begin(query, rcode, opt_size(query, ede, ede_text), out, size);
	return end(&w, query, rcode, ede, ede_text, 0, false);
}

size_t dns_write_addresses(const struct dns_query *query, const struct dns_answer *answer,
			   uint8_t *out, size_t size)
{
	struct writer w =
		begin(query, answer->rcode, opt_size(query, DNS_EDE_NONE, NULL), out, size);
	const char *owner = query->name;
	unsigned count = 0;
	size_t good = w.at;
	for (unsigned i = 0; i < answer->chain_count && !w.full; i++) {
		put_name_record(&w, owner, DNS_CNAME, answer->ttl_s, answer->chain[i]);
		owner = answer->chain[i];
		if (!w.full) {
			good = w.at;
			count++;
		}
	}
	for (unsigned i = 0; i < answer->address_count && !w.full; i++) {
		const struct net_address *a = &answer->addresses[i];
		bool v4 = a->family == AF_INET;
		put_record(&w, owner, v4 ? DNS_A : DNS_AAAA, answer->ttl_s);
		put16(&w, v4 ? 4 : 16);
		put(&w, a->bytes, v4 ? 4 : 16);
		if (!w.full) {
			good = w.at;
			count++;
		}
	}
	bool cut = w.full;
	w.at = good;
	return end(&w, query, answer->rcode, DNS_EDE_NONE, NULL, count, cut);
}

size_t dns_write_ptr(const struct dns_query *query, const char *name, uint8_t *out, size_t size)
{
	struct writer w = begin(query, DNS_NOERROR, opt_size(query, DNS_EDE_NONE, NULL), out, size);
	size_t good = w.at;
	put_name_record(&w, query->name, DNS_PTR, 60, name);
	bool cut = w.full;
	if (cut)
		w.at = good;
	return end(&w, query, DNS_NOERROR, DNS_EDE_NONE, NULL, cut ? 0 : 1, cut);
}

size_t dns_write_raw(const struct dns_query *query, const struct dns_answer *answer,
		     const uint8_t *bytes, size_t len, uint8_t *out, size_t size)
{
	struct writer w =
		begin(query, answer->rcode, opt_size(query, DNS_EDE_NONE, NULL), out, size);
	size_t good = w.at;
	unsigned answers = answer->answer_count, authority = answer->authority_count;
	if (answer->records_end >= good && answer->records_end <= len)
		put(&w, bytes + good, answer->records_end - good);
	else
		w.full = true;
	bool cut = w.full;
	if (cut) {
		w.at = good;
		answers = authority = 0;
	}
	w.out[8] = (uint8_t)(authority >> 8);
	w.out[9] = (uint8_t)authority;
	return end(&w, query, answer->rcode, DNS_EDE_NONE, NULL, answers, cut);
}

static bool ends_with(const char *name, size_t len, const char *suffix)
{
	size_t n = strlen(suffix);
	return len > n && memcmp(name + len - n, suffix, n) == 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool dns_reverse(const char *name, struct net_address *ret)
{
	size_t len = strlen(name);
	*ret = (struct net_address){ 0 };
	if (ends_with(name, len, ".in-addr.arpa")) {
		const char *p = name;
		ret->family = AF_INET;
		for (unsigned i = 0; i < 4; i++) {
			char *behind;
			if (*p < '0' || *p > '9')
				return false;
			unsigned long byte = strtoul(p, &behind, 10);
			if (byte > 255 || behind - p > 3 || *behind != '.')
				return false;
			ret->bytes[3 - i] = (uint8_t)byte;
			p = behind + 1;
		}
		return strcmp(p, "in-addr.arpa") == 0;
	}
	if (len != 64 + 8 || !ends_with(name, len, ".ip6.arpa"))
		return false;
	ret->family = AF_INET6;
	for (unsigned i = 0; i < 32; i++) {
		int digit = hex_digit(name[2 * i]);
		if (digit < 0 || name[2 * i + 1] != '.')
			return false;
		ret->bytes[15 - i / 2] |= (uint8_t)(digit << (i % 2 ? 4 : 0));
	}
	return true;
}
