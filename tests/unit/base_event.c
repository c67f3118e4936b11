#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>

#include "base/event.h"

static const char argv_bytes[] = "git\0commit\0-m\0a\xff\"b\n";

static struct event sample_event(void)
{
	return (struct event){
		.kind = EVENT_ACTION,
		.seq = 7,
		.mono_ns = 123456789,
		.wall_ns = UINT64_C(1700000000123456789),
		.result = -ENOENT,
		.syscall = "openat",
		.text = "a text",
		.ambient_count = 3,
		.repeats = 812,
		.status = 0,
		.action = {
			.type = ACTION_FILE_WRITE,
			.op = OP_CREATE,
			.provenance = PROVENANCE_EXISTING,
			.resource = "/w/\xff/.env",
			.resource2 = "/w/b",
			.alias = "/w/link",
			.argv = argv_bytes,
			.argv_len = sizeof(argv_bytes),
			.argc = 4,
			.cwd = "/w",
			.statement = "SELECT 1",
			.address = "192.0.2.1",
			.protocol = "tcp",
			.resolved = true,
			.port = 443,
			.size_bytes = 12,
			.open_flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | 0x40000000,
			.mode = 0644,
			.pid = 10,
			.tid = 11,
			.start_ticks = 99,
			.program = "/usr/bin/git",
			.ancestry = { "/bin/bash", "/usr/bin/make" },
			.mono_ns = 1,
			.wall_ns = 2,
			.utc_offset_min = -90,
			.syscall_nr = 257,
		},
		.decision = {
			.verdict = VERDICT_BLOCK,
			.reason = REASON_BLOCKED,
			.observed = true,
			.deny_errno = EACCES,
			.rule = "*.env",
			.file = "/etc/p.json",
			.line = 41,
			.score = { .total = 0.42f, .x = { 0.5f, 1.0f }, .why = { "writes", "secret" } },
		},
	};
}

static void assert_same(const struct event *a, const struct event *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->seq, b->seq);
	assert_int_equal(a->mono_ns, b->mono_ns);
	assert_int_equal(a->wall_ns, b->wall_ns);
	assert_int_equal(a->result, b->result);
	assert_string_equal(a->syscall, b->syscall);
	assert_string_equal(a->text, b->text);
	assert_int_equal(a->ambient_count, b->ambient_count);
	assert_int_equal(a->repeats, b->repeats);
	const struct action *x = &a->action, *y = &b->action;
	assert_int_equal(x->type, y->type);
	assert_int_equal(x->op, y->op);
	assert_int_equal(x->provenance, y->provenance);
	assert_string_equal(x->resource, y->resource);
	assert_string_equal(x->resource2, y->resource2);
	assert_string_equal(x->alias, y->alias);
	assert_int_equal(x->argc, y->argc);
	assert_int_equal(x->argv_len, y->argv_len);
	assert_memory_equal(x->argv, y->argv, x->argv_len);
	assert_int_equal(x->argv_truncated, y->argv_truncated);
	assert_string_equal(x->cwd, y->cwd);
	assert_string_equal(x->statement, y->statement);
	assert_string_equal(x->address, y->address);
	assert_string_equal(x->protocol, y->protocol);
	assert_int_equal(x->resolved, y->resolved);
	assert_int_equal(x->port, y->port);
	assert_int_equal(x->size_bytes, y->size_bytes);
	assert_int_equal(x->open_flags, y->open_flags);
	assert_int_equal(x->mode, y->mode);
	assert_int_equal(x->pid, y->pid);
	assert_int_equal(x->tid, y->tid);
	assert_int_equal(x->start_ticks, y->start_ticks);
	assert_string_equal(x->program, y->program);
	assert_string_equal(x->ancestry[0], y->ancestry[0]);
	assert_string_equal(x->ancestry[1], y->ancestry[1]);
	assert_null(y->ancestry[2]);
	assert_int_equal(x->mono_ns, y->mono_ns);
	assert_int_equal(x->wall_ns, y->wall_ns);
	assert_int_equal(x->utc_offset_min, y->utc_offset_min);
	assert_int_equal(x->syscall_nr, y->syscall_nr);
	assert_int_equal(a->decision.verdict, b->decision.verdict);
	assert_int_equal(a->decision.reason, b->decision.reason);
	assert_int_equal(a->decision.observed, b->decision.observed);
	assert_int_equal(a->decision.ambient, b->decision.ambient);
	assert_int_equal(a->decision.deny_errno, b->decision.deny_errno);
	assert_string_equal(a->decision.rule, b->decision.rule);
	assert_string_equal(a->decision.file, b->decision.file);
	assert_int_equal(a->decision.line, b->decision.line);
	assert_float_equal(a->decision.score.total, b->decision.score.total, 0);
	assert_float_equal(a->decision.score.x[1], b->decision.score.x[1], 0);
	assert_string_equal(a->decision.score.why[1], b->decision.score.why[1]);
	assert_null(b->decision.score.why[2]);
}

static void an_event_survives_packing(void **state)
{
	(void)state;
	static unsigned char packed[EVENT_PACKED_MAX];
	struct event e = sample_event(), back;

	size_t len = event_pack(&e, packed, sizeof(packed));
	assert_true(len > 0 && len % 8 == 0 && len < 2048);
	assert_int_equal(event_unpack(packed, len, &back), 0);
	assert_same(&e, &back);

	event_set_result(packed, 17);
	assert_int_equal(event_unpack(packed, len, &back), 0);
	assert_int_equal(back.result, 17);
}

static void an_empty_event_survives_packing(void **state)
{
	(void)state;
	static unsigned char packed[EVENT_PACKED_MAX];
	struct event e = { .kind = EVENT_SESSION_START }, back;

	size_t len = event_pack(&e, packed, sizeof(packed));
	assert_int_equal(event_unpack(packed, len, &back), 0);
	assert_string_equal(back.action.resource, "");
	assert_string_equal(back.action.program, "");
	assert_null(back.action.argv);
	assert_null(back.syscall);
	assert_int_equal(event_pack(&e, packed, 64), 0);
}

static char *filled(size_t len, char c)
{
	char *s = malloc(len + 1);
	assert_non_null(s);
	memset(s, c, len);
	s[len] = '\0';
	return s;
}

/* The worst event fits both limits, and what was cut says so. */
static void the_largest_event_is_cut_and_says_so(void **state)
{
	(void)state;
	static unsigned char packed[EVENT_PACKED_MAX];
	static char line[EVENT_JSON_MAX];
	char hash[HASH_HEX];
	char *big = filled(100000, '\xff');
	struct event e = sample_event(), back;
	struct action *a = &e.action;
	struct buf b;

	e.syscall = e.text = big;
	a->resource = a->resource2 = a->alias = a->argv = a->cwd = a->statement = big;
	a->argv_len = 100001;
	a->argc = 1;
	a->address = a->protocol = a->program = big;
	for (size_t i = 0; i < ACTION_ANCESTRY_MAX; i++)
		a->ancestry[i] = big;
	e.decision.rule = e.decision.file = big;
	for (size_t i = 0; i < DIMENSION_COUNT; i++)
		e.decision.score.why[i] = big;

	size_t len = event_pack(&e, packed, sizeof(packed));
	assert_true(len > 0 && len <= sizeof(packed));
	assert_int_equal(event_unpack(packed, len, &back), 0);
	assert_true(back.action.argv_truncated);
	assert_int_equal(back.action.argc, 1);
	size_t got = strlen(back.action.resource);
	assert_int_equal(got, ACTION_PATH_SIZE);
	assert_string_equal(back.action.resource + got - 8, "...[cut]");
	buf_init(&b, line, sizeof(line));
	assert_int_equal(event_json(&back, "s", "", &b, hash), 0);
	json_object *o = json_tokener_parse(line);
	assert_non_null(o);
	json_object_put(o);
	free(big);
}

/* No single wrong byte and no cut makes the reader step outside (run under ASan too). */
static void damaged_bytes_are_refused_or_harmless(void **state)
{
	(void)state;
	static unsigned char packed[EVENT_PACKED_MAX];
	static char line[EVENT_JSON_MAX];
	struct event e = sample_event(), back;
	char hash[HASH_HEX];
	struct buf b;

	size_t len = event_pack(&e, packed, sizeof(packed));
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(event_unpack(packed, cut, &back), -EBADMSG);
	for (size_t i = 0; i < len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			packed[i] ^= (unsigned char)(1u << bit);
			if (event_unpack(packed, len, &back) == 0) {
				buf_init(&b, line, sizeof(line));
				assert_int_equal(event_json(&back, "s", "", &b, hash), 0);
			}
			packed[i] ^= (unsigned char)(1u << bit);
		}
	}
}

static json_object *parse(const struct event *e, const char *prev, char hash[HASH_HEX])
{
	static char line[EVENT_JSON_MAX];
	struct buf b;

	buf_init(&b, line, sizeof(line));
	assert_int_equal(event_json(e, "s-1", prev, &b, hash), 0);
	assert_null(strchr(line, '\n'));
	json_tokener *tok = json_tokener_new();
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	json_object *o = json_tokener_parse_ex(tok, line, (int)b.len + 1);
	assert_int_equal(json_tokener_get_error(tok), json_tokener_success);
	json_tokener_free(tok);
	assert_non_null(o);
	return o;
}

static const char *text_of(json_object *o, const char *name)
{
	json_object *member = NULL;
	if (!json_object_object_get_ex(o, name, &member))
		fail_msg("no member %s", name);
	return json_object_to_json_string_ext(member, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
}

static void an_action_is_a_line_of_json(void **state)
{
	(void)state;
	struct event e = sample_event();
	char hash[HASH_HEX];
	json_object *o = parse(&e, "", hash);

	assert_string_equal(text_of(o, "v"), "1");
	assert_string_equal(text_of(o, "seq"), "7");
	assert_string_equal(text_of(o, "time"), "\"2023-11-14T22:13:20.123456789Z\"");
	assert_string_equal(text_of(o, "session"), "\"s-1\"");
	assert_string_equal(text_of(o, "kind"), "\"action\"");
	assert_string_equal(text_of(o, "type"), "\"file_write\"");
	assert_string_equal(text_of(o, "op"), "\"create\"");
	assert_string_equal(text_of(o, "flags"),
			    "[\"O_WRONLY\",\"O_CREAT\",\"O_TRUNC\",\"O_CLOEXEC\",\"0x40000000\"]");
	assert_string_equal(text_of(o, "mode"), "\"0644\"");
	assert_string_equal(text_of(o, "ancestry"), "[\"/bin/bash\",\"/usr/bin/make\"]");
	assert_int_equal(json_object_array_length(json_object_object_get(o, "argv")), 4);
	assert_string_equal(text_of(o, "decision"), "\"block\"");
	assert_string_equal(text_of(o, "reason"), "\"blocked\"");
	assert_string_equal(text_of(o, "policy_line"), "41");
	assert_string_equal(text_of(o, "observed"), "true");
	assert_string_equal(text_of(o, "errno"), "\"EACCES\"");
	assert_string_equal(text_of(o, "result"), "-2");
	assert_string_equal(text_of(o, "result_errno"), "\"ENOENT\"");
	assert_string_equal(text_of(o, "score"), "0.42");
	assert_string_equal(text_of(o, "scores"),
			    "{\"action_severity\":{\"x\":0.5,\"why\":\"writes\"},"
			    "\"resource_sensitivity\":{\"x\":1,\"why\":\"secret\"}}");
	assert_string_equal(text_of(o, "prev"), "\"\"");
	json_object_put(o);
}

static void absent_members_are_omitted(void **state)
{
	(void)state;
	struct event e = { .kind = EVENT_ACTION,
			   .result = EVENT_RESULT_PENDING,
			   .action = { .resource = "/x",
				       .program = "",
				       .size_bytes = -1,
				       .type = ACTION_FILE_READ,
				       .op = OP_READ },
			   .decision = { .ambient = true } };
	char hash[HASH_HEX];
	json_object *o = parse(&e, "", hash);

	static const char *const absent[] = { "resource2", "alias",    "argv",      "cwd",
					      "size",      "mode",     "address",   "port",
					      "rule",      "observed", "errno",     "result_errno",
					      "score",     "text",     "ambient",   "status",
					      "ancestry",  "program",  "provenance" };
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_null(json_object_object_get(o, absent[i]));
	json_object *result = o;
	assert_true(json_object_object_get_ex(o, "result", &result));
	assert_null(result);
	json_object_put(o);
}

static void an_exit_has_its_status(void **state)
{
	(void)state;
	struct event e = { .kind = EVENT_PROCESS_EXIT,
			   .status = 3 << 8,
			   .action = { .resource = "", .program = "/bin/sh", .pid = 5 } };
	char hash[HASH_HEX];
	json_object *o = parse(&e, "", hash);
	assert_string_equal(text_of(o, "status"), "{\"exit\":3}");
	assert_null(json_object_object_get(o, "decision"));
	json_object_put(o);
	e.status = 9;
	o = parse(&e, "", hash);
	assert_string_equal(text_of(o, "status"), "{\"signal\":9}");
	json_object_put(o);
}

static void a_line_that_does_not_fit_is_an_error(void **state)
{
	(void)state;
	char small[300], hash[HASH_HEX] = "untouched";
	struct event e = sample_event();
	struct buf b;

	buf_init(&b, small, sizeof(small));
	assert_int_equal(event_json(&e, "s", "", &b, hash), -EMSGSIZE);
	assert_string_equal(hash, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_survives_packing),
		cmocka_unit_test(an_empty_event_survives_packing),
		cmocka_unit_test(the_largest_event_is_cut_and_says_so),
		cmocka_unit_test(damaged_bytes_are_refused_or_harmless),
		cmocka_unit_test(an_action_is_a_line_of_json),
		cmocka_unit_test(absent_members_are_omitted),
		cmocka_unit_test(an_exit_has_its_status),
		cmocka_unit_test(a_line_that_does_not_fit_is_an_error),
	};
	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
