#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"

struct box_plan;

/* The one architecture whose numbers the table has: AUDIT_ARCH_* of this build. */
extern const uint32_t filter_arch;

/* A row as a plan has it: what the plan adds stands before the row's own rules. */
struct filter_row {
	enum how how; /* when no rule holds */
	uint16_t deny_errno;
	struct arg_rule rules[SYSCALL_RULES + 2]; /* the first that holds decides */
	unsigned count;
};
/* false: there is no row of that number. */
bool filter_row(const struct box_plan *plan, uint32_t nr, struct filter_row *ret);

/*
 * What the filter of @plan does with a call, by its registers alone. For calls that another filter sent here,
 * which may ask about more than ours. @ret_errno as syscall_how.
 */
enum how filter_how(const struct box_plan *plan, uint32_t nr,
		    const uint64_t args[static SYSCALL_ARGS], int *ret_errno);

/*
 * Compiles the syscall table into BPF for this plan. The instructions are heap
 * memory, freed by filter_free. -EINVAL names the row that cannot be compiled.
 */
int filter_build(const struct box_plan *plan, struct sock_fprog *ret, struct err *err);
void filter_free(struct sock_fprog *prog);
