#pragma once

#include <linux/filter.h>

#include "base/err.h"

struct box_plan;

/*
 * Compiles the syscall table into BPF for this plan. The instructions are heap
 * memory, freed by filter_free. -EINVAL names the row that cannot be compiled.
 */
int filter_build(const struct box_plan *plan, struct sock_fprog *ret, struct err *err);
void filter_free(struct sock_fprog *prog);
