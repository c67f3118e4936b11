#include "sandbox/filter_rows.h"

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sockios.h>

#include "base/syscall_pairs.h"
#include "sandbox/box.h"

#if defined(__x86_64__)
enum { NATIVE_ARCH = (int)AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { NATIVE_ARCH = (int)AUDIT_ARCH_AARCH64 };
#else
#error "no syscall table for this architecture"
#endif
const uint32_t filter_arch = (uint32_t)NATIVE_ARCH;

/* What a `how` means to this plan: policies that need no notification for a family get none. */
static enum how effective(const struct box_plan *plan, uint32_t nr, const struct syscall_row *row,
			  enum how how)
{
	if (how == HOW_SEND && plan->net == NET_NONE)
		return HOW_ALLOW; /* nothing outside to address, nothing to open */
	/* Ports of a namespace of its own; listen(2) names none. */
	if (how == HOW_CONNECT && row->op == OP_BIND && !box_hands_over(plan) &&
	    (plan->net != NET_HOST || nr == __NR_listen))
		return HOW_ALLOW;
	if (how == HOW_ERRNO && plan->allow_ptrace &&
	    (nr == __NR_ptrace || nr == __NR_process_vm_readv || nr == __NR_process_vm_writev))
		return HOW_ALLOW;
	return how;
}

/* Requests on devices and sockets, of which a socket of the host's network would tell the host's. */
static unsigned handover_requests(struct arg_rule *rules)
{
	enum { LOW16 = 0xffff, TYPE = 0xff00, SOCKET = 0x8900, WIRELESS = 0x8b00, LAST_OWN = 7 };
	const struct arg_rule all[] = {
		/* FIOSETOWN to SIOCGSTAMPNS: of the socket itself */
		{ .how = HOW_ALLOW, .mask = LOW16 & ~LAST_OWN, .datum = SOCKET },
		{ .how = HOW_ALLOW, .mask = LOW16, .datum = SIOCOUTQNSD },
		{ .how = HOW_ERRNO, .deny_errno = EPERM, .mask = TYPE, .datum = SOCKET },
		{ .how = HOW_ERRNO, .deny_errno = EPERM, .mask = TYPE, .datum = WIRELESS },
	};
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		rules[i] = all[i];
		rules[i].arg = rules[i].set = 1;
	}
	return sizeof(all) / sizeof(all[0]);
}

/* Plan-dependent rules that stand before a row's own. Returns how many. */
static unsigned plan_rules(const struct box_plan *plan, uint32_t nr, struct arg_rule *rules)
{
	unsigned flags_arg = nr == __NR_openat ? 2 : 1;
#ifdef __NR_open
	bool flags_in_register = nr == __NR_openat || nr == __NR_open;
#else
	bool flags_in_register = nr == __NR_openat;
#endif
	if (nr == __NR_ioctl && box_hands_over(plan))
		return handover_requests(rules);
	if (!flags_in_register)
		return 0;
	/*
	 * O_PATH cannot be injected (ADDFD: EBADF) and gives no content; using such a
	 * descriptor is another, notified call. The flag is a register: nothing to race.
	 */
	rules[0] = (struct arg_rule){ .arg = (uint8_t)flags_arg,
				      .set = 1,
				      .how = HOW_ALLOW,
				      .mask = O_PATH,
				      .datum = O_PATH };
	if (plan->read_events)
		return 1;
	/* __O_TMPFILE alone, O_DIRECTORY is a plain read */
	uint64_t writes = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
	rules[1] = (struct arg_rule){
		.arg = (uint8_t)flags_arg, .set = 1, .how = HOW_ALLOW, .mask = writes, .datum = 0
	};
	return 2;
}

/* The values that pass when no rule holds; NULL any. */
static const struct arg_pair *pairs_of(const struct box_plan *plan, const struct syscall_row *row)
{
	return box_hands_over(plan) ? syscall_pairs((enum arg_pairs)row->host_sockets) : NULL;
}

bool filter_row(const struct box_plan *plan, uint32_t nr, struct filter_row *ret)
{
	const struct syscall_row *row = syscall_find(nr);
	if (!row)
		return false;
	ret->how = effective(plan, nr, row, row->how);
	ret->deny_errno = row->deny_errno;
	ret->pairs = pairs_of(plan, row);
	ret->count = plan_rules(plan, nr, ret->rules);
	for (unsigned i = 0; i < SYSCALL_RULES && row->rules[i].set; i++) {
		struct arg_rule *r = &ret->rules[ret->count++];
		*r = row->rules[i];
		r->how = (uint8_t)effective(plan, nr, row, r->how);
	}
	return true;
}

bool filter_notifies(enum how how)
{
	switch (how) {
	case HOW_EMULATE:
	case HOW_OPEN:
	case HOW_EXEC:
	case HOW_CONNECT:
	case HOW_SEND:
	case HOW_CREDS:
		return true;
	case HOW_ALLOW:
	case HOW_ERRNO:
	case HOW_KILL:
	case HOW_UNKNOWN:
	case HOW_COUNT:
		break;
	}
	return false;
}

static const struct arg_rule *first_that_holds(const struct arg_rule *rules, unsigned count,
					       const uint64_t args[static SYSCALL_ARGS])
{
	for (unsigned i = 0; i < count && rules[i].set; i++)
		if (syscall_rule_holds(&rules[i], args))
			return &rules[i];
	return NULL;
}

/* What filter_row puts together, without doing so: this is asked of every call. */
enum how filter_how(const struct box_plan *plan, uint32_t nr,
		    const uint64_t args[static SYSCALL_ARGS], int *ret_errno)
{
	const struct syscall_row *row = syscall_find(nr);
	struct arg_rule added[FILTER_PLAN_RULES];
	*ret_errno = 0;
	if (!row)
		return HOW_UNKNOWN;
	enum how how = row->how;
	int deny = row->deny_errno;
	const struct arg_rule *held = first_that_holds(added, plan_rules(plan, nr, added), args);
	if (held) {
		how = (enum how)held->how;
		deny = held->deny_errno;
	} else {
		held = first_that_holds(row->rules, SYSCALL_RULES, args);
		if (held) {
			how = (enum how)held->how;
			deny = held->deny_errno;
		} else {
			const struct arg_pair *pass = pairs_of(plan, row);
			if (pass && !syscall_pairs_hold(pass, args))
				how = HOW_ERRNO;
		}
		how = effective(plan, nr, row, how);
	}
	if (how == HOW_ERRNO)
		*ret_errno = deny;
	return how;
}
