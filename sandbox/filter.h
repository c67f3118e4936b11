/*
 * The seccomp programs. All that can be asked of a filter by a plan is four choices, so every program
 * is compiled from the table (filter_compile.h) when vsandbox is built, and starting a box only picks one.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>

#include "policies/policy.h"

struct box_plan;

struct filter {
	unsigned short len; /* instructions */
	const struct sock_filter *insns;
};

/*
 * A number for each combination of the network, ptrace and whether reads are events. An allowlist with hosts
 * whose connections are handed over counts as a network more.
 */
enum { FILTER_SHAPES = (NET_COUNT + 1) * 4 };

/* Written by sandbox/gen/filters.c. */
extern const struct filter filter_programs[FILTER_SHAPES];

/* This plan's place in filter_programs, and its program. */
size_t filter_shape(const struct box_plan *plan);
const struct filter *filter_of(const struct box_plan *plan);
