/* Prints docs/syscalls.md from the table's rows. `make docs` runs it. */
#include <stdio.h>
#include <string.h>

#include "base/syscall_pairs.h"
#include "base/syscalls.h"

static void print_how(enum how how, int deny_errno)
{
	if (how == HOW_ERRNO)
		printf("%s", strerrorname_np(deny_errno));
	else
		printf("%s", how_name(how));
}

static void print_rules(const struct syscall_row *row)
{
	for (size_t i = 0; i < SYSCALL_RULES && row->rules[i].set; i++) {
		const struct arg_rule *rule = &row->rules[i];
		printf("arg%u", rule->arg);
		if (rule->mask != (rule->wide ? UINT64_MAX : UINT32_MAX))
			printf(" & 0x%llx", (unsigned long long)rule->mask);
		printf(" %s 0x%llx: ", rule->negate ? "!=" : "==", (unsigned long long)rule->datum);
		print_how((enum how)rule->how, rule->deny_errno);
		printf("; ");
	}
}

/* Which values of arguments 1 and 2 pass where sockets of the host are handed over. */
static void print_pairs(const struct syscall_row *row)
{
	const struct arg_pair *a = syscall_pairs((enum arg_pairs)row->host_sockets);
	printf("\nWhere the policy hands over sockets of the host, %s passes with these values of\n"
	       "arguments 1 and 2, else it gets %s:\n",
	       row->name, strerrorname_np(row->deny_errno));
	for (uint32_t last = SYSCALL_PAIR_END; a->first != SYSCALL_PAIR_END; last = a++->first) {
		if (a->first == last)
			printf(", ");
		else
			printf("\n- %u: ", a->first);
		if (a->second == SYSCALL_PAIR_ANY)
			printf("any");
		else
			printf("%u", a->second);
	}
	printf("\n");
}

static void print_row(uint32_t nr, const struct syscall_row *row)
{
	printf("| %u | %s |", nr, row->name);
	for (size_t i = 0; i < SYSCALL_ARGS && row->args[i] != ARG_NONE; i++)
		printf("%s %s", i > 0 ? "," : "", arg_name((enum arg)row->args[i]));
	if (row->type != ACTION_NONE)
		printf(" | %s, %s | ", action_type_name(row->type), action_op_name(row->op));
	else
		printf(" | | ");
	printf("%s | ", row->undo == UNDO_NONE ? "" : undo_name(row->undo));
	print_rules(row);
	print_how(row->how, row->deny_errno);
	printf(" | %s |\n", row->note);
}

int main(void)
{
	printf("# System calls on x86-64\n\n"
	       "Made by `make docs` from base/syscalls.c; edit the rows there. Of the\n"
	       "conditions the first that holds decides; the last word is what happens\n"
	       "when none does. A number that is not here gets ENOSYS.\n\n"
	       "| word | meaning |\n|---|---|\n"
	       "| allow | the kernel runs it, unseen |\n"
	       "| an errno | refused in the filter |\n"
	       "| open | the monitor opens what it checked and injects the descriptor |\n"
	       "| emulate | the monitor makes the call on its copies |\n"
	       "| exec | continued, and verified before the first instruction |\n"
	       "| connect, send | decided on the copied address |\n"
	       "| creds | continued; the monitor forgets what it knew of the task's identity |\n\n"
	       "| nr | call | arguments | action | undo | carried out | why |\n"
	       "|---:|---|---|---|---|---|---|\n");
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		if (row)
			print_row(nr, row);
	}
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		if (row && row->host_sockets)
			print_pairs(row);
	}
	return 0;
}
