#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policies/pattern.h"

enum { HOST_MAX = 253, HOST_TEXT_MAX = 300 };

static const unsigned char mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

/* IPv4-mapped IPv6 is IPv4, so that no notation evades a rule. Returns whether it was one. */
static bool unmap(uint8_t *family, uint8_t address[static 16])
{
	if (*family != AF_INET6 || memcmp(address, mapped_prefix, sizeof(mapped_prefix)) != 0)
		return false;
	memmove(address, address + 12, 4);
	memset(address + 4, 0, 12);
	*family = AF_INET;
	return true;
}

/* The numeric forms the resolver takes as IPv4: 127.1, 0x7f000001, 2130706433. */
static bool last_label_numeric(const char *text)
{
	const char *dot = strrchr(text, '.');
	const char *label = dot ? dot + 1 : text;
	if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
		label += 2 + strspn(label + 2, "0123456789abcdefABCDEF");
	else if (*label)
		label += strspn(label, "0123456789");
	return *label == '\0' && label > (dot ? dot + 1 : text);
}

static uint8_t parse_address(const char *text, uint8_t address[static 16])
{
	memset(address, 0, 16);
	if (inet_pton(AF_INET, text, address) == 1)
		return AF_INET;
	if (strchr(text, ':') && inet_pton(AF_INET6, text, address) == 1)
		return AF_INET6;
	return 0;
}

void pattern_host_init(struct pattern_host *h, const char *host, size_t len, uint16_t port)
{
	char text[HOST_TEXT_MAX];
	*h = (struct pattern_host){ .port = port };
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	if (len > 1 && host[len - 1] == '.')
		len--;
	h->name = host;
	h->len = len;
	if (len == 0 || len >= sizeof(text))
		return;
	memcpy(text, host, len);
	text[len] = '\0';
	if (strchr(text, ':'))
		text[strcspn(text, "%")] = '\0'; /* a scope, as in fe80::1%eth0 */
	else if (!last_label_numeric(text))
		return;
	h->family = parse_address(text, h->address);
	struct in_addr legacy;
	if (!h->family && !strpbrk(text, ": \t\n\r\v\f") && inet_aton(text, &legacy)) {
		memcpy(h->address, &legacy, sizeof(legacy));
		h->family = AF_INET;
	}
	unmap(&h->family, h->address);
}

static bool within(const uint8_t *address, const uint8_t *network, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(address, network, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	unsigned mask = 0xffU << (8 - rest);
	return ((address[whole] ^ network[whole]) & mask & 0xff) == 0;
}

bool pattern_matches_host_subject(const struct pattern *p, const struct pattern_host *h)
{
	if (p->kind != PATTERN_HOST || (p->port && p->port != h->port) || h->len == 0)
		return false;
	if (p->family)
		return p->family == h->family && within(h->address, p->address, p->prefix_len);
	size_t n = p->literal_len;
	if (p->wildcard && n == 0)
		return true;
	if (h->family || h->len < n)
		return false;
	if (p->wildcard)
		return h->len > n + 1 && h->name[h->len - n - 1] == '.' &&
		       strncasecmp(h->name + h->len - n, p->literal, n) == 0;
	return h->len == n && strncasecmp(h->name, p->literal, n) == 0;
}

bool pattern_matches_host(const struct pattern *p, const char *host, uint16_t port)
{
	struct pattern_host h;
	pattern_host_init(&h, host, strlen(host), port);
	return pattern_matches_host_subject(p, &h);
}

/* 1..@max in decimal, nothing else. -1 otherwise. */
static int small_number(const char *text, size_t len, int max)
{
	int value = 0;
	if (len == 0 || len > 5)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value <= max ? value : -1;
}

/* Where the parts of a host pattern lie in its text. */
struct parts {
	const char *host;
	size_t host_len;
	const char *bits; /* behind the '/'; NULL none */
	size_t bits_len;
	const char *port; /* behind the ':'; NULL none */
};

static int split(const char *text, struct parts *ret, struct err *err)
{
	struct parts s = { .host = text, .host_len = strlen(text) };
	const char *end = text + s.host_len; /* of the address and its prefix length */
	if (text[0] == '[') {
		const char *close = strchr(text, ']');
		if (!close)
			return err_set(err, EINVAL, "\"%s\": a '[' has no ']'", text);
		s.host = text + 1;
		s.host_len = (size_t)(close - s.host);
		if (close[1] == '/') {
			s.bits = close + 2;
			s.bits_len = strcspn(s.bits, ":");
			close = s.bits + s.bits_len - 1;
		}
		if (close[1] == ':')
			s.port = close + 2;
		else if (close[1])
			return err_set(err, EINVAL, "\"%s\": what follows ']' is no :port", text);
		end = s.host + s.host_len;
	} else {
		const char *colon = strchr(text, ':');
		if (colon && !strchr(colon + 1, ':')) {
			s.port = colon + 1;
			end = colon;
		}
		s.host_len = (size_t)(end - text);
	}
	const char *slash = memchr(s.host, '/', s.host_len);
	if (slash) {
		if (s.bits)
			return err_set(err, EINVAL, "\"%s\" has two prefix lengths", text);
		s.host_len = (size_t)(slash - s.host);
		s.bits = slash + 1;
		s.bits_len = (size_t)(end - s.bits);
	}
	*ret = s;
	return 0;
}

static int check_name(const char *text, const char *name, size_t len, struct err *err)
{
	size_t label = 0;
	if (len == 0 || len > HOST_MAX)
		return err_set(err, EINVAL, "\"%s\" is no host name", text);
	for (size_t i = 0; i <= len; i++) {
		char c = i < len ? name[i] : '.';
		if (c == '.') {
			if (label == 0 || label > 63)
				return err_set(err, EINVAL,
					       "\"%s\" is no host name: a label is empty or long",
					       text);
			label = 0;
			continue;
		}
		if (c == '*')
			return err_set(err, EINVAL,
				       "\"%s\": a '*' stands only first, as in "
				       "*.example.com",
				       text);
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '-' || c == '_';
		if (!good)
			return err_set(err, EINVAL, "\"%s\" is no host name", text);
		label++;
	}
	return 0;
}

static int compile_address(const char *text, const struct parts *s, const char *host,
			   struct pattern *p, struct err *err)
{
	int max = p->family == AF_INET ? 32 : 128;
	int bits = max;
	if (s->bits) {
		bits = small_number(s->bits, s->bits_len, max);
		if (bits < 0)
			return err_set(err, EINVAL,
				       "\"%s\": the prefix length is no number from "
				       "0 to %d",
				       text, max);
	}
	for (int i = bits; i < max; i++)
		if (p->address[i / 8] & 0x80 >> i % 8)
			return err_set(err, EINVAL, "\"%s\": %s has bits beyond its prefix of %d",
				       text, host, bits);
	/* ::ffff:0:0/96 is all of IPv4; a shorter prefix covers more than IPv4 and stays IPv6. */
	if (bits >= 96 && unmap(&p->family, p->address))
		bits -= 96;
	p->prefix_len = (uint8_t)bits;
	return 0;
}

int pattern_compile_host(const char *text, struct pattern *ret, struct err *err)
{
	struct pattern p = { .kind = PATTERN_HOST, .text = text };
	struct parts s = { 0 };
	char host[HOST_TEXT_MAX];
	if (!*text)
		return err_set(err, EINVAL, "a host is empty");
	if (strlen(text) >= sizeof(host))
		return err_set(err, EINVAL, "a host is longer than %d bytes", HOST_TEXT_MAX - 1);
	if (strstr(text, "://"))
		return err_set(err, EINVAL, "\"%s\": write the host alone, without its scheme",
			       text);
	int rc = split(text, &s, err);
	if (rc)
		return rc;
	if (s.port) {
		int port = small_number(s.port, strlen(s.port), 65535);
		if (port < 1)
			return err_set(err, EINVAL, "\"%s\": the port is no number from 1 to 65535",
				       text);
		p.port = (uint16_t)port;
	}
	snprintf(host, sizeof(host), "%.*s", (int)s.host_len, s.host);
	p.family = parse_address(host, p.address);
	if (p.family) {
		p.literal = s.host;
		p.literal_len = (uint32_t)s.host_len;
		rc = compile_address(text, &s, host, &p, err);
	} else if (s.bits || text[0] == '[' || strchr(host, ':') || last_label_numeric(host)) {
		rc = err_set(err, EINVAL, "\"%s\" is no address%s", text,
			     s.bits ? " with a prefix length, as in 10.0.0.0/8" : "");
	} else {
		p.literal = s.host;
		p.wildcard = strcmp(host, "*") == 0 || strncmp(host, "*.", 2) == 0;
		if (p.wildcard)
			p.literal += host[1] ? 2 : 1;
		size_t len = s.host_len - (size_t)(p.literal - s.host);
		if (len > 1 && p.literal[len - 1] == '.')
			len--;
		p.literal_len = (uint32_t)len;
		if (!p.wildcard || host[1])
			rc = check_name(text, p.literal, len, err);
	}
	if (rc)
		return rc;
	*ret = p;
	return 0;
}
