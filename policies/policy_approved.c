/* What a person has allowed for good: exact actions, which are no longer asked about. */
#include <errno.h>
#include <string.h>

#include "policies/policy_loader.h"

/* One name, and all that matters is in it: no second name, no arguments, no statement. */
bool policy_approvable(enum action_op op)
{
	return op == OP_READ || op == OP_WRITE || op == OP_CREATE || op == OP_DELETE ||
	       op == OP_CONNECT;
}

int policy_approve(struct policy *p, const struct policy_approved *more, struct err *err)
{
	struct policy_store *store = p->arena;
	struct policy_approved *list =
		arena_alloc(&store->arena, (p->approved_count + 1) * sizeof(*list));
	struct policy_approved copy = *more;
	copy.resource = arena_strndup(&store->arena, more->resource, strlen(more->resource));
	copy.program = arena_strndup(&store->arena, more->program, strlen(more->program));
	copy.origin.file =
		arena_strndup(&store->arena, more->origin.file, strlen(more->origin.file));
	if (!policy_approvable(more->op) || more->resource[0] == '\0')
		return err_set(err, EINVAL, "this kind of action is not allowed for good");
	if (!list || !copy.resource || !copy.program || !copy.origin.file)
		return err_set(err, ENOMEM, "out of memory");
	if (p->approved_count)
		memcpy(list, p->approved, p->approved_count * sizeof(*list));
	list[p->approved_count++] = copy;
	p->approved = list;
	return 0;
}

const struct policy_approved *policy_approved(const struct policy *p, const struct action *a)
{
	for (unsigned i = 0; i < p->approved_count; i++) {
		const struct policy_approved *k = &p->approved[i];
		if (k->type == a->type && k->op == a->op && !a->resource2 && !a->statement &&
		    !strcmp(k->resource, a->resource) && !strcmp(k->program, a->program))
			return k;
	}
	return NULL;
}
