/*
 * Theory of operation. Each row of the table becomes clauses: an action under conditions on registers, no two of
 * which can hold at once, because the runtimes' library (libseccomp) has no order among conditional rules. It
 * cannot say everything that the table says (no masked "not equal", no two comparisons of one argument), so a
 * row that does not fit is sent to the monitor whole, which has the table. Where the old section allows a call
 * under conditions only, each of them is joined to each clause.
 */
#include "launcher/oci/profile.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/syscalls.h"
#include "launcher/jsonfile.h"
#include "launcher/oci/table.h"

enum { OLD_MAX = 64 };

/* The calls of one clause. */
struct group {
	struct oci_clause clause;
	struct json_object *names; /* owned until it is in a rule */
};

struct profile {
	struct json_object *old;     /* NULL none; borrowed */
	struct json_object *by_name; /* call -> its rules in the old one, in order; owned */
	const char *otherwise;       /* action of the old one for what it does not name */
	struct oci_clause fallback;  /* what the new one does with what it does not name */
	struct group *groups;        /* of the new one; owned */
	size_t group_count, group_room;
	struct err *err;
};

/* Where the calls of @c are, made when they are the first. */
static struct group *group_of(struct profile *p, const struct oci_clause *c)
{
	for (size_t i = 0; i < p->group_count; i++)
		if (oci_clause_equal(&p->groups[i].clause, c))
			return &p->groups[i];
	if (p->group_count == p->group_room) {
		size_t room = p->group_room ? 2 * p->group_room : 32;
		struct group *more = reallocarray(p->groups, room, sizeof(*more));
		if (!more)
			return NULL;
		p->groups = more;
		p->group_room = room;
	}
	p->groups[p->group_count] =
		(struct group){ .clause = *c, .names = json_object_new_array() };
	return &p->groups[p->group_count++];
}

/* runtime-spec: EPERM where a refusal names no number. */
static int number_of(const struct oci_clause *c)
{
	bool unsaid = !strcmp(c->action, oci_act_errno) && c->errnum == OCI_NO_ERRNO;
	return unsaid ? EPERM : c->errnum;
}

/* Puts @name under @c, with the others that have the same clause. */
static int emit(struct profile *p, const char *name, const struct oci_clause *c)
{
	/* libseccomp takes no rule that says what is done anyway */
	if (!strcmp(c->action, p->fallback.action) && number_of(c) == number_of(&p->fallback))
		return 0;
	struct group *g = group_of(p, c);
	if (!g)
		return err_set(p->err, ENOMEM, "out of memory");
	json_object_array_add(g->names, json_object_new_string(name));
	return 0;
}

/* A rule of the old section. */
static int read_rule(const struct profile *p, struct json_object *rule, const char *name,
		     struct oci_clause *ret)
{
	int r = oci_clause_read(rule, name, ret, p->err);
	if (r == 0 && !strcmp(ret->action, oci_act_notify))
		r = err_set(p->err, ENOTSUP,
			    "the profile sends %s to another agent already: there can be one",
			    name);
	return r;
}

/* What the old section says of one call. */
struct old_view {
	struct oci_clause conds[OLD_MAX]; /* its conditional rules */
	unsigned count;
	struct oci_clause otherwise; /* its first unconditional one, or the default */
	bool named;                  /* there is an unconditional one */
};

static int look_up(struct profile *p, const char *name, struct old_view *ret)
{
	struct json_object *rules;
	ret->count = 0;
	ret->named = false;
	ret->otherwise = (struct oci_clause){ .action = p->otherwise, .errnum = OCI_NO_ERRNO };
	if (!json_object_object_get_ex(p->by_name, name, &rules))
		return 0;
	for (size_t i = 0; i < json_object_array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);
		struct oci_clause c;
		int r = read_rule(p, rule, name, &c);
		if (r < 0)
			return r;
		if (c.count == 0 && !ret->named) {
			ret->otherwise = c;
			ret->named = true;
		} else if (c.count && ret->count == OLD_MAX) {
			return err_set(p->err, EINVAL, "too many seccomp rules for %s", name);
		} else if (c.count) {
			ret->conds[ret->count++] = c;
		}
	}
	return 0;
}

/*
 * @ours under the conditions of @cond. Where that cannot be said the monitor is asked, which knows the row;
 * whether it is asked at all is the old section's.
 */
static int narrow_one(struct profile *p, const char *name, const struct oci_clause *cond,
		      const struct oci_clause *ours, unsigned ours_count)
{
	struct oci_clause joined[OCI_CLAUSES_MAX];
	unsigned count = 0;
	bool said = true;
	for (unsigned k = 0; said && k < ours_count; k++) {
		bool never = false;
		struct oci_clause c = ours[k];
		for (unsigned n = 0; said && n < cond->count; n++)
			said = oci_clause_join(&c, &cond->conds[n], &never);
		if (said && !never)
			joined[count++] = c;
	}
	if (!said) {
		joined[0] = *cond;
		joined[0].action = oci_act_notify;
		joined[0].errnum = OCI_NO_ERRNO;
		count = 1;
	}
	int r = 0;
	for (unsigned k = 0; r == 0 && k < count; k++)
		r = emit(p, name, &joined[k]);
	return r;
}

/* @ours under each condition of the old section that lets the call pass. */
static int narrow(struct profile *p, const char *name, const struct old_view *old,
		  const struct oci_clause *ours, unsigned ours_count)
{
	int r = 0;
	for (unsigned i = 0; r == 0 && i < old->count; i++)
		r = oci_clause_permits(old->conds[i].action)
			    ? narrow_one(p, name, &old->conds[i], ours, ours_count)
			    : emit(p, name, &old->conds[i]);
	return r;
}

/* The old section allows the call but for one condition. */
static int exclude(struct profile *p, const char *name, const struct old_view *old,
		   const struct oci_clause *ours, unsigned ours_count)
{
	struct oci_clause c = ours_count == 1 ? ours[0] : oci_table_ask();
	struct oci_cond rest;
	bool never = false;
	if (!oci_clause_permits(c.action) && strcmp(c.action, oci_act_notify) != 0 && c.count == 0)
		return emit(p, name, &c); /* refused whatever the condition */
	if (old->count != 1 || old->conds[0].count != 1 ||
	    !oci_clause_turn(&old->conds[0].conds[0], &rest) || !oci_clause_join(&c, &rest, &never))
		return err_set(
			p->err, ENOTSUP,
			"the profile allows %s but for conditions that cannot be turned around; "
			"let it name what is allowed instead",
			name);
	int r = emit(p, name, &old->conds[0]);
	return r < 0 || never ? r : emit(p, name, &c);
}

static int combine(struct profile *p, uint32_t nr)
{
	const char *name = syscall_find(nr)->name;
	struct oci_clause ours[OCI_CLAUSES_MAX];
	struct old_view old;
	int r = look_up(p, name, &old);
	if (r < 0)
		return r;
	unsigned count = oci_table_clauses(nr, ours), denials = 0;
	for (unsigned i = 0; i < old.count; i++)
		denials += !oci_clause_permits(old.conds[i].action);
	if (!oci_clause_permits(old.otherwise.action))
		return old.named ? emit(p, name, &old.otherwise)
				 : narrow(p, name, &old, ours, count);
	if (denials)
		return exclude(p, name, &old, ours, count);
	for (unsigned i = 0; r == 0 && i < count; i++)
		r = emit(p, name, &ours[i]);
	return r;
}

/* Fills by_name. */
static int index_rules(struct profile *p)
{
	struct json_object *rules, *names, *list;
	p->by_name = json_object_new_object();
	if (!p->old || !json_object_object_get_ex(p->old, "syscalls", &rules) ||
	    json_object_is_type(rules, json_type_null))
		return 0;
	if (!json_object_is_type(rules, json_type_array))
		return err_set(p->err, EINVAL, "linux.seccomp.syscalls is no list");
	for (size_t i = 0; i < json_object_array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);
		if (!json_object_object_get_ex(rule, "names", &names) ||
		    !json_object_is_type(names, json_type_array))
			return err_set(p->err, EINVAL, "a seccomp rule has no names");
		for (size_t k = 0; k < json_object_array_length(names); k++) {
			const char *name =
				json_object_get_string(json_object_array_get_idx(names, k));
			if (!name)
				return err_set(p->err, EINVAL, "a seccomp rule has no names");
			if (!json_object_object_get_ex(p->by_name, name, &list)) {
				list = json_object_new_array();
				json_object_object_add(p->by_name, name, list);
			}
			json_object_array_add(list, json_object_get(rule));
		}
	}
	return 0;
}

/* Refusals of calls that the table does not know. What it does not know and is allowed is refused. */
static int keep_refusals(struct profile *p)
{
	json_object_object_foreach(p->by_name, name, rules)
	{
		for (size_t i = 0; syscall_number(name) < 0 && i < json_object_array_length(rules);
		     i++) {
			struct oci_clause c;
			int r = read_rule(p, json_object_array_get_idx(rules, i), name, &c);
			if (r < 0)
				return r;
			if (!oci_clause_permits(c.action))
				r = emit(p, name, &c);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* What the groups say, as rules. */
static struct json_object *rules_of(struct profile *p)
{
	struct json_object *rules = json_object_new_array();
	for (size_t i = 0; i < p->group_count; i++) {
		json_object_array_add(rules,
				      oci_clause_json(&p->groups[i].clause, p->groups[i].names));
		p->groups[i].names = NULL;
	}
	return rules;
}

static void finish(struct profile *p)
{
	for (size_t i = 0; i < p->group_count; i++)
		json_object_put(p->groups[i].names);
	free(p->groups);
	json_object_put(p->by_name);
}

/* The groups of each call. */
static int fill(struct profile *p)
{
	if (!strcmp(p->otherwise, oci_act_notify))
		return err_set(
			p->err, ENOTSUP,
			"the profile sends every call to another agent already: there can be one");
	int r = index_rules(p);
	/* libseccomp keeps calls in the order of their numbers and looks for a new one's place from the lowest */
	for (uint32_t nr = syscall_count(); r == 0 && nr-- > 0;)
		if (syscall_find(nr))
			r = combine(p, nr);
	return r < 0 ? r : keep_refusals(p);
}

/* What is kept of the old section; members that are not known could mean anything. */
static void keep_members(const struct profile *p, struct json_object *new)
{
	static const char *const kept[] = { "defaultAction", "defaultErrnoRet",
					    "listenerMetadata" };
	struct json_object *v;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (json_object_object_get_ex(p->old, kept[i], &v))
			json_object_object_add(new, kept[i], json_object_get(v));
	if (json_object_object_get_ex(p->old, "flags", &v) &&
	    json_object_is_type(v, json_type_array) && json_object_array_length(v))
		json_object_object_add(new, "flags", json_object_get(v));
}

int oci_profile_make(struct json_object *old, struct json_object **ret, struct err *err)
{
	const char *otherwise = jsonfile_text(old, "defaultAction");
	struct profile p = { .old = old,
			     .otherwise = otherwise ? otherwise : oci_act_allow,
			     .err = err };
	p.fallback = oci_clause_permits(p.otherwise)
			     ? oci_table_unknown()
			     : (struct oci_clause){ .action = p.otherwise,
						    .errnum = (int)jsonfile_number(
							    old, "defaultErrnoRet", OCI_NO_ERRNO) };
	int r = fill(&p);
	if (r < 0) {
		finish(&p);
		return r;
	}
	struct json_object *new = json_object_new_object();
	keep_members(&p, new);
	if (oci_clause_permits(p.otherwise)) {
		json_object_object_add(new, "defaultAction", json_object_new_string(oci_act_errno));
		json_object_object_add(new, "defaultErrnoRet", json_object_new_int(ENOSYS));
	}
	/* The table has the native numbers alone: others are killed, as in a box of ours. */
	struct json_object *archs = json_object_new_array();
	json_object_array_add(archs, json_object_new_string(oci_arch));
	json_object_object_add(new, "architectures", archs);
	json_object_object_add(new, "syscalls", rules_of(&p));
	finish(&p);
	*ret = new;
	return 0;
}
