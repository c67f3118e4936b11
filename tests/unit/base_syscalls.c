#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/kernel.h"
#include "base/syscalls.h"

/* What the preprocessor finds in the headers: { number, "name" }, made by the Makefile. */
static const struct {
	uint32_t nr;
	const char *name;
} header_calls[] = {
#include "header_calls.inc"
};

static void every_header_number_has_its_row(void **state)
{
	(void)state;
	assert_true(sizeof(header_calls) / sizeof(header_calls[0]) > 250);
	for (size_t i = 0; i < sizeof(header_calls) / sizeof(header_calls[0]); i++) {
		const struct syscall_row *row = syscall_find(header_calls[i].nr);
		if (!row)
			fail_msg("no row for %s", header_calls[i].name);
		assert_string_equal(row->name, header_calls[i].name);
	}
}

static void every_row_is_whole(void **state)
{
	(void)state;
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		if (!row)
			continue;
		assert_int_equal(syscall_number(row->name), nr);
		if (strlen(row->note) < 10)
			fail_msg("%s has no note", row->name);
		if (row->how <= HOW_UNKNOWN || row->how >= HOW_COUNT)
			fail_msg("%s is not carried out", row->name);
		if ((row->how == HOW_ERRNO || row->host_sockets) != (row->deny_errno != 0))
			fail_msg("%s: errno and how disagree", row->name);
		bool ended = false;
		for (size_t i = 0; i < SYSCALL_ARGS; i++) {
			if (row->args[i] >= ARG_KIND_COUNT)
				fail_msg("%s has an argument of no kind", row->name);
			if (ended && row->args[i] != ARG_NONE)
				fail_msg("%s has a hole in its arguments", row->name);
			ended = row->args[i] == ARG_NONE;
		}
	}
}

static void decided_rows_say_what_they_are(void **state)
{
	(void)state;
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		if (!row)
			continue;
		bool decided = row->how == HOW_EMULATE || row->how == HOW_OPEN ||
			       row->how == HOW_EXEC || row->how == HOW_CONNECT ||
			       row->how == HOW_SEND;
		if (decided && (row->type == ACTION_NONE || row->op == OP_NONE))
			fail_msg("%s is no action", row->name);
		if (!decided && (row->type != ACTION_NONE || row->undo != UNDO_NONE))
			fail_msg("%s is an action that nobody decides", row->name);
		if ((row->how == HOW_EMULATE || row->how == HOW_OPEN) && row->undo == UNDO_NONE)
			fail_msg("%s cannot be undone", row->name);
	}
}

/* The decoder takes the size from the argument behind, and the directory from the one before. */
static void argument_kinds_stand_in_order(void **state)
{
	(void)state;
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		if (!row)
			continue;
		for (size_t i = 0; i < SYSCALL_ARGS; i++) {
			uint8_t next = i + 1 < SYSCALL_ARGS ? row->args[i + 1] : ARG_NONE;
			if (row->args[i] == ARG_DIRFD && next != ARG_PATH)
				fail_msg("%s: a directory without a path", row->name);
			if ((row->args[i] == ARG_OPENHOW || row->args[i] == ARG_XATTR_ARGS ||
			     row->args[i] == ARG_XATTR_VALUE || row->args[i] == ARG_SOCKADDR ||
			     row->args[i] == ARG_BYTES) &&
			    next != ARG_SIZE)
				fail_msg("%s: bytes without a size", row->name);
		}
	}
}

static void rules_are_well_formed(void **state)
{
	(void)state;
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		if (!row)
			continue;
		bool ended = false;
		for (size_t i = 0; i < SYSCALL_RULES; i++) {
			const struct arg_rule *rule = &row->rules[i];
			if (!rule->set) {
				ended = true;
				continue;
			}
			if (ended)
				fail_msg("%s has a hole in its rules", row->name);
			if (rule->arg >= SYSCALL_ARGS || row->args[rule->arg] == ARG_NONE)
				fail_msg("%s tests an argument it has not", row->name);
			if (rule->how <= HOW_UNKNOWN || rule->how >= HOW_COUNT ||
			    (rule->how == HOW_ERRNO) != (rule->deny_errno != 0))
				fail_msg("%s has a rule that does nothing", row->name);
			if ((rule->datum & ~rule->mask) != 0)
				fail_msg("%s has a rule that never holds", row->name);
			if (!rule->wide && (rule->mask >> 32) != 0)
				fail_msg("%s has a 32-bit rule with a wide mask", row->name);
		}
	}
}

static enum how how_of(const char *name, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
		       uint64_t a4, int *ret_errno)
{
	const uint64_t args[SYSCALL_ARGS] = { a0, a1, a2, a3, a4, 0 };
	int nr = syscall_number(name);
	if (nr < 0)
		fail_msg("no call is named %s", name);
	return syscall_how(syscall_find((uint32_t)nr), args, ret_errno);
}

struct expectation {
	const char *name;
	uint64_t args[5];
	enum how how;
	int deny_errno;
};

#define HIGH (UINT64_C(1) << 32)

/* clang-format off */
static const struct expectation expectations[] = {
	{ "openat", { 0 }, HOW_OPEN, 0 },
	{ "unlinkat", { 0 }, HOW_EMULATE, 0 },
	{ "execve", { 0 }, HOW_EXEC, 0 },
	{ "close", { 0 }, HOW_ALLOW, 0 },
	{ "clone3", { 0 }, HOW_ERRNO, ENOSYS },
	{ "io_uring_setup", { 0 }, HOW_ERRNO, ENOSYS },
	{ "clone", { SIGCHLD }, HOW_ALLOW, 0 },
	{ "clone", { CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD }, HOW_ALLOW, 0 },
	{ "clone", { CLONE_NEWUSER | SIGCHLD }, HOW_ERRNO, EPERM },
	{ "clone", { CLONE_NEWNS | HIGH }, HOW_ERRNO, EPERM },
	{ "clone", { CLONE_NEWCGROUP }, HOW_ERRNO, EPERM },
	{ "unshare", { CLONE_FILES | CLONE_FS }, HOW_ALLOW, 0 },
	{ "unshare", { CLONE_NEWTIME }, HOW_ERRNO, EPERM },
	{ "unshare", { CLONE_NEWUSER | CLONE_NEWNS }, HOW_ERRNO, EPERM },
	{ "mknodat", { 0, 0, S_IFIFO | 0600 }, HOW_EMULATE, 0 },
	{ "mknodat", { 0, 0, S_IFCHR | 0600 }, HOW_ERRNO, EPERM },
	{ "mknodat", { 0, 0, S_IFBLK | HIGH }, HOW_ERRNO, EPERM },
	{ "utimensat", { 3, 0 }, HOW_EMULATE, 0 },
	{ "fchmod", { 3, 0600 }, HOW_EMULATE, 0 },
	{ "fchown", { 3 }, HOW_EMULATE, 0 },
	{ "fremovexattr", { 3 }, HOW_EMULATE, 0 },
	{ "ioctl", { 0, TIOCSTI }, HOW_ERRNO, EPERM },
	{ "ioctl", { 0, TIOCSTI | HIGH }, HOW_ERRNO, EPERM },
	{ "ioctl", { 0, TIOCGWINSZ }, HOW_ALLOW, 0 },
	{ "socket", { AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC }, HOW_ALLOW, 0 },
	{ "socket", { AF_UNIX, SOCK_SEQPACKET }, HOW_ALLOW, 0 },
	{ "socket", { AF_INET, SOCK_STREAM, 6 }, HOW_ALLOW, 0 },
	{ "socket", { AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 17 }, HOW_ALLOW, 0 },
	{ "socket", { AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 }, HOW_ALLOW, 0 },
	{ "socket", { AF_INET, SOCK_RAW, 1 }, HOW_ERRNO, EPERM },
	{ "socket", { AF_INET, SOCK_RAW | SOCK_CLOEXEC | HIGH, 1 }, HOW_ERRNO, EPERM },
	{ "socket", { AF_INET, SOCK_SEQPACKET, 0 }, HOW_ERRNO, EPERM },
	{ "socket", { AF_INET, SOCK_DCCP, 0 }, HOW_ERRNO, EPERM },
	{ "socket", { AF_INET, SOCK_STREAM, IPPROTO_SCTP }, HOW_ERRNO, EPROTONOSUPPORT },
	{ "socket", { AF_INET, SOCK_DGRAM, 115 }, HOW_ERRNO, EPROTONOSUPPORT },
	{ "socket", { AF_INET, SOCK_STREAM, IPPROTO_MPTCP }, HOW_ERRNO, EPROTONOSUPPORT },
	{ "socket", { AF_NETLINK, SOCK_RAW, 0 }, HOW_ALLOW, 0 },
	{ "socket", { AF_PACKET, SOCK_RAW, 3 }, HOW_ERRNO, EAFNOSUPPORT },
	{ "socket", { AF_VSOCK, SOCK_STREAM }, HOW_ERRNO, EAFNOSUPPORT },
	{ "socket", { AF_ALG, SOCK_SEQPACKET }, HOW_ERRNO, EAFNOSUPPORT },
	{ "socket", { AF_VSOCK | HIGH, SOCK_STREAM }, HOW_ERRNO, EAFNOSUPPORT },
	{ "socketpair", { AF_UNIX, SOCK_STREAM }, HOW_ALLOW, 0 },
	{ "socketpair", { AF_TIPC, SOCK_STREAM }, HOW_ERRNO, EAFNOSUPPORT },
	{ "sendto", { 3, 1, 1, 0, 0 }, HOW_ALLOW, 0 },
	{ "sendto", { 3, 1, 1, 0, HIGH }, HOW_SEND, 0 },
	{ "sendto", { 3, 1, 1, MSG_FASTOPEN, 0 }, HOW_ERRNO, EPERM },
	{ "sendmsg", { 3, 1, MSG_FASTOPEN | MSG_NOSIGNAL }, HOW_ERRNO, EPERM },
	{ "sendmmsg", { 3, 1, 1, MSG_FASTOPEN }, HOW_ERRNO, EPERM },
	{ "sendmmsg", { 3, 1, 1, 0 }, HOW_SEND, 0 },
	{ "prctl", { PR_SET_NAME }, HOW_ALLOW, 0 },
	{ "prctl", { PR_SET_MM }, HOW_ERRNO, EPERM },
	{ "prctl", { PR_CAPBSET_DROP }, HOW_CREDS, 0 },
	{ "personality", { 0xffffffff }, HOW_ALLOW, 0 },
	{ "personality", { 0x0400000 }, HOW_ERRNO, EPERM },
	{ "personality", { 0x0040000 }, HOW_ALLOW, 0 },
	{ "seccomp", { 1, SECCOMP_FILTER_FLAG_NEW_LISTENER }, HOW_ERRNO, EPERM },
	{ "seccomp", { 1, SECCOMP_FILTER_FLAG_TSYNC }, HOW_ALLOW, 0 },
	{ "setuid", { 0 }, HOW_CREDS, 0 },
	{ "fsopen", { 0 }, HOW_ERRNO, ENOSYS },
	{ "mount", { 0 }, HOW_ERRNO, EPERM },
	{ "name_to_handle_at", { 0 }, HOW_ERRNO, EOPNOTSUPP },
	{ "file_setattr", { 0 }, HOW_ERRNO, ENOSYS },
};
/* clang-format on */

static void registers_decide_as_designed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
		const struct expectation *x = &expectations[i];
		int deny_errno = -1;
		enum how how = how_of(x->name, x->args[0], x->args[1], x->args[2], x->args[3],
				      x->args[4], &deny_errno);
		if (how != x->how || deny_errno != x->deny_errno)
			fail_msg("case %zu: %s is %s %d, expected %s %d", i, x->name, how_name(how),
				 deny_errno, how_name(x->how), x->deny_errno);
	}
}

static void unknown_numbers_have_no_row(void **state)
{
	(void)state;
	assert_null(syscall_find(syscall_count()));
	assert_null(syscall_find(UINT32_MAX));
	assert_null(syscall_find(0x40000000)); /* x32 */
	assert_int_equal(syscall_number("no_such_call"), -1);
	assert_int_equal(syscall_number(""), -1);
}

static void every_enumerator_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HOW_COUNT; i++)
		assert_string_not_equal(how_name((enum how)i), "invalid");
	for (unsigned i = 0; i < UNDO_COUNT; i++)
		assert_string_not_equal(undo_name((enum undo)i), "invalid");
	for (unsigned i = 0; i < ARG_KIND_COUNT; i++)
		assert_string_not_equal(arg_name((enum arg)i), "invalid");
	for (unsigned i = 0; i < ACTION_TYPE_COUNT; i++)
		assert_string_not_equal(action_type_name((enum action_type)i), "invalid");
	for (unsigned i = 0; i < OP_COUNT; i++)
		assert_string_not_equal(action_op_name((enum action_op)i), "invalid");
	assert_string_equal(how_name((enum how)HOW_COUNT), "invalid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_header_number_has_its_row),
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(decided_rows_say_what_they_are),
		cmocka_unit_test(argument_kinds_stand_in_order),
		cmocka_unit_test(rules_are_well_formed),
		cmocka_unit_test(registers_decide_as_designed),
		cmocka_unit_test(unknown_numbers_have_no_row),
		cmocka_unit_test(every_enumerator_has_a_name),
	};
	return cmocka_run_group_tests_name("syscalls", tests, NULL, NULL);
}
