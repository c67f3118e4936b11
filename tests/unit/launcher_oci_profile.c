/* The rules of a profile say of every call what the table's own filter says, or ask the monitor, which knows. */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/syscalls.h"
#include "launcher/oci/profile.h"
#include "launcher/oci/table.h"
#include "sandbox/filter_rows.h"

static uint64_t number(struct json_object *o, const char *name)
{
	return json_object_get_uint64(json_object_object_get(o, name));
}

static bool holds(struct json_object *cond, const uint64_t args[6])
{
	const char *op = json_object_get_string(json_object_object_get(cond, "op"));
	uint64_t v = args[number(cond, "index")], value = number(cond, "value");
	if (!strcmp(op, "SCMP_CMP_EQ"))
		return v == value;
	if (!strcmp(op, "SCMP_CMP_NE"))
		return v != value;
	assert_string_equal(op, "SCMP_CMP_MASKED_EQ");
	return (v & value) == number(cond, "valueTwo");
}

static bool applies(struct json_object *rule, const char *name, const uint64_t args[6])
{
	struct json_object *names = json_object_object_get(rule, "names"), *conds;
	bool named = false;
	for (size_t i = 0; i < json_object_array_length(names); i++)
		named |= !strcmp(json_object_get_string(json_object_array_get_idx(names, i)), name);
	conds = json_object_object_get(rule, "args");
	for (size_t i = 0; named && conds && i < json_object_array_length(conds); i++)
		named = holds(json_object_array_get_idx(conds, i), args);
	return named;
}

/* The one rule that applies; NULL: none, and never more than one. */
static struct json_object *rule_for(struct json_object *section, const char *name,
				    const uint64_t args[6])
{
	struct json_object *rules = json_object_object_get(section, "syscalls"), *found = NULL;
	for (size_t i = 0; i < json_object_array_length(rules); i++) {
		struct json_object *rule = json_object_array_get_idx(rules, i);
		if (!applies(rule, name, args))
			continue;
		if (found && strcmp(json_object_get_string(json_object_object_get(found, "action")),
				    json_object_get_string(json_object_object_get(rule, "action"))))
			fail_msg("two rules meet for %s", name);
		found = rule;
	}
	return found;
}

static void compare(struct json_object *section, uint32_t nr, const uint64_t args[6])
{
	const char *name = syscall_find(nr)->name;
	struct json_object *rule = rule_for(section, name, args);
	const char *action = rule ? json_object_get_string(json_object_object_get(rule, "action"))
				  : "SCMP_ACT_ERRNO";
	int deny, said = rule ? (int)number(rule, "errnoRet") : ENOSYS;
	enum how how = filter_how(&oci_plan, nr, args, &deny);
	if (!strcmp(action, "SCMP_ACT_NOTIFY"))
		return;
	if (!strcmp(action, "SCMP_ACT_ALLOW"))
		assert_int_equal(how, HOW_ALLOW);
	else if (!strcmp(action, "SCMP_ACT_ERRNO") && how == HOW_ERRNO)
		assert_int_equal(said, deny);
	else if (strcmp(action, "SCMP_ACT_ERRNO") != 0 || how != HOW_UNKNOWN)
		fail_msg("%s is %s, the table says %s", name, action, how_name(how));
}

static void the_rules_are_the_table(void **state)
{
	(void)state;
	struct json_object *section;
	struct err err;
	assert_int_equal(oci_profile_make(NULL, &section, &err), 0);
	srandom(1);
	for (uint32_t nr = 0; nr < syscall_count(); nr++) {
		const struct syscall_row *row = syscall_find(nr);
		for (unsigned round = 0; row && round < 64; round++) {
			uint64_t args[6];
			for (unsigned i = 0; i < 6; i++)
				args[i] = round == 0 ? 0
					  : round < 32
						  ? (uint64_t)random() % 300
						  : (uint64_t)random() << 32 | (uint64_t)random();
			const struct arg_rule *r = &row->rules[round % SYSCALL_RULES];
			if (r->set && round % 2)
				args[r->arg] = r->datum | (round % 4 == 1 ? 1ull << 32 : 0);
			compare(section, nr, args);
		}
	}
	assert_int_equal(oci_profile_check(section, &err), 0);
	json_object_put(section);
}

/* Hostile or careless: an error with a reason, or a section that passes its check. */
static void whatever_it_is_given(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{}",
		"{\"defaultAction\":3}",
		"{\"syscalls\":7}",
		"{\"syscalls\":[7]}",
		"{\"syscalls\":[{\"names\":[null]}]}",
		"{\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":{}}]}",
		"{\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[null]"
		"}]}",
		"{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"flags\":{},\"architectures\":9}",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json_object *old = json_tokener_parse(texts[i]), *section = NULL;
		struct err err = { "" };
		assert_non_null(old);
		int r = oci_profile_make(old, &section, &err);
		if (r < 0)
			assert_true(err.text[0]);
		else
			assert_int_equal(oci_profile_check(section, &err), 0);
		json_object_put(section);
		json_object_put(old);
	}
}

static void the_default_answers_what_it_can(void **state)
{
	(void)state;
	const uint64_t args[6] = { 0 };
	struct json_object *old =
		json_tokener_parse("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":"
				   "[\"mount\",\"unlink\"],"
				   "\"action\":\"SCMP_ACT_ALLOW\"}]}");
	struct json_object *section;
	struct err err;
	assert_int_equal(oci_profile_make(old, &section, &err), 0);
	assert_null(rule_for(section, "mount", args)); /* EPERM is what no number means */
	assert_non_null(rule_for(section, "unlink", args));
	json_object_put(section);
	json_object_put(old);
}

/* The table's section with one more rule, as somebody could write it who wants a call to pass. */
static int check_with(const char *rule)
{
	struct json_object *section;
	struct err err;
	assert_int_equal(oci_profile_make(NULL, &section, &err), 0);
	struct json_object *rules = json_object_object_get(section, "syscalls");
	struct json_object *more = json_tokener_parse(rule);
	assert_non_null(more);
	json_object_array_put_idx(rules, 0, more);
	int r = oci_profile_check(section, &err);
	json_object_put(section);
	return r;
}

static void a_forged_section_is_seen(void **state)
{
	(void)state;
#define ALLOW(name, args) "{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_ALLOW\"" args "}"
#define ARG(index, op, value, two) \
	",\"args\":[{\"index\":" index ",\"op\":\"SCMP_CMP_" op "\",\"value\":" value \
	",\"valueTwo\":" two "}]"
	static const char *const forged[] = {
		ALLOW("unlink", ""),
		ALLOW("unlink", ARG("0", "MASKED_EQ", "0", "0")),
		ALLOW("unlink", ARG("0", "NE", "0", "0")),
		ALLOW("openat", ARG("2", "MASKED_EQ", "0", "0")),
		ALLOW("openat", ARG("1", "MASKED_EQ", "2097152", "2097152")),
		ALLOW("clone", ARG("0", "GE", "0", "0")),
		ALLOW("clone", ARG("0", "EQ", "131072", "0")),
		ALLOW("socketcall", ""), /* no name of ours: of i386 */
		ALLOW("read", ",\"Names\":[\"unlink\"]"),
		"{\"names\":[\"unlink\"],\"action\":\"SCMP_ACT_LOG\"}",
		"{\"names\":[\"unlink\"]}",
		"{\"names\":[null],\"action\":\"SCMP_ACT_ALLOW\"}",
		"7",
	};
	static const char *const narrower[] = {
		ALLOW("read", ARG("0", "EQ", "0", "0")),
		ALLOW("openat", ARG("2", "EQ", "2097152", "0")),
		ALLOW("openat", ARG("2", "MASKED_EQ", "2097153", "2097152")),
		"{\"names\":[\"unlink\"],\"action\":\"SCMP_ACT_NOTIFY\"}",
		"{\"names\":[\"unlink\"],\"action\":\"SCMP_ACT_KILL\"}",
	};
	for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++)
		if (check_with(forged[i]) == 0)
			fail_msg("it passes: %s", forged[i]);
	for (size_t i = 0; i < sizeof(narrower) / sizeof(narrower[0]); i++)
		if (check_with(narrower[i]) != 0)
			fail_msg("it does not pass: %s", narrower[i]);
}

static void other_architectures_and_members_are_seen(void **state)
{
	(void)state;
	static const char *const members[][2] = {
		{ "architectures", "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"]" },
		{ "architectures", "7" },
		{ "Syscalls", "[]" },
		{ "defaultAction", "\"SCMP_ACT_LOG\"" },
	};
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		struct json_object *section;
		struct err err;
		assert_int_equal(oci_profile_make(NULL, &section, &err), 0);
		json_object_object_add(section, members[i][0], json_tokener_parse(members[i][1]));
		assert_int_equal(oci_profile_check(section, &err), -EPERM);
		json_object_put(section);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rules_are_the_table),
		cmocka_unit_test(whatever_it_is_given),
		cmocka_unit_test(the_default_answers_what_it_can),
		cmocka_unit_test(a_forged_section_is_seen),
		cmocka_unit_test(other_architectures_and_members_are_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
