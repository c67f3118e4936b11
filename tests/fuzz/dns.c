/*
 * DNS messages. The first byte says what the rest is: a question, or an answer to a fixed one.
 * What is understood must be written so that it is understood again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/dns.h"

static const uint8_t fixed[] = "\x12\x34\1\0\0\1\0\0\0\0\0\1\3www\7example\3com\0\0\1\0\1"
			       "\0\0\x29\x10\0\0\0\0\0\0";

static void need(int good)
{
	if (!good)
		abort();
}

static void question(const uint8_t *bytes, size_t len)
{
	struct dns_query q, again;
	uint8_t out[DNS_UDP_PLAIN];
	struct net_address a;
	int rcode = dns_parse_query(bytes, len, &q);
	if (rcode < 0)
		return;
	need(strlen(q.name) < DNS_NAME_SIZE && q.udp_size >= DNS_UDP_PLAIN &&
	     q.udp_size <= DNS_UDP_MAX);
	size_t n = dns_error(&q, DNS_NXDOMAIN, DNS_EDE_PROHIBITED, "why", out, sizeof(out));
	need(n >= 12 && n <= sizeof(out) && memcmp(out, bytes, 2) == 0);
	out[2] &= 0x7f; /* the answer as a question: the same one */
	if (rcode == 0)
		need(dns_parse_query(out, n, &again) == 0 && strcmp(again.name, q.name) == 0 &&
		     again.type == q.type);
	dns_reverse(q.name, &a);
	need(dns_write_ptr(&q, "a.example", out, sizeof(out)) <= sizeof(out));
}

static void answer(const uint8_t *bytes, size_t len)
{
	static uint8_t out[DNS_MESSAGE_MAX];
	struct dns_query q;
	struct dns_answer a, again;
	need(dns_parse_query(fixed, sizeof(fixed), &q) == 0);
	if (len && bytes[0] & 1) {
		q.type = DNS_AAAA;
		q.question[q.question_len - 3] = DNS_AAAA;
	}
	if (dns_parse_answer(bytes, len, &q, &a) < 0)
		return;
	need(a.address_count <= DNS_ADDRESSES_MAX && a.chain_count <= DNS_CHAIN_MAX &&
	     a.records_end <= len);
	size_t n = dns_write_raw(&q, &a, bytes, len, out, DNS_MESSAGE_MAX);
	need(n >= 12 && dns_parse_answer(out, n, &q, &again) == 0);
	need(dns_write_raw(&q, &a, bytes, len, out, DNS_UDP_PLAIN) <= DNS_UDP_PLAIN);
	need(dns_write_addresses(&q, &a, out, DNS_UDP_PLAIN) <= DNS_UDP_PLAIN);
	n = dns_write_addresses(&q, &a, out, DNS_MESSAGE_MAX);
	need(dns_parse_answer(out, n, &q, &again) == 0 && again.address_count == a.address_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		question(data + 1, size - 1);
	else
		answer(data + 1, size - 1);
	return 0;
}
