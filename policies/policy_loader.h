/*
 * Inside the loader: what policy_load.c (files and extends), policy_keys.c (the
 * table of keys), policy_words.c (words, sizes),
 * policy_values.c (lists, expansion) and policy_flags.c share.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "policies/amount.h"
#include "policies/arena.h"
#include "policies/json_lines.h"
#include "policies/policy.h"

/* What policy.arena points to: the memory, and the values flags expand later. */
struct policy_store {
	struct arena arena;
	const char *home, *workspace, *tmpdir; /* NULL: not known */
};

/* A file being loaded, or one that was. */
struct loaded {
	struct loaded *next;
	const char *id; /* its canonical path */
	bool open;      /* still on the chain of extends: meeting it again is a loop */
};

struct loader {
	struct policy *p;
	struct policy_store *store;
	const char *const *dirs;
	const char *file; /* for messages and origins; a flag's name on the command line */
	struct loaded *loaded;
	unsigned depth;
	bool neutral;         /* policy_env.neutral */
	bool inherited_block; /* an extended policy holds a block rule; its lowest priority: */
	int block_priority;
	struct err *err;
};

struct value {
	struct json_object *json;
	const struct json_line *at; /* NULL: a flag's value */
};

/* "FILE:LINE: POINTER: text" into the caller's err; returns -EINVAL. */
int loader_fail(const struct loader *l, const struct json_line *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int loader_no_memory(const struct loader *l);
/* "an object", "a string" … with its article, for "expected …, found …". */
const char *value_type(const struct value *v);
/* -EINVAL "expected WHAT, found …" unless the value is of @type. */
int value_expect(const struct loader *l, const struct value *v, enum json_type type,
		 const char *what);

/* A set of words an enum is written as; its values are the indices. */
struct words {
	const char *what;         /* "mode" */
	const char *const *names; /* NULL-terminated */
};
extern const struct words mode_words, pause_words, effect_words, net_words, database_tls_words,
	workspace_words, on_exit_words, journal_words;
int word_parse(const struct loader *l, const struct json_line *at, const struct words *words,
	       const char *text, unsigned *ret);

/* An action type's name; with @any also "any", which is ACTION_NONE. */
int type_word(const struct loader *l, struct value v, bool any, enum action_type *ret);

enum list_kind { LIST_PATHS, LIST_HOSTS, LIST_SYSTEM_CA };
int list_append(const struct loader *l, struct policy_patterns *list, enum list_kind kind,
		const char *text, const char *group, const struct json_line *at);
/* The elements of a JSON list: strings and named groups. */
int list_apply(const struct loader *l, struct value v, struct policy_patterns *list,
	       enum list_kind kind);
int ports_apply(const struct loader *l, struct value v, uint16_t **ports, unsigned *count);
int port_append(const struct loader *l, uint16_t **ports, unsigned *count, uint16_t port);
/* A list of ports, or of "P:Q": port P of the host is port Q of the sandbox. */
int publish_apply(const struct loader *l, struct value v);
/* "P" or "P:Q". @at NULL: from the command line. */
int publish_append(const struct loader *l, const struct json_line *at, const char *text);
/* ~, ${HOME}, ${WORKSPACE}, ${TMPDIR}, then pattern_compile_path. */
int path_pattern(const struct loader *l, const struct json_line *at, const char *text,
		 struct pattern *ret);

/* Applies an object's members as the keys of @block to @base (the policy, a rule, …). */
int keys_apply(struct loader *l, struct value v, const char *block, void *base);
int rules_apply(struct loader *l, struct value v);
void rules_sort(struct policy *p);
