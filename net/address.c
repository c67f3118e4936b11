#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

const char *net_class_name(enum net_class c)
{
	static const char *const names[NET_CLASS_COUNT] = {
		[NET_CLASS_UNSPECIFIED] = "unspecified", [NET_CLASS_LOOPBACK] = "loopback",
		[NET_CLASS_METADATA] = "metadata",       [NET_CLASS_LINK_LOCAL] = "link-local",
		[NET_CLASS_MULTICAST] = "multicast",     [NET_CLASS_PRIVATE] = "private",
		[NET_CLASS_PUBLIC] = "public",
	};
	return (unsigned)c < NET_CLASS_COUNT ? names[c] : "invalid";
}

struct range {
	uint8_t bytes[16];
	uint8_t bits;
	uint8_t class; /* enum net_class */
};

/* The first that holds: narrow ones before those around them. */
/* clang-format off */
static const struct range v4_ranges[] = {
	{ { 0 }, 8, NET_CLASS_UNSPECIFIED },
	{ { 127 }, 8, NET_CLASS_LOOPBACK },
	{ { 169, 254, 169, 254 }, 32, NET_CLASS_METADATA }, /* EC2, GCE, Azure, OpenStack, … */
	{ { 169, 254, 170, 2 }, 32, NET_CLASS_METADATA },   /* ECS tasks */
	{ { 169, 254, 170, 23 }, 32, NET_CLASS_METADATA },  /* EKS pods */
	{ { 100, 100, 100, 200 }, 32, NET_CLASS_METADATA }, /* Alibaba */
	{ { 168, 63, 129, 16 }, 32, NET_CLASS_METADATA },   /* Azure's wire server */
	{ { 192, 0, 0, 192 }, 32, NET_CLASS_METADATA },     /* Oracle */
	{ { 169, 254 }, 16, NET_CLASS_LINK_LOCAL },
	{ { 10 }, 8, NET_CLASS_PRIVATE },
	{ { 172, 16 }, 12, NET_CLASS_PRIVATE },
	{ { 192, 168 }, 16, NET_CLASS_PRIVATE },
	{ { 100, 64 }, 10, NET_CLASS_PRIVATE },
	{ { 192, 0, 0 }, 24, NET_CLASS_PRIVATE },
	{ { 198, 18 }, 15, NET_CLASS_PRIVATE },
	{ { 224 }, 3, NET_CLASS_MULTICAST },
};
static const struct range v6_ranges[] = {
	{ { 0 }, 128, NET_CLASS_UNSPECIFIED },
	{ { [15] = 1 }, 128, NET_CLASS_LOOPBACK },
	{ { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, 128, NET_CLASS_METADATA }, /* EC2 */
	{ { 0xfd, 0, 0x0e, 0xc2, [15] = 0x23 }, 128, NET_CLASS_METADATA },              /* EKS pods */
	{ { 0xfd, 0x20, 0, 0xce, [14] = 0x02, [15] = 0x54 }, 128, NET_CLASS_METADATA }, /* GCE */
	{ { 0xfe, 0x80 }, 10, NET_CLASS_LINK_LOCAL },
	{ { 0xfe, 0xc0 }, 10, NET_CLASS_PRIVATE },
	{ { 0xfc }, 7, NET_CLASS_PRIVATE },
	{ { 0xff }, 8, NET_CLASS_MULTICAST },
};
/* IPv6 that carries IPv4, and in which bytes. */
static const struct carrier {
	struct range prefix;
	uint8_t at[4];
} v6_carriers[] = {
	{ { { 0, 0x64, 0xff, 0x9b }, 96, 0 }, { 12, 13, 14, 15 } }, /* NAT64 */
	/* NAT64 of a site's own (RFC 8215): how long its prefix is nobody tells (RFC 6052). */
	{ { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, 0 }, { 12, 13, 14, 15 } },
	{ { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, 0 }, { 9, 10, 11, 12 } },
	{ { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, 0 }, { 7, 9, 10, 11 } },
	{ { { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48, 0 }, { 6, 7, 9, 10 } },
	{ { { 0x20, 0x02 }, 16, 0 }, { 2, 3, 4, 5 } },                      /* 6to4 */
	{ { { [10] = 0xff, [11] = 0xff }, 96, 0 }, { 12, 13, 14, 15 } },    /* mapped */
	{ { { [8] = 0xff, [9] = 0xff }, 96, 0 }, { 12, 13, 14, 15 } },      /* translated, RFC 2765 */
	{ { { 0 }, 96, 0 }, { 12, 13, 14, 15 } },                           /* compatible */
};
/* clang-format on */

static bool within(const uint8_t *address, const struct range *r)
{
	unsigned whole = r->bits / 8, rest = r->bits % 8;
	if (memcmp(address, r->bytes, whole) != 0)
		return false;
	return rest == 0 || (address[whole] ^ r->bytes[whole]) >> (8 - rest) == 0;
}

static enum net_class class_v4(const uint8_t *address)
{
	for (size_t i = 0; i < sizeof(v4_ranges) / sizeof(v4_ranges[0]); i++)
		if (within(address, &v4_ranges[i]))
			return (enum net_class)v4_ranges[i].class;
	return NET_CLASS_PUBLIC;
}

/* Public only when it is so however it is read. A reading as 0.0.0.0/8 counts where no other says more. */
static enum net_class class_carried(const uint8_t *address)
{
	enum net_class class = NET_CLASS_PUBLIC;
	bool carries = false;
	for (size_t i = 0; i < sizeof(v6_carriers) / sizeof(v6_carriers[0]); i++) {
		const struct carrier *c = &v6_carriers[i];
		if (!within(address, &c->prefix))
			continue;
		const uint8_t v4[] = { address[c->at[0]], address[c->at[1]], address[c->at[2]],
				       address[c->at[3]] };
		enum net_class read = class_v4(v4);
		if (!carries || class == NET_CLASS_UNSPECIFIED ||
		    (class == NET_CLASS_PUBLIC && read != NET_CLASS_UNSPECIFIED))
			class = read;
		carries = true;
	}
	return class;
}

enum net_class net_class_of(const struct net_address *a)
{
	if (a->family == AF_INET)
		return class_v4(a->bytes);
	for (size_t i = 0; i < sizeof(v6_ranges) / sizeof(v6_ranges[0]); i++)
		if (within(a->bytes, &v6_ranges[i]))
			return (enum net_class)v6_ranges[i].class;
	return class_carried(a->bytes);
}

int net_address_parse(const struct sockaddr *sa, size_t len, struct net_address *ret)
{
	sa_family_t family;
	*ret = (struct net_address){ 0 };
	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, sa, sizeof(family));
	if (family == AF_INET) {
		struct sockaddr_in in;
		if (len < sizeof(in))
			return -EINVAL;
		memcpy(&in, sa, sizeof(in));
		ret->family = AF_INET;
		ret->port = ntohs(in.sin_port);
		memcpy(ret->bytes, &in.sin_addr, 4);
		return 0;
	}
	if (family != AF_INET6)
		return -EAFNOSUPPORT;
	struct sockaddr_in6 in6 = { 0 };
	const size_t without_scope = offsetof(struct sockaddr_in6, sin6_scope_id);
	if (len < without_scope)
		return -EINVAL;
	memcpy(&in6, sa, len < sizeof(in6) ? without_scope : sizeof(in6));
	ret->port = ntohs(in6.sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		ret->family = AF_INET;
		memcpy(ret->bytes, &in6.sin6_addr.s6_addr[12], 4);
		return 0;
	}
	ret->family = AF_INET6;
	memcpy(ret->bytes, &in6.sin6_addr, 16);
	if (net_class_of(ret) == NET_CLASS_LINK_LOCAL)
		ret->scope = in6.sin6_scope_id; /* elsewhere the kernel ignores it */
	return 0;
}

int net_address_from_text(const char *text, uint16_t port, struct net_address *ret)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	*ret = (struct net_address){ .family = AF_INET, .port = port };
	if (inet_pton(AF_INET, text, ret->bytes) == 1)
		return 0;
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
		return -EINVAL;
	in6.sin6_port = htons(port);
	return net_address_parse((const struct sockaddr *)&in6, sizeof(in6), ret);
}

socklen_t net_address_sockaddr(const struct net_address *a, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->family == AF_INET) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
		memcpy(&in.sin_addr, a->bytes, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(a->port),
				    .sin6_scope_id = a->scope };
	memcpy(&in6.sin6_addr, a->bytes, 16);
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

socklen_t net_address_sockaddr_as(const struct net_address *a, int family,
				  struct sockaddr_storage *ret)
{
	struct net_address mapped = { .family = AF_INET6, .port = a->port };
	if (a->family == family || family != AF_INET6)
		return net_address_sockaddr(a, ret);
	mapped.bytes[10] = mapped.bytes[11] = 0xff;
	memcpy(mapped.bytes + 12, a->bytes, 4);
	return net_address_sockaddr(&mapped, ret);
}

const char *net_address_host(const struct net_address *a, char *text)
{
	if (!inet_ntop(a->family, a->bytes, text, NET_ADDRESS_TEXT))
		strcpy(text, "?");
	return text;
}

const char *net_address_text(const struct net_address *a, char *text)
{
	char host[INET6_ADDRSTRLEN];
	if (!inet_ntop(a->family, a->bytes, host, sizeof(host)))
		strcpy(host, "?");
	snprintf(text, NET_ADDRESS_TEXT, a->family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
		 a->port);
	return text;
}

bool net_address_same_host(const struct net_address *a, const struct net_address *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
	return a->port == b->port && net_address_same_host(a, b);
}
