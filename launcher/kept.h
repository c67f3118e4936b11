/*
 * What this user has allowed for good ("always"): CONFIG/approvals/NAME-DIGEST.json, one file for each policy
 * file, 0600, read by every later run of that policy. An entry is an exact action: type, operation,
 * resource and the program that asks. It answers questions and nothing else: what is blocked stays blocked,
 * and what a project's own policy asks about is asked (scoring/judge.c).
 */
#pragma once

#include "base/err.h"
#include "policies/policy.h"

struct json_object;

enum { KEPT_MAX = 1000 };

/* Those of @p's file into @p. A file that cannot be understood is an error: nothing runs. */
int kept_load(struct policy *p, struct err *err);
/* @event of a held action (event_json). -EOPNOTSUPP with the reason: it cannot be named exactly. */
int kept_add(const struct policy *p, struct json_object *event, struct err *err);
