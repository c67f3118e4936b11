/*
 * The rows of the syscall table as a plan has them: what the filter is compiled from, and what calls that another
 * filter sends here are held against.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/syscalls.h"

struct box_plan;

/* The one architecture whose numbers the table has: AUDIT_ARCH_* of this build. */
extern const uint32_t filter_arch;

enum { FILTER_PLAN_RULES = 4 }; /* that a plan adds to a row, at most */

/* What the plan adds stands before the row's own rules. */
struct filter_row {
	enum how how; /* when no rule holds */
	uint16_t deny_errno;
	struct arg_rule rules[FILTER_PLAN_RULES + SYSCALL_RULES]; /* the first that holds decides */
	unsigned count;
	const struct arg_pair *pairs; /* when no rule holds: the arguments that pass; NULL any */
};
/* false: there is no row of that number. */
bool filter_row(const struct box_plan *plan, uint32_t nr, struct filter_row *ret);

/* Is a call that is carried out so sent to the monitor? */
bool filter_notifies(enum how how);

/*
 * What the filter of @plan does with a call, by its registers alone. For calls that another filter sent here,
 * which may ask about more than ours. @ret_errno as syscall_how.
 */
enum how filter_how(const struct box_plan *plan, uint32_t nr,
		    const uint64_t args[static SYSCALL_ARGS], int *ret_errno);
