/*
 * DNS messages, as bytes and as values. Pure: no system call, no allocation. Any bytes are
 * safe to parse; names that are no host names are not understood on purpose, since no policy
 * can speak of them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

enum {
	DNS_NAME_SIZE = 256, /* text with its NUL */
	DNS_UDP_PLAIN = 512, /* an answer without EDNS */
	DNS_UDP_MAX = 1232,  /* an answer with it: fits every path */
	DNS_MESSAGE_MAX = 65535,
	DNS_QUERY_MAX = 1024, /* longer ones are refused */
	DNS_ADDRESSES_MAX = 16,
	DNS_CHAIN_MAX = 8, /* CNAMEs followed */
	DNS_EDE_PROHIBITED = 18,
	DNS_EDE_FILTERED = 17,
	DNS_EDE_NETWORK = 23,
	DNS_EDE_NONE = -1,
};
enum dns_type {
	DNS_A = 1,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};
enum dns_rcode {
	DNS_NOERROR,
	DNS_FORMERR,
	DNS_SERVFAIL,
	DNS_NXDOMAIN,
	DNS_NOTIMP,
	DNS_REFUSED,
	DNS_BADVERS = 16, /* an extended one: its low bits stand in the header, 1 in OPT */
};

/* One question, and what its answer must repeat. */
struct dns_query {
	uint16_t id, type;
	uint16_t udp_size; /* of the answer over UDP; at least DNS_UDP_PLAIN */
	bool recurse, check_disabled, edns;
	uint16_t question_len;               /* 0: the question was not understood */
	uint8_t question[DNS_NAME_SIZE + 4]; /* as it came, its case included */
	char name[DNS_NAME_SIZE];            /* lower case, without its last dot; "" the root */
};

/*
 * 0: @ret is a question to answer. Positive: the rcode to answer with (dns_error; @ret has what
 * that needs). -EBADMSG: too short to answer, or an answer itself: drop it.
 */
int dns_parse_query(const uint8_t *bytes, size_t len, struct dns_query *ret);

/* What an answer says of addresses. */
struct dns_answer {
	unsigned rcode;
	uint32_t ttl_s; /* least of all records used */
	unsigned chain_count;
	char chain[DNS_CHAIN_MAX][DNS_NAME_SIZE]; /* targets of CNAMEs, in order */
	unsigned address_count;
	struct net_address addresses[DNS_ADDRESSES_MAX];
	size_t records_end; /* offset behind the authority section */
	uint16_t answer_count, authority_count;
};

/* Walks an answer to @query (its name and type). 0, -EBADMSG. Addresses beyond the room are left out. */
int dns_parse_answer(const uint8_t *bytes, size_t len, const struct dns_query *query,
		     struct dns_answer *ret);

/*
 * Writers: length written to @out, at most @size (at least DNS_UDP_PLAIN); what does not fit
 * is left out and the answer marked truncated. @ede: an extended error, DNS_EDE_NONE none.
 */
size_t dns_error(const struct dns_query *query, unsigned rcode, int ede, const char *ede_text,
		 uint8_t *out, size_t size);
/* From the chain and the addresses of @answer. */
size_t dns_write_addresses(const struct dns_query *query, const struct dns_answer *answer,
			   uint8_t *out, size_t size);
size_t dns_write_ptr(const struct dns_query *query, const char *name, uint8_t *out, size_t size);
/* The answer as it came, under the question that was asked, without its additional section. */
size_t dns_write_raw(const struct dns_query *query, const struct dns_answer *answer,
		     const uint8_t *bytes, size_t len, uint8_t *out, size_t size);

/* The address that a name below in-addr.arpa or ip6.arpa stands for; false for any other name. */
bool dns_reverse(const char *name, struct net_address *ret);
