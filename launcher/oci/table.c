#include "launcher/oci/table.h"

#include <errno.h>
#include <string.h>

#include "base/syscalls.h"
#include "sandbox/box.h"
#include "sandbox/filter_rows.h"

const struct box_plan oci_plan = { .net = NET_HOST, .read_events = true };

#if defined(__x86_64__)
const char oci_arch[] = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
const char oci_arch[] = "SCMP_ARCH_AARCH64";
#endif

static struct oci_clause clause_of(enum how how, int deny_errno)
{
	if (filter_notifies(how))
		return (struct oci_clause){ .action = oci_act_notify, .errnum = OCI_NO_ERRNO };
	if (how == HOW_ALLOW)
		return (struct oci_clause){ .action = oci_act_allow, .errnum = OCI_NO_ERRNO };
	if (how == HOW_KILL)
		return (struct oci_clause){ .action = oci_act_kill, .errnum = OCI_NO_ERRNO };
	return (struct oci_clause){ .action = oci_act_errno,
				    .errnum = how == HOW_ERRNO ? deny_errno : ENOSYS };
}

struct oci_clause oci_table_ask(void)
{
	return clause_of(HOW_EMULATE, 0);
}

struct oci_clause oci_table_unknown(void)
{
	return clause_of(HOW_UNKNOWN, 0);
}

static struct oci_cond masked(unsigned arg, uint64_t mask, uint64_t value)
{
	return (struct oci_cond){ .arg = arg, .op = oci_op_masked, .value = mask, .two = value };
}

/* When the rule does not hold. False: it cannot be said in one comparison. */
static bool negation(const struct arg_rule *r, struct oci_cond *ret)
{
	bool one_bit = r->mask && (r->mask & (r->mask - 1)) == 0;
	if (r->wide && !r->negate && r->mask == UINT64_MAX)
		*ret = (struct oci_cond){ .arg = r->arg,
					  .op = oci_op_not_equal,
					  .value = r->datum };
	else if (r->negate)
		*ret = masked(r->arg, r->mask, r->datum);
	else if (one_bit)
		*ret = masked(r->arg, r->mask, r->mask ^ r->datum);
	else
		return false;
	return true;
}

/* When it holds: any of @ret. Their number, 0: it cannot be said. */
static unsigned positions(const struct arg_rule *r, struct oci_cond ret[64])
{
	unsigned count = 0;
	if (r->wide && !r->negate && r->mask == UINT64_MAX) {
		ret[count++] =
			(struct oci_cond){ .arg = r->arg, .op = oci_op_equal, .value = r->datum };
	} else if (!r->negate) {
		ret[count++] = masked(r->arg, r->mask, r->datum);
	} else if (r->datum == 0) {
		for (uint64_t left = r->mask; left; left &= left - 1)
			ret[count++] = masked(r->arg, left & -left, left & -left);
	}
	return count;
}

/* One rule of a row under all that the rules before it leave. False: it cannot be said. */
static bool add_rule(const struct arg_rule *r, const struct oci_clause *before,
		     struct oci_clause *list, unsigned *count)
{
	struct oci_cond any[64];
	unsigned n = positions(r, any);
	for (unsigned i = 0; i < n; i++) {
		bool never = false;
		if (*count == OCI_CLAUSES_MAX)
			return false;
		struct oci_clause c = clause_of((enum how)r->how, r->deny_errno);
		memcpy(c.conds, before->conds, sizeof(c.conds));
		c.count = before->count;
		if (!oci_clause_join(&c, &any[i], &never))
			return false;
		if (!never)
			list[(*count)++] = c;
	}
	return n > 0;
}

unsigned oci_table_clauses(uint32_t nr, struct oci_clause list[static OCI_CLAUSES_MAX])
{
	struct filter_row row;
	struct oci_clause left = { .count = 0 };
	unsigned count = 0;
	if (!filter_row(&oci_plan, nr, &row))
		return 0;
	bool said = true;
	for (unsigned i = 0; said && i < row.count; i++) {
		struct oci_cond not ;
		bool never = false;
		said = add_rule(&row.rules[i], &left, list, &count) &&
		       negation(&row.rules[i], &not ) && oci_clause_join(&left, &not, &never);
	}
	if (!said || count == OCI_CLAUSES_MAX) {
		list[0] = oci_table_ask();
		return 1;
	}
	struct oci_clause last = clause_of(row.how, row.deny_errno);
	memcpy(last.conds, left.conds, sizeof(last.conds));
	last.count = left.count;
	list[count++] = last;
	return count;
}
