/* Shared by the parts of the box: box*.c, init.c, landlock.c, capabilities.c. */
#pragma once

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sandbox/box.h"
#include "sandbox/filter.h"

/* What init and the agent's task inherit from box_start by being cloned. */
struct box_setup {
	const struct box_plan *plan;
	struct box *box;
	struct overlay_request request; /* its arrays are owned */
	const struct filter *filter;    /* the agent's */
	int gate;                       /* their end: reports up, one-byte permits down */
	int control;                    /* init's end */
	uint32_t degraded;              /* layers found missing inside */
	uid_t uid;
	gid_t gid;
	sigset_t sigmask;     /* of the caller, given back to the agent */
	char stage[PATH_MAX]; /* where the new root is put together */
};

enum gate_type { GATE_READY = 1, GATE_FAILED };
/* What comes up the gate. One packet. */
struct gate_report {
	int32_t type;
	int32_t value; /* READY: number of the listener in the agent; FAILED: errno */
	uint32_t degraded;
	char text[ERR_TEXT_SIZE];
};
/* Permits that go down, one byte each. */
enum { PERMIT_MAPPED = 'M', PERMIT_RELEASE = 'R' };

/* Notes that @layer is missing: 0 if the plan lets it be, else -errnum with the text in @err. */
int box_degrade(const struct box_plan *plan, enum box_layer layer, uint32_t *degraded, int errnum,
		struct err *err, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* init.c: pid 1. Never returns. */
_Noreturn void box_init_main(struct box_setup *s);
/* box_child.c: the agent's task up to its execve. */
_Noreturn void box_agent_main(struct box_setup *s);
_Noreturn void box_gate_fail(const struct box_setup *s, int rc, const struct err *err);

/* box_mounts.c: builds the new root and moves into it. */
int box_mounts_build(struct box_setup *s, struct err *err);

/* box_net.c: the loopback device of a new network namespace; with an allowlist every address is its. */
int box_net_up(const struct box_plan *plan, struct err *err);

/* box_limits.c */
int box_limits_create(const struct box_plan *plan, struct box *b, struct err *err);
int box_limits_join(const struct box *b, pid_t pid, struct err *err);
void box_limits_remove(struct box *b);
int box_limits_rlimits(const struct box_plan *plan, struct err *err);

/* landlock.c: fences the calling thread and its children. */
int landlock_fence(const struct box_plan *plan, uint32_t *degraded, struct err *err);

/* capabilities.c */
int capabilities_of_agent(bool rootful, struct err *err);
int capabilities_of_init(bool rootful, struct err *err);
/* @plan NULL: it serves no network. */
int capabilities_of_monitor(bool rootful, const struct box_plan *plan, struct err *err);
