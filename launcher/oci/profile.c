/*
 * Theory of operation. Each row of the table becomes clauses: an action under conditions on registers, no two of
 * which can hold at once, because the runtimes' library (libseccomp) has no order among conditional rules. It
 * cannot say everything that the table says (no masked "not equal", no two comparisons of one argument), so a
 * row that does not fit is sent to the monitor whole, which has the table. Where the old section allows a call
 * under conditions only, each of them is joined to each clause.
 */
#include "launcher/oci/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/syscalls.h"
#include "sandbox/box.h"
#include "sandbox/filter_rows.h"

const struct box_plan oci_plan = { .net = NET_HOST, .read_events = true };

enum { CONDS_MAX = 6, CLAUSES_MAX = 24, OLD_MAX = 64, NO_ERRNO = -1 };

#if defined(__x86_64__)
static const char arch_name[] = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
static const char arch_name[] = "SCMP_ARCH_AARCH64";
#endif

static const char act_allow[] = "SCMP_ACT_ALLOW";
static const char act_errno[] = "SCMP_ACT_ERRNO";
static const char act_notify[] = "SCMP_ACT_NOTIFY";
static const char act_kill[] = "SCMP_ACT_KILL_PROCESS";
static const char op_masked[] = "SCMP_CMP_MASKED_EQ";

/* One comparison. For op_masked @value is the mask and @two what is left under it. */
struct cond {
	unsigned arg;
	const char *op; /* borrowed: a constant or the old section's */
	uint64_t value, two;
};

struct clause {
	const char *action;
	int errnum; /* NO_ERRNO none */
	struct cond conds[CONDS_MAX];
	unsigned count;
};

/* A rule of the old section that names the call at hand. */
struct old_rule {
	struct clause clause; /* its count of conditions may be 0 */
	struct json_object *rule;
};

struct profile {
	struct json_object *old;     /* NULL none; borrowed */
	struct json_object *by_name; /* call -> its rules in the old one, in order; owned */
	struct json_object *rules;   /* of the new one; borrowed */
	const char *otherwise;       /* action of the old one for what it does not name */
	struct clause fallback;      /* what the new one does with what it does not name */
	struct err *err;
};

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v;
	return o && json_object_object_get_ex(o, name, &v) &&
			       json_object_is_type(v, json_type_string)
		       ? json_object_get_string(v)
		       : NULL;
}

static int64_t number_of(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v;
	return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_int)
		       ? json_object_get_int64(v)
		       : otherwise;
}

/* The conditions of a rule; NULL: it has none. */
static struct json_object *args_of(struct json_object *rule)
{
	struct json_object *args;
	return json_object_object_get_ex(rule, "args", &args) &&
			       json_object_is_type(args, json_type_array) &&
			       json_object_array_length(args)
		       ? args
		       : NULL;
}

static bool permits(const char *action)
{
	return !strcmp(action, act_allow) || !strcmp(action, "SCMP_ACT_LOG");
}

static struct clause clause_of(enum how how, int deny_errno)
{
	if (filter_notifies(how))
		return (struct clause){ .action = act_notify, .errnum = NO_ERRNO };
	if (how == HOW_ALLOW)
		return (struct clause){ .action = act_allow, .errnum = NO_ERRNO };
	if (how == HOW_KILL)
		return (struct clause){ .action = act_kill, .errnum = NO_ERRNO };
	return (struct clause){ .action = act_errno,
				.errnum = how == HOW_ERRNO ? deny_errno : ENOSYS };
}

/* Joins @more to @c. False: the library cannot say both. @ret_never: they can never hold together. */
static bool join(struct clause *c, const struct cond *more, bool *ret_never)
{
	for (unsigned i = 0; i < c->count; i++) {
		struct cond *have = &c->conds[i];
		if (have->arg != more->arg)
			continue;
		if (strcmp(have->op, op_masked) != 0 || strcmp(more->op, op_masked) != 0)
			return false;
		uint64_t both = have->value & more->value;
		if ((have->two & both) != (more->two & both)) {
			*ret_never = true;
			return true;
		}
		have->value |= more->value;
		have->two |= more->two;
		return true;
	}
	if (c->count == CONDS_MAX)
		return false;
	c->conds[c->count++] = *more;
	return true;
}

static struct cond masked(unsigned arg, uint64_t mask, uint64_t value)
{
	return (struct cond){ .arg = arg, .op = op_masked, .value = mask, .two = value };
}

/* When the rule does not hold. False: it cannot be said in one comparison. */
static bool negation(const struct arg_rule *r, struct cond *ret)
{
	bool one_bit = r->mask && (r->mask & (r->mask - 1)) == 0;
	if (r->wide && !r->negate && r->mask == UINT64_MAX)
		*ret = (struct cond){ .arg = r->arg, .op = "SCMP_CMP_NE", .value = r->datum };
	else if (r->negate)
		*ret = masked(r->arg, r->mask, r->datum);
	else if (one_bit)
		*ret = masked(r->arg, r->mask, r->mask ^ r->datum);
	else
		return false;
	return true;
}

/* When it holds: any of @ret. Their number, 0: it cannot be said. */
static unsigned positions(const struct arg_rule *r, struct cond ret[64])
{
	unsigned count = 0;
	if (r->wide && !r->negate && r->mask == UINT64_MAX) {
		ret[count++] =
			(struct cond){ .arg = r->arg, .op = "SCMP_CMP_EQ", .value = r->datum };
	} else if (!r->negate) {
		ret[count++] = masked(r->arg, r->mask, r->datum);
	} else if (r->datum == 0) {
		for (uint64_t left = r->mask; left; left &= left - 1)
			ret[count++] = masked(r->arg, left & -left, left & -left);
	}
	return count;
}

/* One rule of a row under all that the rules before it leave. False: it cannot be said. */
static bool add_rule(const struct arg_rule *r, const struct clause *before, struct clause *list,
		     unsigned *count)
{
	struct cond any[64];
	unsigned n = positions(r, any);
	for (unsigned i = 0; i < n; i++) {
		bool never = false;
		if (*count == CLAUSES_MAX)
			return false;
		struct clause c = clause_of((enum how)r->how, r->deny_errno);
		memcpy(c.conds, before->conds, sizeof(c.conds));
		c.count = before->count;
		if (!join(&c, &any[i], &never))
			return false;
		if (!never)
			list[(*count)++] = c;
	}
	return n > 0;
}

/* What the table says of call @nr; the whole of it to the monitor where it cannot be said. */
static unsigned clauses_of(uint32_t nr, struct clause list[static CLAUSES_MAX])
{
	struct filter_row row;
	struct clause left = { .count = 0 };
	unsigned count = 0;
	if (!filter_row(&oci_plan, nr, &row))
		return 0;
	bool said = true;
	for (unsigned i = 0; said && i < row.count; i++) {
		struct cond not ;
		bool never = false;
		said = add_rule(&row.rules[i], &left, list, &count) &&
		       negation(&row.rules[i], &not ) && join(&left, &not, &never);
	}
	if (!said || count == CLAUSES_MAX) {
		list[0] = clause_of(HOW_EMULATE, 0);
		return 1;
	}
	struct clause last = clause_of(row.how, row.deny_errno);
	memcpy(last.conds, left.conds, sizeof(last.conds));
	last.count = left.count;
	list[count++] = last;
	return count;
}

static struct json_object *json_of_cond(const struct cond *c)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "index", json_object_new_uint64(c->arg));
	json_object_object_add(o, "value", json_object_new_uint64(c->value));
	json_object_object_add(o, "valueTwo", json_object_new_uint64(c->two));
	json_object_object_add(o, "op", json_object_new_string(c->op));
	return o;
}

static bool same_clause(struct json_object *rule, const struct clause *c)
{
	struct json_object *args = args_of(rule);
	const char *action = text_of(rule, "action");
	if (!action || strcmp(action, c->action) != 0 ||
	    number_of(rule, "errnoRet", NO_ERRNO) != c->errnum)
		return false;
	size_t n = args ? json_object_array_length(args) : 0;
	if (n != c->count)
		return false;
	for (unsigned i = 0; i < n; i++) {
		struct json_object *want = json_of_cond(&c->conds[i]);
		bool same = json_object_equal(want, json_object_array_get_idx(args, i));
		json_object_put(want);
		if (!same)
			return false;
	}
	return true;
}

/* Puts @name under @c, with the others that have the same clause. */
static void emit(struct profile *p, const char *name, const struct clause *c)
{
	struct json_object *names = NULL;
	/* libseccomp takes no rule that says what is done anyway */
	if (!strcmp(c->action, p->fallback.action) && c->errnum == p->fallback.errnum)
		return;
	size_t count = json_object_array_length(p->rules);
	for (size_t i = 0; i < count && !names; i++) {
		struct json_object *rule = json_object_array_get_idx(p->rules, i);
		if (same_clause(rule, c))
			json_object_object_get_ex(rule, "names", &names);
	}
	if (!names) {
		struct json_object *rule = json_object_new_object();
		names = json_object_new_array();
		json_object_object_add(rule, "names", names);
		json_object_object_add(rule, "action", json_object_new_string(c->action));
		if (c->errnum != NO_ERRNO)
			json_object_object_add(rule, "errnoRet", json_object_new_int(c->errnum));
		if (c->count) {
			struct json_object *args = json_object_new_array();
			for (unsigned i = 0; i < c->count; i++)
				json_object_array_add(args, json_of_cond(&c->conds[i]));
			json_object_object_add(rule, "args", args);
		}
		json_object_array_add(p->rules, rule);
	}
	json_object_array_add(names, json_object_new_string(name));
}

static bool names_call(struct json_object *rule, const char *name)
{
	struct json_object *names;
	if (!json_object_object_get_ex(rule, "names", &names) ||
	    !json_object_is_type(names, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *one = json_object_get_string(json_object_array_get_idx(names, i));
		if (one && !strcmp(one, name))
			return true;
	}
	return false;
}

static int read_cond(struct json_object *o, struct cond *ret)
{
	const char *op = text_of(o, "op");
	int64_t index = number_of(o, "index", -1);
	struct json_object *v;
	if (!op || index < 0 || index >= SYSCALL_ARGS)
		return -EINVAL;
	*ret = (struct cond){ .arg = (unsigned)index, .op = op };
	if (json_object_object_get_ex(o, "value", &v))
		ret->value = json_object_get_uint64(v);
	if (json_object_object_get_ex(o, "valueTwo", &v))
		ret->two = json_object_get_uint64(v);
	return 0;
}

static int read_rule(struct profile *p, struct json_object *rule, const char *name,
		     struct clause *ret)
{
	struct json_object *args;
	*ret = (struct clause){ .action = text_of(rule, "action"),
				.errnum = (int)number_of(rule, "errnoRet", NO_ERRNO) };
	if (!ret->action)
		return err_set(p->err, EINVAL, "a seccomp rule for %s has no action", name);
	if (!strcmp(ret->action, act_notify))
		return err_set(p->err, ENOTSUP,
			       "the profile sends %s to another agent already: there can be one",
			       name);
	if (!json_object_object_get_ex(rule, "args", &args) ||
	    json_object_is_type(args, json_type_null))
		return 0;
	if (!json_object_is_type(args, json_type_array))
		return err_set(p->err, EINVAL, "the conditions of a rule for %s are no list", name);
	size_t n = json_object_array_length(args);
	if (n > CONDS_MAX)
		return err_set(p->err, EINVAL, "a seccomp rule for %s has %zu conditions", name, n);
	for (size_t i = 0; i < n; i++)
		if (read_cond(json_object_array_get_idx(args, i), &ret->conds[ret->count++]) < 0)
			return err_set(p->err, EINVAL, "a condition of the seccomp rule for %s",
				       name);
	return 0;
}

/* What the old section says of one call. */
struct old_view {
	struct clause conds[OLD_MAX]; /* its conditional rules */
	unsigned count;
	struct clause otherwise; /* its first unconditional one, or the default */
	bool named;              /* there is an unconditional one */
};

static int look_up(struct profile *p, const char *name, struct old_view *ret)
{
	struct json_object *rules;
	ret->count = 0;
	ret->named = false;
	ret->otherwise = (struct clause){ .action = p->otherwise, .errnum = NO_ERRNO };
	if (!json_object_object_get_ex(p->by_name, name, &rules))
		return 0;
	for (size_t i = 0; i < json_object_array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);
		struct clause c;
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

/* @ours under each condition of the old section that lets the call pass. */
static void narrow(struct profile *p, const char *name, const struct old_view *old,
		   const struct clause *ours, unsigned ours_count)
{
	for (unsigned i = 0; i < old->count; i++) {
		const struct clause *cond = &old->conds[i];
		struct clause joined[CLAUSES_MAX];
		unsigned count = 0;
		bool said = true;
		if (!permits(cond->action)) {
			emit(p, name, cond);
			continue;
		}
		for (unsigned k = 0; said && k < ours_count; k++) {
			bool never = false;
			struct clause c = ours[k];
			/* a refusal needs no condition where everything else is refused as well */
			for (unsigned n = 0; said && n < cond->count; n++)
				said = join(&c, &cond->conds[n], &never);
			if (said && !never)
				joined[count++] = c;
		}
		if (!said) { /* the monitor knows the row; whether it is asked at all is the old section's */
			joined[0] = *cond;
			joined[0].action = act_notify;
			joined[0].errnum = NO_ERRNO;
			count = 1;
		}
		for (unsigned k = 0; k < count; k++)
			emit(p, name, &joined[k]);
	}
}

/* The comparison that holds when @c does not. */
static bool turn_around(const struct cond *c, struct cond *ret)
{
	static const char *const pairs[][2] = {
		{ "SCMP_CMP_EQ", "SCMP_CMP_NE" },
		{ "SCMP_CMP_LT", "SCMP_CMP_GE" },
		{ "SCMP_CMP_LE", "SCMP_CMP_GT" },
	};
	*ret = *c;
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		for (unsigned k = 0; k < 2; k++)
			if (!strcmp(c->op, pairs[i][k])) {
				ret->op = pairs[i][!k];
				return true;
			}
	if (strcmp(c->op, op_masked) != 0 || !c->value || (c->value & (c->value - 1)))
		return false;
	ret->two = c->two ^ c->value;
	return true;
}

/* The old section allows the call but for one condition. */
static int exclude(struct profile *p, const char *name, const struct old_view *old,
		   const struct clause *ours, unsigned ours_count)
{
	struct clause c = ours_count == 1 ? ours[0] : clause_of(HOW_EMULATE, 0);
	struct cond rest;
	bool never = false;
	if (!permits(c.action) && strcmp(c.action, act_notify) != 0 && c.count == 0) {
		emit(p, name, &c); /* refused whatever the condition */
		return 0;
	}
	if (ours_count > 1)
		c.count = 0;
	if (old->count != 1 || old->conds[0].count != 1 ||
	    !turn_around(&old->conds[0].conds[0], &rest) || !join(&c, &rest, &never))
		return err_set(
			p->err, ENOTSUP,
			"the profile allows %s but for conditions that cannot be turned around; "
			"let it name what is allowed instead",
			name);
	emit(p, name, &old->conds[0]);
	if (!never)
		emit(p, name, &c);
	return 0;
}

static int combine(struct profile *p, uint32_t nr)
{
	const char *name = syscall_find(nr)->name;
	struct clause ours[CLAUSES_MAX];
	struct old_view old;
	int r = look_up(p, name, &old);
	if (r < 0)
		return r;
	unsigned count = clauses_of(nr, ours), denials = 0;
	for (unsigned i = 0; i < old.count; i++)
		denials += !permits(old.conds[i].action);
	if (!permits(old.otherwise.action)) {
		if (old.named)
			emit(p, name, &old.otherwise);
		else
			narrow(p, name, &old, ours, count);
		return 0;
	}
	if (denials)
		return exclude(p, name, &old, ours, count);
	for (unsigned i = 0; i < count; i++)
		emit(p, name, &ours[i]);
	return 0;
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
			struct clause c;
			int r = read_rule(p, json_object_array_get_idx(rules, i), name, &c);
			if (r < 0)
				return r;
			if (!permits(c.action))
				emit(p, name, &c);
		}
	}
	return 0;
}

/* Could the call pass unseen by this rule? */
static bool lets_pass(struct json_object *rule, const char *name)
{
	const char *action = text_of(rule, "action");
	return names_call(rule, name) && (!action || permits(action)) && !args_of(rule);
}

int oci_profile_check(struct json_object *section, struct err *err)
{
	struct json_object *rules;
	const char *otherwise = text_of(section, "defaultAction");
	if (!otherwise || permits(otherwise) ||
	    !json_object_object_get_ex(section, "syscalls", &rules) ||
	    !json_object_is_type(rules, json_type_array))
		return err_set(err, EPERM, "its profile lets pass what it does not name");
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		struct clause list[CLAUSES_MAX];
		bool unseen = false;
		unsigned count = clauses_of(nr, list);
		for (unsigned i = 0; i < count; i++)
			unseen |= list[i].count == 0 && permits(list[i].action);
		for (size_t i = 0; !unseen && count && i < json_object_array_length(rules); i++)
			if (lets_pass(json_object_array_get_idx(rules, i), syscall_find(nr)->name))
				return err_set(err, EPERM, "its profile lets %s pass unasked",
					       syscall_find(nr)->name);
	}
	return 0;
}

int oci_profile_make(struct json_object *old, struct json_object **ret, struct err *err)
{
	struct json_object *new = NULL, *flags;
	if (old && (json_object_deep_copy(old, &new, NULL) < 0 || !new))
		return err_set(err, ENOMEM, "out of memory");
	if (!new)
		new = json_object_new_object();
	const char *otherwise = text_of(old, "defaultAction");
	struct profile p = { .old = old,
			     .rules = json_object_new_array(),
			     .otherwise = otherwise ? otherwise : act_allow,
			     .err = err };
	/* runtime-spec: EPERM where a refusal names no number */
	p.fallback = permits(p.otherwise)
			     ? clause_of(HOW_UNKNOWN, 0)
			     : (struct clause){ .action = p.otherwise,
						.errnum = (int)number_of(old, "defaultErrnoRet",
									 NO_ERRNO) };
	int r = 0;
	if (!strcmp(p.otherwise, act_notify))
		r = err_set(
			err, ENOTSUP,
			"the profile sends every call to another agent already: there can be one");
	if (r == 0)
		r = index_rules(&p);
	for (uint32_t nr = 0; r == 0 && nr < syscall_count(); nr++)
		if (syscall_find(nr))
			r = combine(&p, nr);
	if (r == 0)
		r = keep_refusals(&p);
	json_object_put(p.by_name);
	if (r < 0) {
		json_object_put(p.rules);
		json_object_put(new);
		return r;
	}
	if (permits(p.otherwise)) {
		json_object_object_add(new, "defaultAction", json_object_new_string(act_errno));
		json_object_object_add(new, "defaultErrnoRet", json_object_new_int(ENOSYS));
	}
	/* The table has the native numbers alone: others are killed, as in a box of ours. */
	struct json_object *archs = json_object_new_array();
	json_object_array_add(archs, json_object_new_string(arch_name));
	json_object_object_add(new, "architectures", archs);
	json_object_object_add(new, "syscalls", p.rules);
	if (json_object_object_get_ex(new, "flags", &flags) &&
	    (!json_object_is_type(flags, json_type_array) || json_object_array_length(flags) == 0))
		json_object_object_del(new, "flags");
	*ret = new;
	return 0;
}
