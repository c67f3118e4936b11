#include "launcher/oci/clause.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "base/syscalls.h"
#include "launcher/jsonfile.h"

const char oci_act_allow[] = "SCMP_ACT_ALLOW";
const char oci_act_errno[] = "SCMP_ACT_ERRNO";
const char oci_act_notify[] = "SCMP_ACT_NOTIFY";
const char oci_act_kill[] = "SCMP_ACT_KILL_PROCESS";
const char oci_op_equal[] = "SCMP_CMP_EQ";
const char oci_op_not_equal[] = "SCMP_CMP_NE";
const char oci_op_masked[] = "SCMP_CMP_MASKED_EQ";

bool oci_clause_permits(const char *action)
{
	return !strcmp(action, oci_act_allow) || !strcmp(action, "SCMP_ACT_LOG");
}

static bool is_masked(const struct oci_cond *c)
{
	return !strcmp(c->op, oci_op_masked);
}

bool oci_clause_join(struct oci_clause *c, const struct oci_cond *more, bool *ret_never)
{
	if (is_masked(more) && (more->two & ~more->value)) {
		*ret_never = true; /* bits that the mask takes away */
		return true;
	}
	for (unsigned i = 0; i < c->count; i++) {
		struct oci_cond *have = &c->conds[i];
		if (have->arg != more->arg)
			continue;
		if (!is_masked(have) || !is_masked(more))
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
	if (c->count == OCI_CONDS_MAX)
		return false;
	c->conds[c->count++] = *more;
	return true;
}

bool oci_clause_turn(const struct oci_cond *c, struct oci_cond *ret)
{
	static const char *const pairs[][2] = {
		{ oci_op_equal, oci_op_not_equal },
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
	if (!is_masked(c) || !c->value || (c->value & (c->value - 1)))
		return false;
	ret->two = c->two ^ c->value;
	return true;
}

static bool equal_cond(const struct oci_cond *a, const struct oci_cond *b)
{
	return a->arg == b->arg && a->value == b->value && a->two == b->two &&
	       !strcmp(a->op, b->op);
}

bool oci_clause_equal(const struct oci_clause *a, const struct oci_clause *b)
{
	if (strcmp(a->action, b->action) != 0 || a->errnum != b->errnum || a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (!equal_cond(&a->conds[i], &b->conds[i]))
			return false;
	return true;
}

/* Does @have make sure of @want? */
static bool ensures(const struct oci_cond *have, const struct oci_cond *want)
{
	bool equals = !strcmp(have->op, oci_op_equal);
	if (have->arg != want->arg)
		return false;
	if (equal_cond(have, want))
		return true;
	if (is_masked(want) && is_masked(have))
		return (have->value & want->value) == want->value &&
		       (have->two & want->value) == want->two;
	if (is_masked(want) && equals)
		return (have->value & want->value) == want->two;
	return !strcmp(want->op, oci_op_not_equal) && equals && have->value != want->value;
}

bool oci_clause_within(const struct oci_clause *narrow, const struct oci_clause *wide)
{
	for (unsigned i = 0; i < wide->count; i++) {
		unsigned k = 0;
		while (k < narrow->count && !ensures(&narrow->conds[k], &wide->conds[i]))
			k++;
		if (k == narrow->count)
			return false;
	}
	return true;
}

static struct json_object *json_of_cond(const struct oci_cond *c)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "index", json_object_new_uint64(c->arg));
	json_object_object_add(o, "value", json_object_new_uint64(c->value));
	json_object_object_add(o, "valueTwo", json_object_new_uint64(c->two));
	json_object_object_add(o, "op", json_object_new_string(c->op));
	return o;
}

struct json_object *oci_clause_json(const struct oci_clause *c, struct json_object *names)
{
	struct json_object *rule = json_object_new_object();
	json_object_object_add(rule, "names", names);
	json_object_object_add(rule, "action", json_object_new_string(c->action));
	if (c->errnum != OCI_NO_ERRNO)
		json_object_object_add(rule, "errnoRet", json_object_new_int(c->errnum));
	if (c->count == 0)
		return rule;
	struct json_object *args = json_object_new_array();
	for (unsigned i = 0; i < c->count; i++)
		json_object_array_add(args, json_of_cond(&c->conds[i]));
	json_object_object_add(rule, "args", args);
	return rule;
}

static int read_cond(struct json_object *o, struct oci_cond *ret)
{
	const char *op = jsonfile_text(o, "op");
	int64_t index = jsonfile_number(o, "index", -1);
	struct json_object *v;
	if (!op || index < 0 || index >= SYSCALL_ARGS)
		return -EINVAL;
	*ret = (struct oci_cond){ .arg = (unsigned)index, .op = op };
	if (json_object_object_get_ex(o, "value", &v))
		ret->value = json_object_get_uint64(v);
	if (json_object_object_get_ex(o, "valueTwo", &v))
		ret->two = json_object_get_uint64(v);
	return 0;
}

int oci_clause_read(struct json_object *rule, const char *name, struct oci_clause *ret,
		    struct err *err)
{
	struct json_object *args;
	*ret = (struct oci_clause){ .action = jsonfile_text(rule, "action"),
				    .errnum =
					    (int)jsonfile_number(rule, "errnoRet", OCI_NO_ERRNO) };
	if (!ret->action)
		return err_set(err, EINVAL, "a seccomp rule for %s has no action", name);
	if (!json_object_object_get_ex(rule, "args", &args) ||
	    json_object_is_type(args, json_type_null))
		return 0;
	if (!json_object_is_type(args, json_type_array))
		return err_set(err, EINVAL, "the conditions of a rule for %s are no list", name);
	size_t n = json_object_array_length(args);
	if (n > OCI_CONDS_MAX)
		return err_set(err, EINVAL, "a seccomp rule for %s has %zu conditions", name, n);
	for (size_t i = 0; i < n; i++)
		if (read_cond(json_object_array_get_idx(args, i), &ret->conds[ret->count++]) < 0)
			return err_set(err, EINVAL, "a condition of the seccomp rule for %s", name);
	return 0;
}
