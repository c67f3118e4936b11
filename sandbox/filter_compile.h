/* The table made into BPF by libseccomp: 2 ms of work, done when vsandbox is built. */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "base/err.h"
#include "sandbox/box.h"

/* What a plan with the program at this place of filter_programs says; filter_shape, the other way round. */
struct box_plan filter_plan(size_t shape);

/*
 * Compiles the syscall table into BPF for this plan. The instructions are heap
 * memory, the caller's to free. -EINVAL names the row that cannot be compiled.
 */
int filter_compile(const struct box_plan *plan, struct sock_filter **ret, size_t *ret_count,
		   struct err *err);
