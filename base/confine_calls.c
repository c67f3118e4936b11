/* The filter's side of confine.h, by itself: what puts none up, as vsandbox, then needs no libseccomp to start. */
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>

#include "base/confine.h"
#include "base/scope.h"

static int add_bound(scmp_filter_ctx ctx, const struct confine_bound *b)
{
	if (b->errnum)
		return seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)b->errnum), b->call, 0);
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, b->call, 1,
				SCMP_CMP64(b->argument, SCMP_CMP_MASKED_EQ, b->mask, b->value));
}

struct confine_rules {
	scmp_filter_ctx ctx; /* owned */
};

int confine_compile(const struct confine_filter *f, struct confine_rules **ret)
{
	cleanup_free struct confine_rules *rules = malloc(sizeof(*rules));
	scmp_filter_ctx ctx = seccomp_init(f->otherwise);
	int r = rules && ctx ? 0 : -ENOMEM;
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	for (unsigned i = 0; r == 0 && i < f->allowed_count; i++)
		r = f->allowed[i] < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, f->allowed[i], 0);
	for (unsigned i = 0; r == 0 && i < f->bound_count; i++)
		r = add_bound(ctx, &f->bounds[i]);
	if (r < 0) {
		if (ctx)
			seccomp_release(ctx);
		return r;
	}
	rules->ctx = ctx;
	*ret = take_ptr(rules);
	return 0;
}

int confine_enter(struct confine_rules *rules)
{
	int r = seccomp_load(rules->ctx);
	seccomp_release(rules->ctx);
	free(rules);
	return r;
}

int confine_calls(const struct confine_filter *f)
{
	struct confine_rules *rules;
	int r = confine_compile(f, &rules);
	return r == 0 ? confine_enter(rules) : r;
}
