/* The compiled filter says for every number and many arguments what the table says. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/syscalls.h"
#include "sandbox/box.h"
#include "sandbox/filter.h"
#include "sandbox/filter_compile.h"
#include "sandbox/filter_rows.h"

/* Classic BPF as seccomp runs it: the few instructions that occur. */
static uint32_t run(const struct filter *p, const struct seccomp_data *d)
{
	uint32_t a = 0;
	for (size_t pc = 0; pc < p->len; pc++) {
		const struct sock_filter *i = &p->insns[pc];
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k + 4 <= sizeof(*d));
			memcpy(&a, (const char *)d + i->k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction %zu has code %#x", pc, i->code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static struct box_plan plan_of(enum policy_net net, bool read_events, bool ptrace)
{
	return (struct box_plan){ .net = net, .read_events = read_events, .allow_ptrace = ptrace };
}

#ifdef __x86_64__
enum { ARCH = (int)AUDIT_ARCH_X86_64 };
#else
enum { ARCH = (int)AUDIT_ARCH_AARCH64 };
#endif

static uint32_t ask(const struct filter *p, uint32_t nr, const uint64_t args[6])
{
	struct seccomp_data d = { .nr = (int)nr, .arch = (uint32_t)ARCH };
	for (unsigned i = 0; i < 6; i++)
		d.args[i] = args[i];
	return run(p, &d);
}

static uint32_t value_of(enum how how, unsigned deny)
{
	if (how == HOW_ALLOW)
		return SECCOMP_RET_ALLOW;
	if (how == HOW_ERRNO)
		return SECCOMP_RET_ERRNO | deny;
	if (how == HOW_KILL)
		return SECCOMP_RET_KILL_PROCESS;
	return how == HOW_UNKNOWN ? SECCOMP_RET_ERRNO | ENOSYS : SECCOMP_RET_USER_NOTIF;
}

/* The table read by other code than the product's. */
static uint32_t expected(const struct syscall_row *row, const uint64_t args[6])
{
	enum how how = row->how;
	unsigned deny = row->deny_errno;
	for (unsigned i = 0; i < SYSCALL_RULES && row->rules[i].set; i++) {
		const struct arg_rule *r = &row->rules[i];
		uint64_t v = args[r->arg];
		if (!r->wide)
			v = (uint32_t)v;
		bool equal = (v & (r->wide ? r->mask : (uint32_t)r->mask)) ==
			     (r->wide ? r->datum : (uint32_t)r->datum);
		if (equal != (r->negate != 0)) {
			how = (enum how)r->how;
			deny = r->deny_errno;
			break;
		}
	}
	return value_of(how, deny);
}

static void every_row_with_many_arguments(void **state)
{
	(void)state;
	struct box_plan plan = plan_of(NET_HOST, true, false);
	const struct filter *p = filter_of(&plan);
	srandom(1);
	for (uint32_t nr = 0; nr < 1024; nr++) {
		const struct syscall_row *row = syscall_find(nr);
		for (unsigned round = 0; round < 64; round++) {
			uint64_t args[6];
			for (unsigned i = 0; i < 6; i++) {
				args[i] = round == 0 ? 0 : (uint64_t)random() % 300;
				if (round > 32)
					args[i] = (uint64_t)random() << 32 | (uint64_t)random();
			}
			/* aim at each rule's own value, with and without high bits */
			if (row && round >= 8 && round < 8 + 2 * SYSCALL_RULES) {
				const struct arg_rule *r = &row->rules[(round - 8) / 2];
				if (r->set)
					args[r->arg] = r->datum | (round % 2 ? 1ull << 32 : 0);
			}
			if (row &&
			    (strcmp(row->name, "open") == 0 || strcmp(row->name, "openat") == 0))
				for (unsigned i = 0; i < 6; i++)
					args[i] &= ~(uint64_t)O_PATH;
			uint32_t want = row ? expected(row, args) : SECCOMP_RET_ERRNO | ENOSYS;
			if (row && strcmp(row->name, "listen") == 0) /* only with handover */
				want = SECCOMP_RET_ALLOW;
			if (ask(p, nr, args) != want)
				fail_msg("%s (%u) round %u: %#x, table says %#x",
					 row ? row->name : "?", nr, round, ask(p, nr, args), want);
			/* and a call that another filter has sent is answered as ours would */
			int deny;
			enum how how = filter_how(&plan, nr, args, &deny);
			assert_int_equal(value_of(how, (unsigned)deny), want);
		}
	}
}

static void other_abis_are_killed(void **state)
{
	(void)state;
	struct box_plan plan = plan_of(NET_NONE, true, false);
	const struct filter *p = filter_of(&plan);
	for (int nr = 0; nr < 500; nr++) {
		struct seccomp_data d = { .nr = nr, .arch = AUDIT_ARCH_I386 };
		assert_int_equal(run(p, &d), SECCOMP_RET_KILL_PROCESS);
	}
#ifdef __x86_64__
	for (uint32_t nr = 0; nr < 600; nr++) { /* x32 */
		uint64_t args[6] = { 0 };
		uint32_t r = ask(p, nr | 0x40000000u, args);
		assert_true(r == SECCOMP_RET_KILL_PROCESS || r == (SECCOMP_RET_ERRNO | ENOSYS));
	}
#endif
}

static uint32_t ask_open(const struct box_plan *plan, uint64_t flags)
{
	uint64_t args[6] = { 0, 0, flags, 0, 0, 0 };
	uint32_t r = ask(filter_of(plan), (uint32_t)syscall_number("openat"), args);
	return r;
}

static void read_opens_leave_the_filter_only_on_request(void **state)
{
	(void)state;
	struct box_plan with = plan_of(NET_NONE, true, false),
			without = plan_of(NET_NONE, false, false);
	assert_int_equal(ask_open(&with, O_RDONLY), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&without, O_RDONLY | O_CLOEXEC), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_open(&without, O_RDONLY | O_DIRECTORY), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_open(&without, O_RDONLY | O_TRUNC), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&without, O_RDONLY | O_CREAT), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&without, O_TMPFILE | O_RDWR), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&without, O_WRONLY), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&without, O_RDWR | 1ull << 40), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&without, O_ACCMODE), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_open(&with, O_PATH), SECCOMP_RET_ALLOW);
}

static void a_private_network_is_not_asked_about_sends(void **state)
{
	(void)state;
	struct box_plan none = plan_of(NET_NONE, true, false);
	uint64_t args[6] = { 0 };
	const struct filter *p = filter_of(&none);
	assert_int_equal(ask(p, (uint32_t)syscall_number("sendmsg"), args), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(p, (uint32_t)syscall_number("bind"), args), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(p, (uint32_t)syscall_number("connect"), args), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask(p, (uint32_t)syscall_number("ptrace"), args),
			 SECCOMP_RET_ERRNO | EPERM);
	/* With an allowlist a datagram's destination is to be opened first. */
	struct box_plan allowlist = plan_of(NET_ALLOWLIST, true, false);
	p = filter_of(&allowlist);
	assert_int_equal(ask(p, (uint32_t)syscall_number("sendmsg"), args), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask(p, (uint32_t)syscall_number("sendto"), args), SECCOMP_RET_ALLOW);
	args[4] = 4096;
	assert_int_equal(ask(p, (uint32_t)syscall_number("sendto"), args), SECCOMP_RET_USER_NOTIF);
	args[3] = MSG_FASTOPEN;
	assert_int_equal(ask(p, (uint32_t)syscall_number("sendto"), args),
			 SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(p, (uint32_t)syscall_number("bind"), args), SECCOMP_RET_ALLOW);
	struct box_plan debug = plan_of(NET_NONE, true, true);
	p = filter_of(&debug);
	assert_int_equal(ask(p, (uint32_t)syscall_number("ptrace"), args), SECCOMP_RET_ALLOW);
}

/* What the build wrote is what the table compiles to now, each at the place its plan looks in. */
static void the_programs_are_those_of_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < FILTER_SHAPES; i++) {
		const struct box_plan plan = filter_plan(i);
		struct sock_filter *insns = NULL;
		size_t count = 0;
		assert_int_equal(filter_shape(&plan), i);
		assert_int_equal(filter_compile(&plan, &insns, &count, NULL), 0);
		assert_int_equal(filter_of(&plan)->len, count);
		assert_memory_equal(filter_of(&plan)->insns, insns, count * sizeof(*insns));
		free(insns);
	}
}

/* What the program says, and that a call which another filter has sent is answered the same. */
static uint32_t ask_socket(const struct box_plan *plan, const char *call, uint64_t second,
			   uint64_t third)
{
	const uint64_t args[6] = { 3, second, third };
	uint32_t nr = (uint32_t)syscall_number(call), says = ask(filter_of(plan), nr, args);
	int deny;
	enum how how = filter_how(plan, nr, args, &deny);
	assert_int_equal(value_of(how, (unsigned)deny), says);
	return says;
}

static void sockets_of_the_host_lead_nowhere(void **state)
{
	(void)state;
	struct policy_pattern host = { .name = NULL };
	const struct policy policy = { .handover = { .items = &host, .count = 1 } };
	struct box_plan plan = plan_of(NET_ALLOWLIST, true, false);
	const uint32_t no = SECCOMP_RET_ERRNO | ENOPROTOOPT, high = UINT32_C(1) << 31;
	const uint64_t above = UINT64_C(1) << 32;
	plan.policy = &policy;
	const struct box_plan *p = &plan;
	assert_int_equal(ask_socket(p, "bind", 0, 0), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_socket(p, "listen", 0, 0), SECCOMP_RET_USER_NOTIF);
	assert_int_equal(ask_socket(p, "setsockopt", SOL_SOCKET, SO_KEEPALIVE), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_socket(p, "setsockopt", IPPROTO_TCP, TCP_NODELAY), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_socket(p, "setsockopt", IPPROTO_UDP, 103), SECCOMP_RET_ALLOW);
	/* the kernel looks at the low half */
	assert_int_equal(ask_socket(p, "setsockopt", above | IPPROTO_TCP, above | TCP_NODELAY),
			 SECCOMP_RET_ALLOW);
	static const struct {
		uint32_t level, name;
	} refused[] = {
		{ SOL_SOCKET, SO_BINDTODEVICE },
		{ SOL_SOCKET, SO_MARK },
		{ SOL_SOCKET, 62 },
		{ IPPROTO_IP, IP_OPTIONS },
		{ IPPROTO_IP, IP_UNICAST_IF },
		{ IPPROTO_IP, IP_TRANSPARENT },
		{ IPPROTO_IPV6, IPV6_RTHDR },
		{ IPPROTO_IPV6, IPV6_PKTINFO },
		{ IPPROTO_IPV6, IPV6_ADDRFORM },
		{ IPPROTO_TCP, TCP_REPAIR },
		{ IPPROTO_TCP, TCP_ULP },
		{ IPPROTO_TCP, TCP_FASTOPEN_CONNECT },
		{ IPPROTO_RAW, 1 },
		{ 65535, 0 },
	};
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(ask_socket(p, "setsockopt", refused[i].level, refused[i].name),
				 no);
		assert_int_equal(ask_socket(p, "setsockopt", above | refused[i].level,
					    above | refused[i].name),
				 no);
	}
	assert_int_equal(ask_socket(p, "setsockopt", high | IPPROTO_TCP, TCP_NODELAY), no);
	assert_int_equal(ask_socket(p, "ioctl", 0x8912, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask_socket(p, "ioctl", above | 0x894c, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask_socket(p, "ioctl", 0x8b01, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask_socket(p, "ioctl", 0x8905, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_socket(p, "ioctl", TIOCSTI, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask_socket(p, "ioctl", FIONREAD, 0), SECCOMP_RET_ALLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_programs_are_those_of_the_table),
		cmocka_unit_test(every_row_with_many_arguments),
		cmocka_unit_test(other_abis_are_killed),
		cmocka_unit_test(read_opens_leave_the_filter_only_on_request),
		cmocka_unit_test(a_private_network_is_not_asked_about_sends),
		cmocka_unit_test(sockets_of_the_host_lead_nowhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
