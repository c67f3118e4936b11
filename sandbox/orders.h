/*
 * What the control plane asks of a session that runs: a policy that stands beside the session's own.
 *
 * The uplink leaves its text in orders.json of the session's directory, which nothing inside can reach, and
 * has the gateway ask for it to be taken. Each decision is the stricter of both, so that whoever
 * holds the server can narrow what a sandbox may do and never widen it (docs/decisions/orders.md).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/verdict.h"

struct action;
struct policy;
struct watch;

enum { ORDERS_NAME = 256 };

struct orders {
	struct policy *policy; /* owned; NULL: none were given */
};

/* Reads them and from then on decides by them, in place of earlier ones. -EINVAL what cannot be
 * understood, -errno of reading: the earlier ones stay. */
int orders_take(struct watch *watch, struct err *err);
/* {"unenforced":[text]}: which of them this session cannot carry out, because it does not see such actions. */
void orders_json(const struct watch *watch, struct buf *reply);
/*
 * judge() by the session's policy and by the orders. Under log_lock, outside of which orders may be gone: the
 * name of an order that answers is copied to @name, and @ret points there.
 */
void orders_judge(const struct watch *watch, const struct action *a, char name[static ORDERS_NAME],
		  struct decision *ret);
