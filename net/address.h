/* An internet address and port as a value: what is decided, listened at, dialled and remembered. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_address {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t unused;
	uint16_t port;     /* host order; 0 none */
	uint32_t scope;    /* interface of a link-local IPv6 address; 0 none */
	uint8_t bytes[16]; /* network order; IPv4 in the first four, the rest 0 */
};

enum { NET_ADDRESS_TEXT = 64 }; /* "[v6%scope]:port" with its NUL */

/* What an address is for, whoever it belongs to. The first that holds, in this order. */
enum net_class {
	NET_CLASS_UNSPECIFIED, /* 0.0.0.0/8, :: */
	NET_CLASS_LOOPBACK,
	NET_CLASS_METADATA,   /* where clouds hand out credentials */
	NET_CLASS_LINK_LOCAL, /* 169.254/16, fe80::/10 */
	NET_CLASS_MULTICAST,  /* and broadcast, and what is reserved */
	NET_CLASS_PRIVATE,    /* RFC 1918, RFC 6598, fc00::/7, site-local, benchmarks */
	NET_CLASS_PUBLIC,
	NET_CLASS_COUNT,
};
const char *net_class_name(enum net_class c);
/* IPv6 notations that carry an IPv4 address (mapped, NAT64, 6to4) are classed by it. */
enum net_class net_class_of(const struct net_address *a);

/*
 * From a socket address of @len bytes. IPv4-mapped IPv6 becomes IPv4, so that no notation is another
 * destination. -EINVAL too short, -EAFNOSUPPORT another family.
 */
int net_address_parse(const struct sockaddr *sa, size_t len, struct net_address *ret);
/* From text: a literal as inet_pton(3) takes it, without brackets. -EINVAL. */
int net_address_from_text(const char *text, uint16_t port, struct net_address *ret);
/* Length of the socket address written to @ret. */
socklen_t net_address_sockaddr(const struct net_address *a, struct sockaddr_storage *ret);
/* As a socket of @family has it: an IPv4 address of an AF_INET6 socket is mapped. */
socklen_t net_address_sockaddr_as(const struct net_address *a, int family,
				  struct sockaddr_storage *ret);
/* The literal alone, or with brackets where needed and its port. @text has NET_ADDRESS_TEXT bytes. */
const char *net_address_host(const struct net_address *a, char *text);
const char *net_address_text(const struct net_address *a, char *text);
/* Same family, address and scope; ports are compared by net_address_equal only. */
bool net_address_same_host(const struct net_address *a, const struct net_address *b);
bool net_address_equal(const struct net_address *a, const struct net_address *b);
