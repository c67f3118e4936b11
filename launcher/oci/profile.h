/*
 * The system call table as the seccomp section of an OCI bundle's configuration (runtime-spec, config-linux.md),
 * laid over the section that is there.
 */
#pragma once

#include "base/err.h"

struct json_object;
/*
 * A new section that asks the agent about what needs a decision and refuses what the table refuses, and that
 * allows nothing which @old does not. @old NULL: there was none. -ENOTSUP names what cannot be combined: rules
 * that notify somebody else, conditions that cannot be turned around.
 *
 * Of two rules for one call runtimes take the first, so no name stands in two rules that could meet.
 */
int oci_profile_make(struct json_object *old, struct json_object **ret, struct err *err);

/* Has @section been made so? -EPERM names a call that would pass unasked. */
int oci_profile_check(struct json_object *section, struct err *err);
