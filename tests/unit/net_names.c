/* Addresses by class and notation; what names led to; packets of the broker. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/broker.h"
#include "net/names.h"

static const uint64_t second_ns = 1000000000u;

static struct net_address at(const char *text)
{
	struct net_address a;
	assert_int_equal(net_address_from_text(text, 1, &a), 0);
	return a;
}

static void classes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum net_class class;
	} cases[] = {
		{ "0.0.0.0", NET_CLASS_UNSPECIFIED },
		{ "::", NET_CLASS_UNSPECIFIED },
		{ "127.0.0.1", NET_CLASS_LOOPBACK },
		{ "127.255.1.2", NET_CLASS_LOOPBACK },
		{ "::1", NET_CLASS_LOOPBACK },
		{ "::ffff:127.0.0.1", NET_CLASS_LOOPBACK },
		{ "169.254.169.254", NET_CLASS_METADATA },
		{ "169.254.1.1", NET_CLASS_LINK_LOCAL },
		{ "fd00:ec2::254", NET_CLASS_METADATA },
		{ "fe80::1", NET_CLASS_LINK_LOCAL },
		{ "100.100.100.200", NET_CLASS_METADATA },
		{ "168.63.129.16", NET_CLASS_METADATA },
		{ "10.1.2.3", NET_CLASS_PRIVATE },
		{ "172.31.255.255", NET_CLASS_PRIVATE },
		{ "172.32.0.0", NET_CLASS_PUBLIC },
		{ "192.168.0.1", NET_CLASS_PRIVATE },
		{ "100.64.0.1", NET_CLASS_PRIVATE },
		{ "fd12::1", NET_CLASS_PRIVATE },
		{ "224.0.0.1", NET_CLASS_MULTICAST },
		{ "255.255.255.255", NET_CLASS_MULTICAST },
		{ "ff02::1", NET_CLASS_MULTICAST },
		{ "8.8.8.8", NET_CLASS_PUBLIC },
		{ "2001:4860::1", NET_CLASS_PUBLIC },
		{ "64:ff9b::a00:1", NET_CLASS_PRIVATE },
		{ "64:ff9b::a9fe:a9fe", NET_CLASS_METADATA },
		{ "2002:7f00:1::", NET_CLASS_LOOPBACK },
		{ "64:ff9b::808:808", NET_CLASS_PUBLIC },
		{ "::10.0.0.1", NET_CLASS_PRIVATE },
		{ "::ffff:0:10.0.0.1", NET_CLASS_PRIVATE },
		{ "2002:808:808::1", NET_CLASS_PUBLIC },
		{ "2002::1", NET_CLASS_UNSPECIFIED },
		/* the prefixes that a site can choose */
		{ "64:ff9b:1::10.0.0.5", NET_CLASS_PRIVATE },
		{ "64:ff9b:1::8.8.8.8", NET_CLASS_PUBLIC },
		{ "64:ff9b:1:a00:0:500::", NET_CLASS_PRIVATE },
		{ "64:ff9b:1:a00:0:500:808:808", NET_CLASS_PRIVATE },
		{ "64:ff9b:1:a:0:5:808:808", NET_CLASS_PRIVATE },
		{ "64:ff9b:1:0:7f:0:100:808", NET_CLASS_LOOPBACK },
		{ "64:ff9b:1:808:8:800::", NET_CLASS_PUBLIC },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_address a = at(cases[i].text);
		if (net_class_of(&a) != cases[i].class)
			print_message("# %s: %s\n", cases[i].text,
				      net_class_name(net_class_of(&a)));
		assert_int_equal(net_class_of(&a), cases[i].class);
	}
}

static void socket_addresses_are_read_as_the_kernel_reads_them(void **state)
{
	(void)state;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(80),
				    .sin6_scope_id = 7 };
	struct net_address a;
	char text[NET_ADDRESS_TEXT];
	in6.sin6_addr.s6_addr[0] = 0xfe;
	in6.sin6_addr.s6_addr[1] = 0x80;
	assert_int_equal(net_address_parse((struct sockaddr *)&in6, sizeof(in6), &a), 0);
	assert_int_equal(a.scope, 7);
	assert_int_equal(net_address_parse((struct sockaddr *)&in6, 24, &a),
			 0); /* RFC 2133: no scope */
	assert_int_equal(a.scope, 0);
	assert_int_equal(net_address_parse((struct sockaddr *)&in6, 23, &a), -EINVAL);
	in6.sin6_addr =
		(struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 } };
	assert_int_equal(net_address_parse((struct sockaddr *)&in6, sizeof(in6), &a), 0);
	assert_string_equal(net_address_text(&a, text), "10.0.0.1:80");
	struct sockaddr_storage sa;
	assert_int_equal(net_address_sockaddr(&a, &sa), sizeof(struct sockaddr_in));
	struct net_address b;
	assert_int_equal(net_address_parse((struct sockaddr *)&sa, sizeof(sa), &b), 0);
	assert_true(net_address_equal(&a, &b));
	assert_int_equal(net_address_parse((struct sockaddr *)&sa, 15, &b), -EINVAL);
	assert_int_equal(net_address_parse((struct sockaddr *)&sa, 1, &b), -EINVAL);
	sa.ss_family = AF_UNIX;
	assert_int_equal(net_address_parse((struct sockaddr *)&sa, sizeof(sa), &b), -EAFNOSUPPORT);
}

static void the_last_name_comes_first(void **state)
{
	(void)state;
	struct names *n = names_new();
	struct net_address a = at("203.0.113.10"), b = at("203.0.113.11");
	const char *found[NAMES_SHARED_MAX];
	a.port = 443; /* does not matter */
	names_learn(n, "one.example", &a, 10, 0);
	names_learn(n, "two.example", &a, 1000, 0);
	assert_int_equal(names_of(n, &a, 0, found, 8), 2);
	assert_string_equal(found[0], "two.example");
	names_learn(n, "ONE.example", &a, 10, second_ns);
	assert_int_equal(names_of(n, &a, 0, found, 8), 2);
	assert_string_equal(found[0], "one.example");
	assert_int_equal(names_of(n, &a, 0, found, 1), 1);
	assert_string_equal(found[0], "one.example");
	assert_int_equal(names_of(n, &b, 0, found, 8), 0);
	/* Held for a while beyond its time, then forgotten. */
	assert_int_equal(names_of(n, &a, (NAMES_HOLD_S + 5) * second_ns, found, 8), 2);
	assert_int_equal(names_of(n, &a, (NAMES_HOLD_S + 100) * second_ns, found, 8), 1);
	assert_string_equal(found[0], "two.example");
	assert_int_equal(names_of(n, &a, (NAMES_HOLD_S + 2000) * second_ns, found, 8), 0);
	names_free(n);
}

static void the_memory_is_bounded(void **state)
{
	(void)state;
	struct names *n = names_new();
	const char *found[NAMES_SHARED_MAX];
	struct net_address fixed = at("192.0.2.1");
	names_learn_forever(n, "host", &fixed);
	for (unsigned i = 0; i < 3 * NAMES_MAX; i++) {
		struct net_address a = { .family = AF_INET,
					 .bytes = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
						    (uint8_t)i } };
		char name[64];
		snprintf(name, sizeof(name), "n%u.example", i);
		names_learn(n, name, &a, i, 0);
		assert_int_equal(names_of(n, &a, 0, found, 1), 1);
		assert_string_equal(found[0], name);
	}
	assert_int_equal(names_of(n, &fixed, 0, found, 1), 1); /* for good */
	struct net_address first = { .family = AF_INET, .bytes = { 10 } };
	assert_int_equal(names_of(n, &first, 0, found, 1), 0);
	for (unsigned i = 0; i < 2 * NAMES_SHARED_MAX; i++) {
		char name[64];
		snprintf(name, sizeof(name), "shared%u.example", i);
		names_learn(n, name, &first, 1, 0);
	}
	assert_int_equal(names_of(n, &first, 0, found, 100), NAMES_SHARED_MAX);
	assert_string_equal(found[0], "shared31.example");
	names_free(n);
}

static void a_hosts_file_is_read(void **state)
{
	(void)state;
	struct names *n = names_new();
	const char *found[4];
	struct net_address list[4];
	names_load_hosts(n, "# comment\n127.0.0.1\tlocalhost lo # more\n\n10.0.0.5 db.internal "
			    "db\r\nnonsense x\n"
			    "::1 localhost\n10.0.0.6");
	struct net_address a = at("10.0.0.5");
	assert_int_equal(names_of(n, &a, UINT64_MAX - 1, found, 4), 2);
	assert_string_equal(found[0], "db");
	assert_int_equal(names_fixed(n, "LOCALHOST", AF_INET, list, 4), 1);
	assert_int_equal(names_fixed(n, "localhost", AF_INET6, list, 4), 1);
	assert_int_equal(names_fixed(n, "x", AF_INET, list, 4), 0);
	names_free(n);
}

static void packets_carry_descriptors_and_text(void **state)
{
	(void)state;
	static struct broker_packet p;
	int pair[2], pipe_fds[2];
	char byte = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(pipe(pipe_fds), 0);
	struct broker_message m = { .type = BROKER_OPEN, .id = 7, .address = at("10.0.0.1") };
	assert_int_equal(broker_send(pair[0], &m, "name", 4, &pipe_fds[1], 1), 0);
	assert_int_equal(broker_receive(pair[1], 0, &p), 1);
	assert_int_equal(p.m.id, 7);
	assert_string_equal(p.text, "name");
	assert_int_equal(p.fd_count, 1);
	assert_int_equal(write(p.fds[0], "x", 1), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	broker_packet_finish(&p);
	/* What is not well formed is no packet, and its descriptors are closed. */
	close(pipe_fds[1]);
	static char large[BROKER_TEXT_MAX];
	assert_int_equal(broker_send(pair[0], &m, large, sizeof(large), NULL, 0), -EMSGSIZE);
	m.type = BROKER_TYPE_COUNT;
	assert_int_equal(broker_send(pair[0], &m, NULL, 0, NULL, 0), 0);
	assert_int_equal(broker_receive(pair[1], 0, &p), -EPROTO);
	assert_int_equal(send(pair[0], "short", 5, 0), 5);
	assert_int_equal(broker_receive(pair[1], 0, &p), -EPROTO);
	assert_int_equal(broker_receive(pair[1], MSG_DONTWAIT, &p), -EAGAIN);
	close(pair[0]);
	assert_int_equal(broker_receive(pair[1], 0, &p), 0);
	close(pair[1]);
	close(pipe_fds[0]);
}

/* Whoever gives up has said why, though it leaves what we said unread. */
static void last_words_are_heard(void **state)
{
	(void)state;
	static struct broker_packet p;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	struct broker_message m = { .type = BROKER_SETUP };
	assert_int_equal(broker_send(pair[0], &m, NULL, 0, NULL, 0), 0);
	m = (struct broker_message){ .type = BROKER_UNABLE, .error = EADDRINUSE };
	assert_int_equal(broker_send(pair[1], &m, "why", 3, NULL, 0), 0);
	close(pair[1]);
	assert_int_equal(broker_receive(pair[0], 0, &p), 1);
	assert_string_equal(p.text, "why");
	assert_int_equal(broker_receive(pair[0], 0, &p), 0);
	close(pair[0]);
}

static void a_head_that_lies_is_not_valid(void **state)
{
	(void)state;
	struct broker_message m = { .type = BROKER_OPEN, .text_len = 5 };
	assert_true(broker_valid(&m, sizeof(m) + 5));
	assert_false(broker_valid(&m, sizeof(m) + 4));
	m.text_len = UINT32_MAX;
	assert_false(broker_valid(&m, sizeof(m) - 1));
	m = (struct broker_message){ .type = BROKER_OPEN,
				     .address_count = BROKER_ADDRESSES_MAX + 1 };
	assert_false(broker_valid(&m, sizeof(m)));
	m = (struct broker_message){ .type = BROKER_ADDRESSES, .address_count = 1 };
	assert_false(broker_valid(&m, sizeof(m))); /* an address of no family */
	m = (struct broker_message){ .type = BROKER_OPEN, .address.family = AF_UNIX };
	assert_false(broker_valid(&m, sizeof(m)));
	m = (struct broker_message){ .type = BROKER_CLOSED, .error = -1 };
	assert_false(broker_valid(&m, sizeof(m)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes),
		cmocka_unit_test(socket_addresses_are_read_as_the_kernel_reads_them),
		cmocka_unit_test(the_last_name_comes_first),
		cmocka_unit_test(the_memory_is_bounded),
		cmocka_unit_test(a_hosts_file_is_read),
		cmocka_unit_test(packets_carry_descriptors_and_text),
		cmocka_unit_test(last_words_are_heard),
		cmocka_unit_test(a_head_that_lies_is_not_valid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
