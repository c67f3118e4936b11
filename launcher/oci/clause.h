/*
 * One rule of a seccomp section (runtime-spec, config-linux.md) for one call: an action under conditions on
 * registers, all of which hold.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct json_object;

enum { OCI_CONDS_MAX = 6, OCI_NO_ERRNO = -1 };

extern const char oci_act_allow[], oci_act_errno[], oci_act_notify[], oci_act_kill[];
extern const char oci_op_equal[], oci_op_not_equal[], oci_op_masked[];

/* One comparison. For oci_op_masked @value is the mask and @two what is left under it. */
struct oci_cond {
	unsigned arg;
	const char *op; /* borrowed: a constant or a section's */
	uint64_t value, two;
};

struct oci_clause {
	const char *action; /* borrowed as op is */
	int errnum;         /* OCI_NO_ERRNO none */
	struct oci_cond conds[OCI_CONDS_MAX];
	unsigned count;
};

/* Does a call with this action reach the kernel, and nobody is asked? */
bool oci_clause_permits(const char *action);

/* Joins @more to @c. False: the library cannot say both. @ret_never: they can never hold together. */
bool oci_clause_join(struct oci_clause *c, const struct oci_cond *more, bool *ret_never);

/* The comparison that holds when @c does not. False: it cannot be said in one. */
bool oci_clause_turn(const struct oci_cond *c, struct oci_cond *ret);

/* The same action under the same conditions? */
bool oci_clause_equal(const struct oci_clause *a, const struct oci_clause *b);

/* Whenever the conditions of @narrow hold, so do those of @wide? False also where that is not seen. */
bool oci_clause_within(const struct oci_clause *narrow, const struct oci_clause *wide);

/* A rule with these @names, an array that is taken over. */
struct json_object *oci_clause_json(const struct oci_clause *c, struct json_object *names);

/* @rule as it is for the call @name. -EINVAL with the reason. */
int oci_clause_read(struct json_object *rule, const char *name, struct oci_clause *ret,
		    struct err *err);
