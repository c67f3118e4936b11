/* Words, sizes and times as a person writes them, and the nearest one to a mistyped word. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policies/policy_loader.h"

#include "base/nearest.h"

#define WORDS(name, label, ...) \
	static const char *const name##_names[] = { __VA_ARGS__, NULL }; \
	const struct words name##_words = { label, name##_names }
#define CHECK_WORDS(name, count) \
	_Static_assert(sizeof(name##_names) / sizeof(char *) == (count) + 1, "a word each")

WORDS(mode, "mode", "alert", "pause", "rollback", "observe");
CHECK_WORDS(mode, MODE_COUNT);
WORDS(pause, "pause", "call", "tree");
CHECK_WORDS(pause, PAUSE_COUNT);
WORDS(effect, "effect", "block", "pause", "allow");
CHECK_WORDS(effect, EFFECT_COUNT);
WORDS(net, "network mode", "none", "allowlist", "host");
CHECK_WORDS(net, NET_COUNT);
WORDS(database_tls, "way with TLS to a database", "refuse", "whole");
CHECK_WORDS(database_tls, DATABASE_TLS_COUNT);
WORDS(workspace, "workspace mode", "overlay", "direct", "read-only");
CHECK_WORDS(workspace, WORKSPACE_COUNT);
WORDS(on_exit, "on_exit action", "keep", "commit", "discard", "ask");
CHECK_WORDS(on_exit, ON_EXIT_COUNT);
WORDS(journal, "journal mode", "batch", "sync");
CHECK_WORDS(journal, POLICY_JOURNAL_COUNT);

const char *policy_mode_name(enum policy_mode mode)
{
	return mode < MODE_COUNT ? mode_names[mode] : "invalid";
}

const char *policy_pause_name(enum policy_pause pause)
{
	return pause < PAUSE_COUNT ? pause_names[pause] : "invalid";
}

const char *policy_effect_name(enum policy_effect effect)
{
	return effect < EFFECT_COUNT ? effect_names[effect] : "invalid";
}

const char *policy_net_name(enum policy_net net)
{
	return net < NET_COUNT ? net_names[net] : "invalid";
}

const char *policy_workspace_name(enum policy_workspace workspace)
{
	return workspace < WORKSPACE_COUNT ? workspace_names[workspace] : "invalid";
}

const char *policy_journal_name(enum policy_journal journal)
{
	return journal < POLICY_JOURNAL_COUNT ? journal_names[journal] : "invalid";
}

const char *policy_on_exit_name(enum policy_on_exit on_exit)
{
	return on_exit < ON_EXIT_COUNT ? on_exit_names[on_exit] : "invalid";
}

int word_parse(const struct loader *l, const struct json_line *at, const struct words *words,
	       const char *text, unsigned *ret)
{
	char known[160] = "";
	for (unsigned i = 0; words->names[i]; i++) {
		if (strcmp(words->names[i], text) == 0) {
			*ret = i;
			return 0;
		}
		size_t used = strlen(known);
		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
			 words->names[i]);
	}
	const char *near = nearest_word(text, words->names, sizeof(*words->names));
	return loader_fail(l, at, "\"%s\" is no %s (%s)%s%s%s", text, words->what, known,
			   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Digits and at most one of @units, each worth its @factors. */
static int scaled(const char *text, const char *units, const uint64_t *factors, uint64_t *ret)
{
	uint64_t value = 0;
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 18)
		return -EINVAL;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	const char *rest = text + digits;
	if (*rest) {
		const char *unit = strchr(units, *rest);
		if (!unit || rest[1] ||
		    __builtin_mul_overflow(value, factors[unit - units], &value))
			return -EINVAL;
	}
	*ret = value;
	return 0;
}

int size_parse(const char *text, uint64_t *ret)
{
	static const uint64_t k = 1024;
	const uint64_t factors[] = { k, k * k, k * k * k, k * k * k * k,
				     k, k * k, k * k * k, k * k * k * k };
	return scaled(text, "KMGTkmgt", factors, ret);
}

int seconds_parse(const char *text, uint64_t *ret)
{
	const uint64_t factors[] = { 1, 60, 3600, 86400 };
	return scaled(text, "smhd", factors, ret);
}

int type_word(const struct loader *l, struct value v, bool any, enum action_type *ret)
{
	const char *names[ACTION_TYPE_COUNT + 2];
	unsigned n = 0;
	int rc = value_expect(l, &v, json_type_string, "an action type");
	if (rc)
		return rc;
	const char *text = json_object_get_string(v.json);
	*ret = ACTION_NONE;
	if ((any && strcmp(text, "any") == 0) || action_type_parse(text, ret) == 0)
		return 0;
	for (enum action_type t = ACTION_NONE + 1; t < ACTION_TYPE_COUNT; t++)
		names[n++] = action_type_name(t);
	names[n] = NULL;
	const char *near = nearest_word(text, names, sizeof(*names));
	return loader_fail(l, v.at, "\"%s\" is no action type%s%s%s", text,
			   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}
